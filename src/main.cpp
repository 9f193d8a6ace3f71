// Arguments to commands. Everything else is in src/daemon.

#include "daemon/client.hpp"
#include "daemon/custody.hpp"
#include "daemon/exit_status.hpp"
#include "daemon/prepare.hpp"
#include "daemon/run.hpp"

#include <CLI/CLI.hpp>

#include <functional>

using namespace aronet;

namespace {

struct Arguments {
    daemon::ClientOptions client;
    std::string config, registry, key_file, output, keys_to, peer;
    std::vector<std::string> program;
    bool strict = false, ike = false, keep = false, dry_run = false;
    std::function<int()> command;
};

CLI::App* add(
    Arguments& given, CLI::App& parent, const char* name, const char* help, std::function<int()> run
) {
    CLI::App* sub = parent.add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([&given, run] { given.command = run; });
    return sub;
}

void add_daemon(CLI::App& app, Arguments& given) {
    CLI::App* daemon = app.add_subcommand("daemon", "run, question or stop the daemon");
    daemon->require_subcommand(1);
    daemon->fallthrough();
    CLI::App* run = add(given, *daemon, "run", "run in the foreground", [&given] {
        return daemon::run({given.config, given.registry, ARONET_VERSION, given.keys_to});
    });
    run->add_option("-c,--config", given.config, "config.json of this node")->required();
    run->add_option(
        "-r,--registry", given.registry, "registry.json, or its URL; else wait for `aronet load`"
    );
#ifdef ARONET_KEY_TABLES
    run->add_option("--keys-to", given.keys_to, "DEBUGGING: a folder that tables of all keys are written to");
#endif
    CLI::App* info = add(given, *daemon, "info", "what is running", [&given] {
        return daemon::show(given.client, "info");
    });
    info->add_flag("--json", given.client.json, "as JSON");
    CLI::App* plan = add(given, *daemon, "plan", "what a start would change in the kernel", [&given] {
        return daemon::plan(given.config, given.registry);
    });
    plan->add_option("-c,--config", given.config, "config.json of this node")->required();
    plan->add_option("-r,--registry", given.registry, "registry.json")->required();
    CLI::App* stop = add(given, *daemon, "stop", "stop it and leave nothing behind", [&given] {
        return daemon::stop(given.client, given.keep);
    });
    stop->add_flag("--keep", given.keep, "leave everything, and traffic flowing, for the next start");
    // Started by the daemon alone, with the socket it is asked by as descriptor 3.
    add(given, app, "hold", "hold descriptors over a restart", [] { return daemon::hold(3); })->group("");
}

void add_netns(CLI::App& app, Arguments& given) {
    CLI::App* netns = app.add_subcommand("netns", "the overlay's namespace, for a daemon that is not root");
    netns->require_subcommand(1);
    netns->fallthrough();
    CLI::App* prepare = add(given, *netns, "prepare", "make it and hand over what is needed of it", [&given] {
        return daemon::prepare_namespace(given.config, given.program);
    });
    prepare->add_option("-c,--config", given.config, "config.json of this node")->required();
    prepare->add_option("COMMAND", given.program, "after --: what to run; else systemd is given it to keep");
    CLI::App* remove = add(given, *netns, "remove", "remove it", [&given] {
        return daemon::remove_prepared_namespace(given.config);
    });
    remove->add_option("-c,--config", given.config, "config.json of this node")->required();
}

void add_questions(CLI::App& app, Arguments& given) {
    CLI::App* load = add(given, app, "load", "give the daemon another registry", [&given] {
        return daemon::load(given.client, given.registry, given.dry_run);
    });
    load->add_flag("--dry-run", given.dry_run, "change nothing, print what would be changed in the kernel");
    load->add_option("-r,--registry", given.registry, "registry.json, or - for standard input")->required();
    load->add_option("-c,--config", given.config, "accepted for compatibility, not needed");
    load->add_flag("--json", given.client.json, "as JSON");

    CLI::App* reload = add(given, app, "reload", "read the configuration and the registry again", [&given] {
        return daemon::reload(given.client, given.dry_run);
    });
    reload->add_flag("--dry-run", given.dry_run, "change nothing, print what would be changed in the kernel");
    reload->add_flag("--json", given.client.json, "as JSON");

    CLI::App* rekey = add(given, app, "rekey", "change the keys of the tunnels to a peer", [&given] {
        return daemon::rekey(given.client, given.peer, given.ike);
    });
    rekey->add_option("PEER", given.peer, "organization/common_name, or a tunnel's interface")->required();
    rekey->add_flag("--ike", given.ike, "those of IKE instead of those of the data");

    const std::pair<const char*, const char*> readers[] = {
        {"status", "is all well? (exit status 7 when not)"},
        {"tunnels", "the tunnels to the other nodes"},
        {"neighbours", "who Babel hears"},
        {"routes", "what Babel knows; * marks what is in use"},
    };
    for (const auto& [name, help] : readers) {
        CLI::App* reader = add(given, app, name, help, [&given, verb = std::string(name)] {
            return daemon::show(given.client, verb);
        });
        reader->add_flag("--json", given.client.json, "as JSON");
    }
}

void add_files(CLI::App& app, Arguments& given) {
    CLI::App* check = add(given, app, "check-config", "read the files and say what is wrong", [&given] {
        return daemon::check_config(given.config, given.registry, given.strict);
    });
    check->add_option("-c,--config", given.config, "config.json")->required();
    check->add_option("-r,--registry", given.registry, "registry.json");
    check->add_flag("--strict", given.strict, "warnings are errors");
    CLI::App* keygen = add(given, app, "keygen", "make a key and the registry entry for it", [&given] {
        return daemon::keygen(given.key_file);
    });
    keygen->add_option(
        "-o,--output", given.key_file, "file for the private key, mode 0600; else standard output"
    );
    CLI::App* sign = add(given, app, "sign", "sign a registry for those who ask for that", [&given] {
        return daemon::sign(given.key_file, given.registry, given.output);
    });
    sign->add_option("-k,--key", given.key_file, "private key, as keygen makes it")->required();
    sign->add_option("-r,--registry", given.registry, "registry.json")->required();
    sign->add_option("-o,--output", given.output, "file for the signature; else registry.json.sig");
    CLI::App* pub = add(given, app, "pub", "the registry entry of a configuration", [&given] {
        return daemon::show_entry(given.config);
    });
    pub->add_option("-c,--config", given.config, "config.json")->required();
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("An encrypted, self-routing mesh from two files.", "aronet");
    app.set_version_flag("--version", ARONET_VERSION);
    app.require_subcommand(1);
    Arguments given;
    app.add_option("--socket", given.client.socket, "control socket; found by itself where there is one");
    add_daemon(app, given);
    add_netns(app, given);
    add_questions(app, given);
    add_files(app, given);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? daemon::exit_status::ok : daemon::exit_status::usage;
    }
    return given.command();
}
