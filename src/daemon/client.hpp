#pragma once

// The commands that talk to a running daemon, and those that only read files. Data goes to standard output,
// talk to standard error; each returns an exit status of exit_status.hpp.

#include <string>

namespace aronet::daemon {

struct ClientOptions {
    std::string socket;  // empty: the only one in the runtime directory
    bool json = false;
};

int show(const ClientOptions& options, const std::string& verb);  // info, status, tunnels, neighbours, routes
// Waits until the daemon has stopped. With `keep` the kernel goes on carrying traffic.
int stop(const ClientOptions& options, bool keep);
// The configuration and the registry. A trial changes nothing, and shows what would be changed.
int reload(const ClientOptions& options, bool is_trial);
// Asks for new keys of the tunnels to a peer (or of one interface), of its IKE SA with `ike`.
int rekey(const ClientOptions& options, const std::string& peer, bool ike);
int load(const ClientOptions& options, const std::string& registry_path, bool is_trial);

int check_config(const std::string& config_path, const std::string& registry_path, bool strict);
// Writes the signature of a good registry beside it (or where `output` says).
int sign(const std::string& key_path, const std::string& registry_path, const std::string& output);
int keygen(const std::string& key_path);         // empty: the key goes to standard output
int show_entry(const std::string& config_path);  // the registry entry of a configuration

}  // namespace aronet::daemon
