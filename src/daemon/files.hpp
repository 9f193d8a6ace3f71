#pragma once

// Files of the user: read whole, with the words for what went wrong.

#include "overlay/parse.hpp"

#include <string>

namespace aronet::daemon {

base::Result<std::string> read_file(const std::string& path);     // "-" is standard input; at most 64 MiB
base::Result<base::Secret> read_secret(const std::string& path);  // the same; no copy of it is left anywhere
bool is_read_once(const std::string& path);  // piped in: it cannot be read again, and nothing lies beside it
// All of it or nothing: the file is its owner's alone, and on the disk when this returns. Empty, or what went
// wrong.
std::string replace_file(const std::string& path, std::string_view text);
bool append_to_secret(const std::string& path, std::string_view text);  // a new file is its owner's alone
// A path inside the configuration means a file beside it, else one beside the process.
std::string beside(const std::string& config_path, const std::string& path);
// Reads so. Warns of keys that everybody may read.
overlay::ReadKey key_reader(const std::string& config_path, overlay::Problems& problems);
void print(const overlay::Problems& problems);  // to standard error, one a line

// Reads, parses and prints what was wrong.
std::optional<overlay::Config> load_config(const std::string& path, overlay::Problems& problems);
std::optional<overlay::Config> read_config(
    const std::string& path, overlay::Problems& problems
);  // prints not
std::optional<overlay::Registry> load_registry(const std::string& path, overlay::Problems& problems);
std::optional<overlay::Registry> read_registry(
    const std::string& path, overlay::Problems& problems
);  // prints not

std::string runtime_directory(const overlay::Config& config);  // RUNTIME_DIR overrides the file
std::string control_path(const overlay::Config& config);
std::string state_directory(const overlay::Config& config);  // STATE_DIRECTORY overrides the file
std::string copy_path(const overlay::Config& config);        // of the last good registry of a URL

}  // namespace aronet::daemon
