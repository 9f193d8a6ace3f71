// Commands around keys and files: keygen, pub, sign, check-config.

#include "daemon/client.hpp"
#include "daemon/descriptor.hpp"
#include "daemon/exit_status.hpp"
#include "daemon/files.hpp"
#include "overlay/topology.hpp"
#include "overlay/url.hpp"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include <cstring>
#include <iostream>

namespace aronet::daemon {
namespace {

using nlohmann::json;
using Ordered = nlohmann::ordered_json;

// The file is made with its mode, never changed to it later, and never replaces one that is there.
int write_secret(const std::string& path, const std::string& text) {
    const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) return errno;
    return write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

Ordered endpoint_entry(const overlay::EndpointConfig& endpoint) {
    Ordered entry;
    if (endpoint.serial_number) {
        const bool digits = endpoint.serial_number->find_first_not_of("0123456789") == std::string::npos &&
                            endpoint.serial_number->size() < 10;
        entry["serial_number"] =
            digits ? Ordered(std::stoul(*endpoint.serial_number)) : Ordered(*endpoint.serial_number);
    }
    entry["address_family"] = endpoint.family == overlay::Family::v4 ? "ip4" : "ip6";
    entry["address"] = endpoint.address            ? Ordered(endpoint.address->to_string())
                       : endpoint.hostname.empty() ? Ordered(nullptr)
                                                   : Ordered(endpoint.hostname);
    entry["port"] = endpoint.port;
    return entry;
}

Ordered connect_entry(const overlay::ConnectRules& rules) {
    Ordered list = Ordered::array();
    for (const auto& rule : rules) {
        Ordered entry{{"organization", rule.nodes.organization}, {"common_name", rule.nodes.common_name}};
        if (rule.refused) entry["deny"] = true;
        list.push_back(std::move(entry));
    }
    return list;
}

Ordered entry_of(const overlay::Config& config) {
    Ordered endpoints = Ordered::array(), prefixes = Ordered::array();
    for (const auto& endpoint : config.endpoints) endpoints.push_back(endpoint_entry(endpoint));
    for (const auto& prefix : config.prefixes) prefixes.push_back(prefix.to_string());
    Ordered remarks;
    if (config.network) remarks["network"] = config.network->to_string();
    remarks["prefixs"] = prefixes;  // the spelling every version reads
    if (config.connect) remarks["connect"] = connect_entry(*config.connect);
    const Ordered node{{"common_name", config.common_name}, {"endpoints", endpoints}, {"remarks", remarks}};
    return Ordered::array({Ordered{
        {"public_key", ike::public_key_to_pem(config.public_key)},
        {"organization", config.organization},
        {"nodes", Ordered::array({node})},
    }});
}

}  // namespace

int keygen(const std::string& key_path) {
    if (sodium_init() < 0) return complain(exit_status::failure, "the crypto library does not start");
    base::Secret seed(32);
    randombytes_buf(seed.mutable_view().data(), seed.size());
    std::string pem = ike::private_key_to_pem(seed);
    if (key_path.empty()) {
        std::cout << pem;
    } else if (const int error = write_secret(key_path, pem); error != 0) {
        return complain(
            error == EACCES ? exit_status::permission : exit_status::failure,
            key_path + ": " + std::strerror(error)
        );
    }
    base::wipe({reinterpret_cast<base::Byte*>(pem.data()), pem.size()});
    const Ordered entry{
        {"public_key", ike::public_key_to_pem(ike::public_key_of(seed))},
        {"organization", "NAME"},
        {"nodes", Ordered::array()}};
    (key_path.empty() ? std::cerr : std::cout) << entry.dump(2) << "\n";
    return exit_status::ok;
}

int show_entry(const std::string& config_path) {
    overlay::Problems problems;
    const auto config = load_config(config_path, problems);
    if (!config) return exit_status::bad_config;
    if (config->private_key.empty())
        return complain(exit_status::bad_config, config_path + ": private_key is missing");
    std::cout << entry_of(*config).dump(2) << "\n";
    return exit_status::ok;
}

// What no node would take is not signed: they would all refuse it, each by itself.
int sign(const std::string& key_path, const std::string& registry_path, const std::string& output) {
    if (sodium_init() < 0) return complain(exit_status::failure, "the crypto library does not start");
    if (registry_path == "-" && output.empty())
        return complain(
            exit_status::usage, "what comes from standard input needs a file for its signature (-o)"
        );
    const auto pem = read_secret(key_path);
    if (!pem) return complain(exit_status::failure, key_path + ": " + pem.error().text);
    const base::ByteView bytes = pem->view();
    const auto seed = ike::parse_private_key({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (!seed) return complain(exit_status::failure, key_path + ": " + seed.error().text);
    const auto text = read_file(registry_path);
    if (!text) return complain(exit_status::bad_registry, registry_path + ": " + text.error().text);
    overlay::Problems problems;
    const bool good = overlay::parse_registry(*text, registry_path, problems).has_value();
    print(problems);
    if (!good) return complain(exit_status::bad_registry, registry_path + ": not signed");
    const std::string path = output.empty() ? registry_path + ".sig" : output;
    const std::string signature =
        ike::signature_to_text(ike::sign(ike::SigningKey(*seed), base::as_bytes(*text)));
    const std::string failed = replace_file(path, signature);
    if (!failed.empty()) return complain(exit_status::failure, failed);
    if (chmod(path.c_str(), 0644) != 0)
        return complain(exit_status::failure, path + ": " + std::strerror(errno));
    return exit_status::ok;
}

int check_config(const std::string& config_path, const std::string& registry_path, bool strict) {
    overlay::Problems problems, registry_problems;
    const auto config = load_config(config_path, problems);
    const bool config_fine = config && !config->private_key.empty() && !(strict && !problems.list().empty());
    bool registry_fine = true;
    if (overlay::Url::is_meant(registry_path)) {
        const auto url = overlay::Url::parse(registry_path);
        if (!url) return complain(exit_status::bad_registry, registry_path + ": " + url.error().text);
        std::cerr << "aronet: " << registry_path << ": only the daemon asks there\n";
    } else if (!registry_path.empty()) {
        const auto registry = load_registry(registry_path, registry_problems);
        const std::string refused = config && registry ? overlay::refused_by_others(*config, *registry) : "";
        if (!refused.empty()) std::cerr << registry_path << ": warning: " << refused << "\n";
        registry_fine = registry && !(strict && !(registry_problems.list().empty() && refused.empty()));
    }
    if (!config_fine)
        return complain(exit_status::bad_config, config_path + ": not usable" + (config ? " as it is" : ""));
    if (!registry_fine) return complain(exit_status::bad_registry, registry_path + ": not usable");
    std::cerr << "aronet: fine\n";
    return exit_status::ok;
}

}  // namespace aronet::daemon
