// Arguments to commands. Everything else is in src/daemon.

#include "daemon/client.hpp"
#include "daemon/exit_status.hpp"
#include "daemon/run.hpp"

#include <CLI/CLI.hpp>

#include <functional>

using namespace aronet;

int main(int argc, char** argv) {
    CLI::App app("An encrypted, self-routing mesh from two files.", "aronet");
    app.set_version_flag("--version", ARONET_VERSION);
    app.require_subcommand(1);
    daemon::ClientOptions client;
    app.add_option("--socket", client.socket, "control socket; found by itself where there is one");

    std::string config, registry, key_file;
    bool strict = false;
    std::function<int()> command;
    const auto add = [&](CLI::App& parent, const char* name, const char* help, std::function<int()> run) {
        CLI::App* sub = parent.add_subcommand(name, help);
        sub->fallthrough();
        sub->callback([&command, run] { command = run; });
        return sub;
    };

    CLI::App* daemon = app.add_subcommand("daemon", "run, question or stop the daemon");
    daemon->require_subcommand(1);
    daemon->fallthrough();
    CLI::App* run = add(*daemon, "run", "run in the foreground", [&] {
        return daemon::run({config, registry, ARONET_VERSION});
    });
    run->add_option("-c,--config", config, "config.json of this node")->required();
    run->add_option("-r,--registry", registry, "registry.json; else wait for `aronet load`");
    CLI::App* info = add(*daemon, "info", "what is running", [&] { return daemon::show(client, "info"); });
    info->add_flag("--json", client.json, "as JSON");
    add(*daemon, "stop", "stop it and leave nothing behind", [&] { return daemon::stop(client); });

    CLI::App* load =
        add(app, "load", "give the daemon another registry", [&] { return daemon::load(client, registry); });
    load->add_option("-r,--registry", registry, "registry.json, or - for standard input")->required();
    load->add_option("-c,--config", config, "accepted for compatibility, not needed");
    load->add_flag("--json", client.json, "as JSON");

    std::string peer;
    bool ike = false;
    CLI::App* rekey = add(app, "rekey", "change the keys of the tunnels to a peer", [&] {
        return daemon::rekey(client, peer, ike);
    });
    rekey->add_option("PEER", peer, "organization/common_name, or a tunnel's interface")->required();
    rekey->add_flag("--ike", ike, "those of IKE instead of those of the data");

    const std::pair<const char*, const char*> readers[] = {
        {"status", "is all well? (exit status 7 when not)"},
        {"tunnels", "the tunnels to the other nodes"},
        {"neighbours", "who Babel hears"},
        {"routes", "what Babel knows; * marks what is in use"},
    };
    for (const auto& [name, help] : readers) {
        CLI::App* reader =
            add(app, name, help, [&client, verb = std::string(name)] { return daemon::show(client, verb); });
        reader->add_flag("--json", client.json, "as JSON");
    }

    CLI::App* check = add(app, "check-config", "read the files and say what is wrong", [&] {
        return daemon::check_config(config, registry, strict);
    });
    check->add_option("-c,--config", config, "config.json")->required();
    check->add_option("-r,--registry", registry, "registry.json");
    check->add_flag("--strict", strict, "warnings are errors");
    CLI::App* keygen = add(app, "keygen", "make a key and the registry entry for it", [&] {
        return daemon::keygen(key_file);
    });
    keygen->add_option("-o,--output", key_file, "file for the private key, mode 0600; else standard output");
    CLI::App* pub =
        add(app, "pub", "the registry entry of a configuration", [&] { return daemon::show_entry(config); });
    pub->add_option("-c,--config", config, "config.json")->required();

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? daemon::exit_status::ok : daemon::exit_status::usage;
    }
    return command();
}
