// The commands as a user runs them: the real binary, its output and its exit statuses (docs/control.md).

#include "daemon/exit_status.hpp"
#include "folder.hpp"
#include "has.hpp"

#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace status = aronet::daemon::exit_status;
using aronet::test::Folder;

namespace {

struct Ran {
    int status;
    std::string out;  // both streams
};

Ran run(const std::string& arguments, const std::string& program = ARONET_BINARY) {
    const std::string command = program + " " + arguments + " 2>&1 </dev/null";
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string out;
    char buffer[4096];
    while (const std::size_t size = fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, size);
    return {WEXITSTATUS(pclose(pipe)), out};
}

std::string config_text(const Folder& folder) {
    return R"({ # comments are welcome
  "private_key": "node.key", "organization": "acme", "common_name": "one",
  "daemon": {"network": "fd66::/64", "prefixs": ["10.1.0.0/16"], "runtime_dir": ")" +
           folder / "run" + R"(",},
  "endpoints": [{"address": "192.0.2.1", "port": 12025, "serial_number": 0}],
})";
}

}  // namespace

TEST_CASE("a key is made for its owner only, and an existing file is never overwritten") {
    const Folder folder;
    const Ran made = run("keygen -o " + (folder / "node.key"));
    CHECK(made.status == status::ok);
    CHECK(has(made.out, "-----BEGIN PUBLIC KEY-----"));
    CHECK_FALSE(has(made.out, "PRIVATE"));
    struct stat file {};
    REQUIRE(stat((folder / "node.key").c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
    CHECK(run("keygen -o " + (folder / "node.key")).status == status::failure);
    CHECK(run("keygen -o /nowhere/node.key").status == status::failure);
}

TEST_CASE("a configuration is checked, and its registry entry passes the check of a registry") {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    CHECK(run("check-config -c " + config).status == status::ok);
    const Ran entry = run("pub -c " + config);
    CHECK(entry.status == status::ok);
    CHECK(has(entry.out, "\"common_name\": \"one\""));
    CHECK(has(entry.out, "\"fd66::/64\""));
    const std::string registry = folder.write("registry.json", entry.out);
    CHECK(run("check-config --strict -c " + config + " -r " + registry).status == status::ok);
}

TEST_CASE("row 68: a key that everybody may read is warned of, in a file and in the configuration") {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    const auto strict = [&] { return run("check-config --strict -c " + config); };
    CHECK(strict().status == status::ok);
    chmod((folder / "node.key").c_str(), 0604);
    CHECK(strict().status == status::bad_config);
    CHECK(
        has(strict().out,
            "node.key: warning: holds a key and may be read by everybody: chmod 600 " + (folder / "node.key"))
    );

    std::string pem;
    std::ifstream file(folder / "node.key");
    for (std::string line; std::getline(file, line);) pem += line + "\\n";
    std::string text = config_text(folder);
    text.replace(text.find("node.key"), 8, pem);
    folder.write("config.json", text);
    chmod(config.c_str(), 0644);
    CHECK(has(
        strict().out, "config.json: warning: holds a key and may be read by everybody: chmod 600 " + config
    ));
    chmod(config.c_str(), 0640);
    CHECK(strict().status == status::ok);
}

TEST_CASE(
    "row 68: a file that is no private key ends what needs one, and is told of with the command that helps"
) {
    const Folder folder;
    const std::string key = folder / "node.key", config = folder.write("config.json", config_text(folder));
    const auto pem = [](const std::string& label, const std::string& body) {
        return "-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n";
    };
    const std::string anew = "; for a new one: aronet keygen -o NEW.key";
    const std::vector<std::pair<std::string, std::string>> cases{
        {"rubbish",
         "node.key: expected a PEM \"PRIVATE KEY\" (Ed25519), found no \"-----BEGIN\" line" + anew},
        {"", "found no \"-----BEGIN\" line" + anew},
        {pem("ENCRYPTED PRIVATE KEY", "MIGbMFcGCSqGSIb3DQEFDTBK"),
         "found \"ENCRYPTED PRIVATE KEY\"; without a passphrase: openssl pkey -in node.key -out NEW.key"},
        {pem("PUBLIC KEY", "MCowBQYDK2VwAyEAAQ=="), "found \"PUBLIC KEY\"" + anew},
        {pem("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEA"), "found \"OPENSSH PRIVATE KEY\"" + anew},
        {pem("\x1b[2J", "AAAA"), "found \"\\x1b[2J\"" + anew},
        {pem("PRIVATE KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"), "found a key of another kind" + anew},
    };
    for (const auto& [text, words] : cases) {
        folder.write("node.key", text);
        for (const char* command : {"check-config -c ", "daemon run -c "}) {
            const Ran ran = run(command + config);
            INFO(ran.out);
            CHECK(ran.status == status::bad_config);
            CHECK(has(ran.out, config + ":2:18: private_key: "));
            CHECK(has(ran.out, words));
            CHECK_FALSE(has(ran.out, "\x1b"));
        }
    }
    std::filesystem::remove(key);
    const std::string absent =
        "node.key: cannot be read: No such file or directory: aronet keygen -o node.key";
    std::filesystem::create_symlink("elsewhere.key", key);  // what it leads to counts
    const Ran without = run("check-config -c " + config);
    CHECK(without.status == status::bad_config);
    CHECK(has(without.out, absent));
    CHECK(run("keygen -o " + (folder / "elsewhere.key")).status == status::ok);
    CHECK(run("check-config --strict -c " + config).status == status::ok);
    chmod((folder / "elsewhere.key").c_str(), 0644);
    CHECK(has(run("check-config --strict -c " + config).out, "by everybody: chmod 600 " + key));
}

TEST_CASE("row 68: another user's key is told of with the command that makes it ours") {
    if (geteuid() != 0) return;
    const Folder folder;
    std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder)), key = folder / "node.key";
    std::filesystem::copy_file(ARONET_BINARY, folder / "aronet");
    const auto asked = [&](const std::string& more) {
        return run(
            "check-config -c " + config + " " + more,
            "setpriv --reuid 65534 --clear-groups " + (folder / "aronet")
        );
    };
    const Ran refused = asked("");
    CHECK(refused.status == status::bad_config);
    CHECK(has(refused.out, key + ": cannot be read: Permission denied: chown 65534 " + key));
    REQUIRE(chown(key.c_str(), 4711, 65534) == 0);
    REQUIRE(chmod(key.c_str(), 0644) == 0);
    CHECK(asked("").status == status::ok);
    const Ran strict = asked("--strict");
    CHECK(strict.status == status::bad_config);
    CHECK(has(strict.out, "warning: holds a key and is another user's: chown 65534 " + key));
    REQUIRE(chown(key.c_str(), 65534, 65534) == 0);
    REQUIRE(chmod(key.c_str(), 0600) == 0);
    CHECK(asked("--strict").status == status::ok);
    CHECK(run("check-config --strict -c " + config).status == status::ok);  // root may ask about a user's
}

