#include "daemon/run.hpp"

#include "daemon/exit_status.hpp"
#include "daemon/files.hpp"
#include "daemon/log.hpp"
#include "daemon/privileges.hpp"
#include "daemon/probe.hpp"
#include "daemon/runtime.hpp"
#include "daemon/safekeeping.hpp"
#include "daemon/sysctl.hpp"
#include "daemon/tun.hpp"
#include "ike/known_answers.hpp"
#include "overlay/desired.hpp"
#include "overlay/plan.hpp"

#include <boost/asio/co_spawn.hpp>

#include <fcntl.h>
#include <linux/capability.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <set>

namespace aronet::daemon {
namespace {

int refused(const std::string& path, int error) {
    const bool forbidden = error == EACCES || error == EPERM;
    return complain(
        forbidden ? exit_status::permission : exit_status::failure, path + ": " + std::strerror(error)
    );
}

// One daemon for one name: the lock is held for as long as the process lives. Who may open the file may lock
// it.
class PidFile {
public:
    explicit PidFile(std::string path) : path_(std::move(path)) {}
    ~PidFile() {
        if (held_) unlink(path_.c_str());
    }
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;

    // An exit status: ok when the lock is ours; what is wrong has been told otherwise. It needs no room on
    // the disk, unlike the number.
    int take() {
        do {
            file_ = Descriptor(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
            if (!file_) return refused(path_, errno);
            if (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) return taken();
        } while (!is_at_its_path());  // its holder has just removed it
        held_ = true;
        const std::string text = std::to_string(getpid()) + "\n";
        if (ftruncate(file_.get(), 0) != 0 || write(file_.get(), text.data(), text.size()) <= 0)
            write_log({base::Level::warning, path_ + ": " + std::strerror(errno)});
        return exit_status::ok;
    }

private:
    int taken() const {
        char pid[32] = {};
        [[maybe_unused]] const auto size = read(file_.get(), pid, sizeof pid - 1);
        const std::string first_line = std::string(pid).substr(0, std::string(pid).find('\n'));
        const std::string pid_of = first_line.empty() ? "" : " with pid " + base::printable(first_line);
        return complain(exit_status::not_running, "already running" + pid_of);
    }
    bool is_at_its_path() const {
        struct stat ours {
        }, there{};
        return fstat(file_.get(), &ours) == 0 && stat(path_.c_str(), &there) == 0 &&
               ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
    }

    std::string path_;
    Descriptor file_;
    bool held_ = false;
};

void choose_links(overlay::Config& config, const overlay::Host& host) {
    const bool was_shared = config.links == overlay::Links::shared;
    overlay::settle_links(config, host);
    if (was_shared && config.links != overlay::Links::shared)
        write_log(
            {base::Level::warning,
             "tunnels cannot share a link without the kernel's ESP, or beside SAs of others: each has its "
             "own"}
        );
}

// The kernel's ESP where it is wanted and there. A wish that cannot be met is an error, in words.
base::Result<bool> choose_datapath(const overlay::Config& config) {
    if (config.endpoints.empty()) return true;  // there is nothing to carry
    if (config.datapath == overlay::DatapathChoice::user) return false;
    const std::string why_not = why_no_kernel_esp();
    if (why_not.empty()) return true;
    if (config.datapath == overlay::DatapathChoice::kernel) {
        return base::Error{"datapath \"kernel\" is not possible here: " + why_not};
    }
    write_log({base::Level::info, "the kernel has no ESP for us (" + why_not + "): using our own over TUN"});
    return false;
}

// The kernel is tried in a namespace made for that. A plan leaves no trace in the host's.
base::Result<bool> datapath_of_plan(const overlay::Config& config) {
    if (has_capability(CAP_SYS_ADMIN) || config.endpoints.empty()) return choose_datapath(config);
    if (config.datapath != overlay::DatapathChoice::automatic)
        return config.datapath == overlay::DatapathChoice::kernel;
    return base::Error{
        "to try whether the kernel has ESP for us takes root; with datapath \"kernel\" or \"user\" it is not "
        "tried"};
}

Ports ports_of(
    const overlay::Config& config, const RunOptions& options, bool kernel_datapath, Netns overlay
) {
    Ports ports;
    ports.overlay = std::move(overlay);
    ports.kernel_datapath = kernel_datapath;
    ports.ike = config.ike_ports();
    ports.config_path = options.config_path;
    ports.reads_once = is_read_once(options.config_path);
    ports.mark = config.fwmark;
    ports.babel_space = overlay::overlay_space(config);
    if (config.mode != overlay::Mode::none) ports.babel_link = config.ifname;
    ports.control_path = control_path(config);
    ports.keys_to = options.keys_to;
    return ports;
}

// Of sockets that the kernel's ESP needs open.
Custody custody_for(const overlay::Config& config, std::vector<Handed> handed, bool kernel_datapath) {
    const bool wanted = kernel_datapath && !config.endpoints.empty();
    return {runtime_directory(config) + "/" + config.ifname + ".held", std::move(handed), wanted};
}

int run_until_stopped(
    overlay::Config config,
    overlay::Host host,
    Ports ports,
    Custody& custody,
    std::optional<overlay::Event> first
) {
    StateFile state(runtime_directory(config) + "/" + config.ifname + ".state");
    // Its tunnels go on only where it is known whose they are.
    const bool goes_on = overlay::recall(state.contents()).router_id && !ports.loaded_registry.empty();
    if (!first && goes_on && host.registry_source.empty()) {
        overlay::Problems problems;
        if (auto registry = read_registry(ports.loaded_registry, problems))
            first = overlay::RegistryChanged{std::move(*registry), 0, "copy"};
    }
    host.remembers = true;
    host.is_managed = has_manager();
    host.remembered = state.contents();
    boost::asio::io_context io{1};
    Runtime runtime(io, std::move(config), std::move(host), std::move(ports), state, custody);
    std::exception_ptr failure;
    boost::asio::co_spawn(io, runtime.run(std::move(first)), [&](std::exception_ptr error) {
        failure = error;
        io.stop();
    });
    io.run();
    // Signals that come late find nobody any more: they are not to end what is about to end well.
    sigset_t late;
    sigfillset(&late);
    pthread_sigmask(SIG_BLOCK, &late, nullptr);
    if (failure) std::rethrow_exception(failure);
    if (!runtime.failure().empty()) return complain(exit_status::failure, runtime.failure());
    return exit_status::ok;
}

bool is_root() { return geteuid() == 0 && has_capability(CAP_SYS_ADMIN); }

// Ok: it may do what it has to.
int check_privileges(const overlay::Config& config, const Privileges& needed) {
    if (!has_capability(CAP_NET_ADMIN))
        return complain(exit_status::permission, "needs root, or CAP_NET_ADMIN");
    if (!needed.enters || has_capability(CAP_SYS_ADMIN)) return exit_status::ok;
    return complain(
        exit_status::permission,
        "the namespace " + config.netns_name +
            " can be made by root, or handed over: aronet netns prepare (docs/privileges.md)"
    );
}

void tell_privileges(const overlay::Config& config, const Privileges& needed) {
    const char* filter = config.seccomp == overlay::SeccompChoice::enforce ? "filtered"
                         : config.seccomp == overlay::SeccompChoice::log   ? "logged where not expected"
                                                                           : "not filtered";
    std::string text = "user " + std::to_string(geteuid()) + ", calls of the kernel are ";
    text += filter;
    if (needed.is_unlimited) text += "; for root's updown scripts all capabilities are kept";
    write_log({base::Level::info, text});
}

// Before anything runs: where the registry is, and what is known of it. An exit status; what is wrong has
// been told otherwise.
int find_registry(
    const RunOptions& options,
    const overlay::Config& config,
    RegistryPlace& place,
    std::optional<overlay::Event>& first
) {
    const std::string& path = options.registry_path;
    const auto refused = [&](const std::string& why) {
        return complain(exit_status::bad_registry, path + ": " + why);
    };
    place.keys = config.registry.public_keys;
    place.mark = config.fwmark;
    if (path.empty()) return exit_status::ok;
    if (overlay::Url::is_meant(path)) {
        const auto url = overlay::Url::parse(path);
        if (!url) return refused(url.error().text);
        if (!url->secure && place.keys.empty())
            write_log(
                {base::Level::warning, path + ": whoever is on the way can change it: use https, or sign"}
            );
        place.copy = copy_path(config);
        place.source = path;
        first = look_at_copy(place);
        return exit_status::ok;
    }
    if (is_read_once(path)) {
        if (!place.keys.empty()) return refused("registry.public_key wants a signature beside it");
        overlay::Problems problems;
        auto registry = read_registry(path, problems);
        write_log(problems);
        if (!registry) return exit_status::bad_registry;
        first = overlay::RegistryChanged{std::move(*registry), 0, "stdin"};
        return exit_status::ok;
    }
    place.source = path;
    overlay::RegistryLooked looked = look_at_file(place, {});
    std::error_code error;
    const bool is_bad = !looked.error.empty() && (std::filesystem::exists(path, error) || error);
    if (is_bad) {
        for (const base::Note& note : looked.notes) write_log(note);
        return refused(looked.error);
    }
    first = std::move(looked);
    return exit_status::ok;
}

// Who vouches for a web server.
int read_authorities(const RunOptions& options, const overlay::Config& config, RegistryPlace& place) {
    if (config.registry.ca_file.empty()) return exit_status::ok;
    const std::string path = beside(options.config_path, config.registry.ca_file);
    auto text = read_file(path);
    if (!text)
        return complain(exit_status::bad_config, "registry.ca_file: " + path + ": " + text.error().text);
    if (text->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
        return complain(
            exit_status::bad_config, "registry.ca_file: " + path + ": holds no certificate (PEM)"
        );
    place.authorities = std::move(*text);
    return exit_status::ok;
}

// Babel has a socket for each link, the data plane a device; what is usual is meant for select().
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = std::max(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 65536));
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int plan(const std::string& config_path, const std::string& registry_path) {
    overlay::Problems problems, registry_problems;
    auto config = load_config(config_path, problems);
    if (!config) return exit_status::bad_config;
    const auto registry = load_registry(registry_path, registry_problems);
    if (!registry) return exit_status::bad_registry;
    if (!has_capability(CAP_NET_ADMIN))
        return complain(exit_status::permission, "needs root, or CAP_NET_ADMIN");
    if (config->mode == overlay::Mode::netns && !has_capability(CAP_SYS_ADMIN))
        return complain(exit_status::permission, "looks into a namespace: needs root");
    start_log("warning", overlay::LogFormat::text);
    const auto kernel_datapath = datapath_of_plan(*config);
    if (!kernel_datapath && !has_capability(CAP_SYS_ADMIN))
        return complain(exit_status::permission, kernel_datapath.error().text);
    if (!kernel_datapath) return complain(exit_status::failure, kernel_datapath.error().text);
    Netns here, space;
    overlay::Present present;
    if (config->mode == overlay::Mode::netns) {
        auto found = Netns::of(config->netns_name);
        if (!found && found.error() != ENOENT) return refused(config->netns_name, found.error());
        present.has_namespace = bool(found);
        if (found) space = std::move(*found);
    }
    auto snapshot = take_snapshot(config->ifname, present.has_namespace ? &space : nullptr);
    if (!snapshot) return complain(exit_status::failure, snapshot.error().text);
    present.snapshot = std::move(*snapshot);
    if (const auto segments = overlay::clamp(*config)) present.has_clamp = has_filter_table(segments->table);
    present.value_of = [&](const overlay::Sysctl& sysctl) -> std::optional<std::string> {
        const bool is_inside = sysctl.space == netlink::Space::overlay;
        if (is_inside && !present.has_namespace) return std::nullopt;
        const auto value = read_sysctl(is_inside ? space : here, sysctl.key);
        return value ? std::optional(*value) : std::nullopt;
    };
    overlay::Host host{*kernel_datapath, local_addresses(), "", 0};
    host.has_other_ipsec = present.snapshot.has_other_sas;
    choose_links(*config, host);
    const auto lines = overlay::plan_start(*config, *registry, host, present);
    for (const std::string& line : lines) std::cout << line << "\n";
    return exit_status::ok;
}

int run(const RunOptions& options) {
    std::vector<Handed> handed = take_handed();
    std::signal(SIGHUP, SIG_IGN);  // what it asks for is about to be done; the runtime has its own handler
    std::signal(
        SIGCHLD, SIG_DFL
    );                        // who started us may not have cared for his children, but we wait for ours
    Safekeeping safekeeping;  // before a secret is read
    if (sodium_init() < 0) return complain(exit_status::failure, "the crypto library does not start");
    if (const std::string broken = ike::broken_algorithm(); !broken.empty())
        return complain(exit_status::failure, "OpenSSL and libsodium offer no " + broken + " that works");
    overlay::Problems problems;
    auto config = load_config(options.config_path, problems);
    if (!config) return exit_status::bad_config;
    if (config->private_key.empty() && !config->endpoints.empty())
        return complain(exit_status::bad_config, options.config_path + ": private_key is missing");
    start_log(config->log_level, config->log_format);
    RegistryPlace place;
    place.agent = "aronet/" + options.version;
    std::optional<overlay::Event> first;
    if (const int status = read_authorities(options, *config, place); status != exit_status::ok)
        return status;
    if (const int status = find_registry(options, *config, place, first); status != exit_status::ok)
        return status;
    Netns space = Netns::taken_from(handed);
    // It is bound, and would be until the unit is stopped: nobody's host could tell that nobody listens.
    if (space.was_handed_over() && has_manager()) drop_from_manager(kNetnsSocket);
    const Privileges privileges = needed(*config, is_root(), space.was_handed_over());
    if (const int status = check_privileges(*config, privileges); status != exit_status::ok) return status;
    umask(umask(0) | 022);  // nobody else writes what is ours, however we were started
    std::error_code error;
    std::filesystem::create_directories(runtime_directory(*config), error);
    if (error) return refused(runtime_directory(*config), error.value());
    PidFile pid_file(runtime_directory(*config) + "/" + config->ifname + ".pid");
    if (const int status = pid_file.take(); status != exit_status::ok) return status;

    if (config->core_dumps) {
        safekeeping.allow_core_dumps();
        write_log({base::Level::warning, "core dumps are allowed (daemon.core_dumps): one holds every key"});
    }
    if (!options.keys_to.empty()) {
        config->tells_keys = true;
        const std::string words =
            "EVERY KEY IS WRITTEN TO " + options.keys_to + ": whoever reads it reads all traffic";
        write_log({base::Level::warning, words});
        std::cerr << "aronet: " << words << "\n";
    }
    raise_descriptor_limit();
    std::signal(SIGPIPE, SIG_IGN);
    const auto kernel_datapath = choose_datapath(*config);
    if (!kernel_datapath) return complain(exit_status::failure, kernel_datapath.error().text);
    if (!*kernel_datapath) provide_tun();
    overlay::Host host{*kernel_datapath, local_addresses(), options.version, getpid(), place.source};
    choose_links(*config, host);
    Ports ports = ports_of(*config, options, *kernel_datapath, std::move(space));
    ports.registry = std::move(place);
    if (*kernel_datapath)
        ports.loaded_registry = runtime_directory(*config) + "/" + config->ifname + ".loaded.json";
    Custody custody = custody_for(*config, std::move(handed), *kernel_datapath);
    if (const std::string why_not = give_up_all_but(privileges, config->seccomp); !why_not.empty())
        return complain(exit_status::failure, why_not);
    tell_privileges(*config, privileges);
    try {
        return run_until_stopped(
            std::move(*config), std::move(host), std::move(ports), custody, std::move(first)
        );
    } catch (const std::exception& failure) {
        return complain(exit_status::failure, failure.what());
    }
}

}  // namespace aronet::daemon
