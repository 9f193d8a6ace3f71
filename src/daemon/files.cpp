#include "daemon/files.hpp"

#include "daemon/descriptor.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
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

base::Error too_large(const std::string& name) { return {name + ": larger than 64 MiB"}; }
base::Error unreadable(int error) { return {std::string("cannot be read: ") + std::strerror(error)}; }

base::Result<std::string> read_stream(std::istream& in, const std::string& name) {
    std::string text;
    std::string chunk(64 * 1024, '\0');
    while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || in.gcount() > 0) {
        text.append(chunk, 0, static_cast<std::size_t>(in.gcount()));
        if (text.size() > kFileMax) return too_large(name);
    }
    return {boost::system::in_place_value, std::move(text)};
}

void cannot_read(const std::string& path, const base::Error& error, overlay::Problems& problems) {
    problems.add({path, 0, 0, "", error.text, false});
}

std::string ours(const std::string& path) { return "chown " + std::to_string(geteuid()) + " " + path; }

// Root may have made it for us, or be asked about the key of another user's daemon.
void warn_if_public(const std::string& path, overlay::Problems& problems) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    if ((status.st_mode & S_IROTH) != 0)
        problems.add({path, 0, 0, "", "holds a key and may be read by everybody: chmod 600 " + path, true});
    const uid_t we = geteuid();
    if (we != 0 && status.st_uid != 0 && status.st_uid != we)
        problems.add({path, 0, 0, "", "holds a key and is another user's: " + ours(path), true});
}

// The command that makes a key that cannot be read one that can.
std::string mended(const std::string& path, const base::Error& error) {
    if (error.text == unreadable(EACCES).text) return ": " + ours(path);
    return error.text == unreadable(ENOENT).text ? ": aronet keygen -o " + path : "";
}

std::string_view as_text(const base::Secret& bytes) {
    return {reinterpret_cast<const char*>(bytes.view().data()), bytes.size()};
}

}  // namespace

base::Result<std::string> read_file(const std::string& path) {
    if (path == "-") return read_stream(std::cin, "standard input");
    std::error_code unused;
    if (std::filesystem::is_directory(path, unused)) return base::Error{"cannot be read: it is a directory"};
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) return unreadable(errno);
    return read_stream(file, path);
}

// Without a stream, whose buffer would keep what passed through it.
base::Result<base::Secret> read_secret(const std::string& path) {
    const Descriptor file(path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return unreadable(errno);
    struct stat status {};
    if (fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode)) return unreadable(EISDIR);
    if (status.st_size > static_cast<off_t>(kFileMax)) return too_large(path);
    base::Secret room(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1);
    for (std::size_t size = 0;;) {
        const auto left = room.mutable_view().subspan(size);
        const ssize_t count = read(file.get(), left.data(), left.size());
        if (count < 0) return unreadable(errno);
        if (count == 0) return base::Secret(room.view().first(size));
        size += static_cast<std::size_t>(count);
        if (size > kFileMax) return too_large(path);
        if (size < room.size()) continue;
        base::Secret larger(2 * size);
        std::ranges::copy(room.view(), larger.mutable_view().begin());
        room = std::move(larger);
    }
}

// Under another name first: whoever reads the file, now or after a power cut, finds the old or the new one.
bool is_read_once(const std::string& path) {
    std::error_code error;
    const auto file = std::filesystem::status(path, error);
    return path == "-" || (std::filesystem::exists(file) && !std::filesystem::is_regular_file(file) &&
                           !std::filesystem::is_directory(file));
}

std::string replace_file(const std::string& path, std::string_view text) {
    const std::string folder = std::filesystem::path(path).parent_path(), fresh = path + ".new";
    const auto failed = [&](const char* what) {
        const std::string words = path + ": " + what + ": " + std::strerror(errno);
        unlink(fresh.c_str());
        return words;
    };
    unlink(fresh.c_str());  // of a run that was cut short
    const Descriptor file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) return failed("cannot be made");
    while (!text.empty()) {
        const ssize_t count = write(file.get(), text.data(), text.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return failed("cannot be written");
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    if (fsync(file.get()) != 0) return failed("cannot be written");
    if (rename(fresh.c_str(), path.c_str()) != 0) return failed("cannot be replaced");
    const Descriptor entry(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (entry) fsync(entry.get());
    return "";
}

bool append_to_secret(const std::string& path, std::string_view text) {
    const Descriptor file(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    return file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string beside(const std::string& config_path, const std::string& path) {
    const auto there = std::filesystem::path(config_path).parent_path() / path;
    std::error_code unused;
    return std::filesystem::exists(there, unused) ? there.string() : path;
}

overlay::ReadKey key_reader(const std::string& config_path, overlay::Problems& problems) {
    return [config_path, &problems](const std::string& path) -> base::Result<base::Secret> {
        const std::string chosen = beside(config_path, path);
        auto secret = read_secret(chosen);
        if (!secret) return base::Error{chosen + ": " + secret.error().text + mended(chosen, secret.error())};
        warn_if_public(chosen, problems);
        return secret;
    };
}

void print(const overlay::Problems& problems) {
    for (const std::string& line : problems.lines()) std::cerr << line << "\n";
}

std::optional<overlay::Config> load_config(const std::string& path, overlay::Problems& problems) {
    auto config = read_config(path, problems);
    print(problems);
    return config;
}

std::optional<overlay::Config> read_config(const std::string& path, overlay::Problems& problems) {
    const auto text = read_secret(path);  // it may hold the private key
    std::optional<overlay::Config> config;
    if (text) {
        if (as_text(*text).find("PRIVATE KEY-----") != std::string_view::npos) warn_if_public(path, problems);
        config = overlay::parse_config(as_text(*text), path, key_reader(path, problems), problems);
    } else {
        cannot_read(path, text.error(), problems);
    }
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

std::string state_directory(const overlay::Config& config) {
    const char* directory = std::getenv("STATE_DIRECTORY");
    return directory != nullptr && *directory != '\0' ? directory : config.state_dir;
}

std::string copy_path(const overlay::Config& config) {
    return state_directory(config) + "/" + config.ifname + ".registry.json";
}

std::string control_path(const overlay::Config& config) {
    return runtime_directory(config) + "/" + config.ifname + ".sock";
}

}  // namespace aronet::daemon