TEST_CASE("row 68: a key that the registry does not have is told of, with the command for what it should have"
) {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    const std::string registry = folder.write("registry.json", run("pub -c " + config).out);
    const std::string both = " -c " + config + " -r " + registry;
    CHECK(run("check-config --strict" + both).status == status::ok);
    std::filesystem::remove(folder / "node.key");
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const Ran ran = run("check-config" + both);
    CHECK(ran.status == status::ok);
    CHECK(
        has(ran.out, registry + ": warning: the registry has another public key of this node's organization")
    );
    CHECK(has(ran.out, "`aronet pub` prints the entry"));
    CHECK(run("check-config --strict" + both).status == status::bad_registry);
}

TEST_CASE(
    "row 63: what a registry says to a terminal reaches it as text, when it is refused and when it is taken"
) {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    std::string entry = run("pub -c " + config).out;
    const auto told = [&](const std::string& from, const std::string& to) {
        std::string text = entry;
        text.replace(text.find(from), from.size(), to);
        return run("check-config --strict -c " + config + " -r " + folder.write("registry.json", text));
    };
    const std::vector<std::pair<std::string, std::string>> cases{
        {"\"one\"", "\"\\u001b]0;owned\\u0007\""},
        {"\"one\"", "\"\x1b[2J\""},
        {"\"one\"", "\"a\", \"\\u001b[2J\": 1, \"x\": \"b\""},
        {"\"192.0.2.1\"", "\"\\u009b2J\""},
    };
    for (const auto& [from, to] : cases) {
        const Ran ran = told(from, to);
        INFO(ran.out);
        CHECK(ran.status == status::bad_registry);
        CHECK(has(ran.out, "registry.json:"));
        CHECK(std::ranges::all_of(ran.out, [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7f); }));
    }
}

