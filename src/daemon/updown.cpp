#include "daemon/updown.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <vector>

namespace aronet::daemon {

int spawn_script(const std::string& script, const std::map<std::string, std::string>& environment) {
    std::vector<std::string> entries;
    for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
    for (const auto& [name, value] : environment) entries.push_back(name + "=" + value);
    std::vector<char*> pointers;
    for (std::string& entry : entries) pointers.push_back(entry.data());
    pointers.push_back(nullptr);

    std::string shell = "/bin/sh", flag = "-c", command = script;
    char* arguments[] = {shell.data(), flag.data(), command.data(), nullptr};
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t child = 0;
    const int error = posix_spawn(&child, shell.c_str(), nullptr, &attributes, arguments, pointers.data());
    posix_spawnattr_destroy(&attributes);
    return error;
}

void reap_children() {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
}

}  // namespace aronet::daemon
