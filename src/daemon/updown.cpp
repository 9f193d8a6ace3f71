#include "daemon/updown.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

namespace aronet::daemon {
namespace {

std::vector<std::string> merge_environment(const std::map<std::string, std::string>& added) {
    std::vector<std::string> entries;
    for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
    for (const auto& [name, value] : added) entries.push_back(name + "=" + value);
    return entries;
}

// What a script inherits: no input, our log as its output, signals as they are by default, and a process
// group of its own, so that what it started ends with it.
class Surroundings {
public:
    Surroundings() {
        posix_spawnattr_init(&attributes);
        sigset_t none, ignored;  // by us
        sigemptyset(&none);
        sigemptyset(&ignored);
        sigaddset(&ignored, SIGPIPE);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &ignored);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        );
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
        // A script that outlives us must not hold our sockets: nobody else could listen there.
        posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    }
    ~Surroundings() {
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
    }
    Surroundings(const Surroundings&) = delete;
    Surroundings& operator=(const Surroundings&) = delete;

    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
};

// `/bin/sh -c script`. Returns 0 or an errno.
int spawn(const overlay::RunUpdown& script, pid_t& pid) {
    std::vector<std::string> entries = merge_environment(script.environment);
    std::vector<char*> pointers;
    for (std::string& entry : entries) pointers.push_back(entry.data());
    pointers.push_back(nullptr);
    std::string shell = "/bin/sh", flag = "-c", command = script.script;
    char* arguments[] = {shell.data(), flag.data(), command.data(), nullptr};
    const Surroundings around;
    return posix_spawn(&pid, shell.c_str(), &around.files, &around.attributes, arguments, pointers.data());
}

std::string ending(int status) {
    if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
    return "ended with exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Updown::~Updown() {
    for (const auto& [name, tunnel] : tunnels_) kill(-tunnel.pid, SIGKILL);
}

void Updown::run(overlay::RunUpdown script, base::Instant now) {
    const auto [tunnel, is_new] = tunnels_.try_emplace(script.interface);
    auto& scripts = tunnel->second.scripts;
    if (scripts.size() > kWaitingMax) {
        warn(*tunnel, "does not end: another one that waits for it is left out");
        scripts.erase(scripts.begin() + 1);
    }
    scripts.push_back(std::move(script));
    if (is_new) start(tunnel, now);
}

void Updown::reap(base::Instant now) {
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        const auto tunnel =
            std::ranges::find_if(tunnels_, [pid](const auto& each) { return each.second.pid == pid; });
        if (tunnel == tunnels_.end()) continue;
        if (status != 0) warn(*tunnel, ending(status));
        tunnel->second.scripts.pop_front();
        start(tunnel, now);
    }
}

void Updown::tick(base::Instant now) {
    for (auto& [name, tunnel] : tunnels_) {
        if (tunnel.give_up_at > now) continue;
        kill(-tunnel.pid, SIGKILL);  // the reaper tells of it
        tunnel.give_up_at = now + kPatience;
        if (end_) tunnel.scripts.resize(1);
    }
}

std::optional<base::Deadline> Updown::deadline() const {
    std::optional<base::Deadline> first;
    for (const auto& [name, tunnel] : tunnels_) {
        if (!first || tunnel.give_up_at < first->at)
            first = base::Deadline{tunnel.give_up_at, "an updown script takes too long"};
    }
    return first;
}

void Updown::hurry(base::Instant give_up_at) {
    end_ = give_up_at;
    for (auto& [name, tunnel] : tunnels_) tunnel.give_up_at = std::min(tunnel.give_up_at, give_up_at);
}

// The first of a tunnel's scripts that can be started; a tunnel without one is forgotten.
void Updown::start(Tunnels::iterator tunnel, base::Instant now) {
    auto& [scripts, pid, give_up_at] = tunnel->second;
    for (; !scripts.empty(); scripts.pop_front()) {
        give_up_at = end_ ? std::min(*end_, now + kPatience) : now + kPatience;
        const int error = spawn(scripts.front(), pid);
        if (error == 0) return;
        warn(*tunnel, std::string("cannot be started: ") + std::strerror(error));
    }
    tunnels_.erase(tunnel);
}

void Updown::warn(const Tunnels::value_type& tunnel, const std::string& what) {
    const auto& environment = tunnel.second.scripts.front().environment;
    const auto verb = environment.find("PLUTO_VERB");
    notes_.push_back(
        {base::Level::warning,
         tunnel.first + ": the updown script" + (verb == environment.end() ? "" : " (" + verb->second + ")") +
             " " + what}
    );
}

}  // namespace aronet::daemon