#ifndef ARONET_KEY_TABLES
TEST_CASE("a build that is no debug build has no option that tells keys") {
    CHECK_FALSE(has(run("daemon run --help").out, "keys"));
    CHECK(run("daemon run -c x --keys-to y").status == status::usage);
}
#endif

TEST_CASE("what is wrong has its own exit status") {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    const std::string bad = folder.write("bad.json", R"({"organization": 7})");
    const std::string odd = folder.write("odd.json", "{\"extra\": 1, " + config_text(folder).substr(1));
    CHECK(run("").status == status::usage);
    CHECK(run("no-such-command").status == status::usage);
    CHECK(run("daemon run").status == status::usage);
    CHECK(run("--help").status == status::ok);
    CHECK(has(run("--version").out, "0."));
    const Ran refused = run("check-config -c " + bad);
    CHECK(refused.status == status::bad_config);
    CHECK(has(refused.out, "bad.json:1:18: organization: expected a string, found 7"));
    CHECK(run("daemon run -c " + bad).status == status::bad_config);
    CHECK(run("daemon run -c /nowhere.json").status == status::bad_config);
    CHECK(run("check-config -c " + config + " -r " + bad).status == status::bad_registry);
    CHECK(run("daemon run -c " + config + " -r " + bad).status == status::bad_registry);
    CHECK(run("check-config -c " + odd).status == status::ok);
    CHECK(run("check-config --strict -c " + odd).status == status::bad_config);
    for (const char* command : {"status", "tunnels", "neighbours", "routes", "daemon info", "daemon stop"}) {
        const Ran absent = run("--socket " + (folder / "none.sock") + " " + command);
        CHECK(absent.status == status::not_running);
        CHECK(has(absent.out, "no daemon is running at"));
    }
    CHECK(run("--socket " + (folder / "none.sock") + " load -r " + bad).status == status::not_running);
    CHECK(run("load -r /nowhere.json").status == status::bad_registry);
}

