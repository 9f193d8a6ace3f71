#include "daemon/files.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

namespace aronet::daemon {
namespace {

constexpr std::size_t kFileMax = 64 * 1024 * 1024;

base::Result<std::string> read_stream(std::istream& in, const std::string& name) {
    std::string text;
    std::string chunk(64 * 1024, '\0');
    while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || in.gcount() > 0) {
        text.append(chunk, 0, static_cast<std::size_t>(in.gcount()));
        if (text.size() > kFileMax) return base::Error{name + ": larger than 64 MiB"};
    }
    return {boost::system::in_place_value, std::move(text)};
}

void cannot_read(const std::string& path, const base::Error& error, overlay::Problems& problems) {
    problems.add({path, 0, 0, "", error.text, false});
}

}  // namespace

base::Result<std::string> read_file(const std::string& path) {
    if (path == "-") return read_stream(std::cin, "standard input");
    std::error_code unused;
    if (std::filesystem::is_directory(path, unused)) return base::Error{"cannot be read: it is a directory"};
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) return base::Error{std::string("cannot be read: ") + std::strerror(errno)};
    return read_stream(file, path);
}

overlay::ReadKey key_reader(const std::string& config_path) {
    return [config_path](const std::string& path) -> base::Result<base::Secret> {
        const auto beside = std::filesystem::path(config_path).parent_path() / path;
        std::error_code unused;
        const std::string chosen = std::filesystem::exists(beside, unused) ? beside.string() : path;
        auto text = read_file(chosen);
        if (!text) return base::Error{chosen + ": " + text.error().text};
        base::Secret secret{base::as_bytes(*text)};
        base::wipe({reinterpret_cast<base::Byte*>(text->data()), text->size()});
        return secret;
    };
}

void print(const overlay::Problems& problems) {
    for (const std::string& line : problems.lines()) std::cerr << line << "\n";
}

std::optional<overlay::Config> load_config(const std::string& path, overlay::Problems& problems) {
    auto text = read_file(path);
    std::optional<overlay::Config> config;
    if (text) {
        config = overlay::parse_config(*text, path, key_reader(path), problems);
        base::wipe({reinterpret_cast<base::Byte*>(text->data()), text->size()}
        );  // it may hold the private key
    } else {
        cannot_read(path, text.error(), problems);
    }
    print(problems);
    return config;
}

std::optional<overlay::Registry> load_registry(const std::string& path, overlay::Problems& problems) {
    auto registry = read_registry(path, problems);
    print(problems);
    return registry;
}

std::optional<overlay::Registry> read_registry(const std::string& path, overlay::Problems& problems) {
    const auto text = read_file(path);
    if (text) return overlay::parse_registry(*text, path, problems);
    cannot_read(path, text.error(), problems);
    return std::nullopt;
}

std::string runtime_directory(const overlay::Config& config) {
    const char* directory = std::getenv("RUNTIME_DIR");
    return directory != nullptr && *directory != '\0' ? directory : config.runtime_dir;
}

std::string control_path(const overlay::Config& config) {
    return runtime_directory(config) + "/" + config.ifname + ".sock";
}

}  // namespace aronet::daemon
