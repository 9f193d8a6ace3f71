#include "daemon/prepare.hpp"

#include "daemon/exit_status.hpp"
#include "daemon/files.hpp"
#include "daemon/netns.hpp"

#include <cstring>

namespace aronet::daemon {
namespace {

int refused(const std::string& name, int error) {
    const bool forbidden = error == EACCES || error == EPERM;
    return complain(
        forbidden ? exit_status::permission : exit_status::failure,
        "the namespace " + name + ": " + std::strerror(error) + (forbidden ? ": this is for root to do" : "")
    );
}

}  // namespace

int prepare_namespace(const std::string& config_path, const std::vector<std::string>& command) {
    overlay::Problems problems;
    const auto config = load_config(config_path, problems);
    if (!config) return exit_status::bad_config;
    std::vector<Handed> all;
    if (config->mode == overlay::Mode::netns) {
        if (const int error = make_namespace(config->netns_name); error != 0)
            return refused(config->netns_name, error);
        auto space = Netns::of(config->netns_name);
        if (!space) return refused(config->netns_name, space.error());
        all = std::move(*space).hand_over();
    }
    if (!command.empty()) {
        const int error = execute(command, all);
        return complain(exit_status::failure, command.front() + ": " + std::strerror(error));
    }
    if (all.empty()) return exit_status::ok;
    const std::string error = give_to_manager(all);
    return error.empty() ? exit_status::ok
                         : complain(exit_status::failure, "nobody takes the descriptors: " + error);
}

int remove_prepared_namespace(const std::string& config_path) {
    overlay::Problems problems;
    const auto config = load_config(config_path, problems);
    if (!config) return exit_status::bad_config;
    if (config->mode != overlay::Mode::netns) return exit_status::ok;
    const int error = remove_namespace(config->netns_name);
    return error == 0 ? exit_status::ok : refused(config->netns_name, error);
}

}  // namespace aronet::daemon