TEST_CASE("a good registry is signed beside it, and anybody may read the signature") {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    const std::string registry = folder.write("registry.json", run("pub -c " + config).out);
    const std::string sign = "sign -k " + (folder / "node.key") + " -r ";
    for (int times = 0; times < 2; ++times) CHECK(run(sign + registry).status == status::ok);
    struct stat file {};
    REQUIRE(stat((registry + ".sig").c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0644);
    CHECK(file.st_size == 89);
    CHECK(run(sign + registry + " -o " + (folder / "other")).status == status::ok);
    CHECK(std::filesystem::file_size(folder / "other") == 89);

    const std::string bad = folder.write("bad.json", "[{}]");
    const Ran refused = run(sign + bad);
    CHECK(refused.status == status::bad_registry);
    CHECK(has(refused.out, "bad.json: not signed"));
    CHECK_FALSE(std::filesystem::exists(bad + ".sig"));
    CHECK(run(sign + "/nowhere.json").status == status::bad_registry);
    CHECK(run(sign + "-").status == status::usage);
    CHECK(run("sign -k " + registry + " -r " + registry).status == status::failure);
    CHECK(run("sign -k /nowhere.key -r " + registry).status == status::failure);
    CHECK(run(sign + registry + " -o /nowhere/x.sig").status == status::failure);
}

TEST_CASE("a source that can never be one ends the daemon before it begins") {
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const auto configured = [&](const std::string& registry) {
        std::string text = config_text(folder);
        text.insert(text.rfind('}'), "\"registry\": {" + registry + "}");
        return "daemon run -c " + folder.write("config.json", text) + " -r ";
    };
    const std::string plain = configured("");
    for (const char* source : {"https://", "https://me:secret@example.org/", "http://example.org:99999/"}) {
        CHECK(run(plain + source).status == status::bad_registry);
        CHECK(
            run("check-config -c " + (folder / "config.json") + " -r " + source).status ==
            status::bad_registry
        );
    }
    CHECK(has(run(plain + "https://me:secret@example.org/").out, "without a user name"));
    CHECK(
        run("check-config -c " + (folder / "config.json") + " -r https://example.org/r").status == status::ok
    );
    CHECK(has(run(plain + folder.write("bad.json", "[")).out, "bad.json: not usable: line 1: not JSON"));
    CHECK(run(plain + "/").status == status::bad_registry);
    CHECK(run(plain + "-").status == status::bad_registry);  // nothing at all on standard input

    const std::string no_file = configured("\"ca_file\": \"nowhere.pem\"") + "https://example.org/r";
    CHECK(run(no_file).status == status::bad_config);
    CHECK(has(run(no_file).out, "registry.ca_file: nowhere.pem: cannot be read"));
    folder.write("ca.pem", "rubbish");
    const std::string no_certificate = configured("\"ca_file\": \"ca.pem\"") + "https://example.org/r";
    CHECK(run(no_certificate).status == status::bad_config);
    CHECK(has(run(no_certificate).out, "ca.pem: holds no certificate"));

    const std::string entry = run("pub -c " + (folder / "config.json")).out;
    const auto from = entry.find("-----BEGIN"), to = entry.find("\"", from);
    const std::string is_signed = configured("\"public_key\": \"" + entry.substr(from, to - from) + "\"");
    const Ran unsigned_input = run(is_signed + "-");
    CHECK(unsigned_input.status == status::bad_registry);
    CHECK(has(unsigned_input.out, "wants a signature beside it"));
    folder.write("registry.json", entry);
    const Ran without = run(is_signed + (folder / "registry.json"));
    CHECK(without.status == status::bad_registry);
    CHECK(has(without.out, "registry.json.sig: cannot be read: No such file"));
}

TEST_CASE("a runtime directory that cannot be used is a failure of its own") {
    if (geteuid() != 0) return;  // what it may do is looked at first
    const Folder folder;
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    const std::string config = folder.write("config.json", config_text(folder));
    std::filesystem::create_directories(folder / "run/aronet.pid");
    const Ran no_file = run("daemon run -c " + config);
    CHECK(no_file.status == status::failure);
    CHECK(has(no_file.out, "run/aronet.pid: Is a directory"));
    std::filesystem::remove_all(folder / "run");
    folder.write("run", "");
    CHECK(run("daemon run -c " + config).status == status::failure);
}

TEST_CASE("without the right to administer networks it says so") {
    const Folder folder;
    std::filesystem::permissions(
        std::filesystem::path(folder / "x").parent_path(), std::filesystem::perms::all
    );
    REQUIRE(run("keygen -o " + (folder / "node.key")).status == 0);
    std::filesystem::permissions(folder / "node.key", std::filesystem::perms::all);
    const std::string config = folder.write("config.json", config_text(folder));
    const std::string copy = folder / "aronet";
    std::filesystem::copy_file(ARONET_BINARY, copy);
    const std::string command = "setpriv --reuid 65534 --clear-groups --bounding-set -all --inh-caps -all " +
                                copy + " daemon run -c " + config + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096] = {};
    [[maybe_unused]] const auto size = fread(buffer, 1, sizeof buffer - 1, pipe);
    CHECK(WEXITSTATUS(pclose(pipe)) == status::permission);
    CHECK(has(buffer, "CAP_NET_ADMIN"));
}

TEST_CASE("an algorithm that the machine does not offer is named before anything is begun") {
    const Folder folder;
    const std::string part = folder.write(
        "openssl.cnf",
        "openssl_conf = all\n[all]\nproviders = some\nalg_section = wanted\n[some]\ndefault = on\n[on]\n"
        "activate = 1\n[wanted]\ndefault_properties = fips=yes\n"
    );
    REQUIRE(setenv("OPENSSL_CONF", part.c_str(), 1) == 0);
    const Ran ran = run("daemon run -c " + folder.write("config.json", config_text(folder)));
    unsetenv("OPENSSL_CONF");
    CHECK(ran.status == status::failure);
    CHECK(has(ran.out, "offer no prfsha256 that works"));
}
