#include "daemon/netns.hpp"

#include "daemon/sysctl.hpp"
#include "daemon/udp.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

using namespace aronet;

namespace {

const std::string kName = "runtime-netns-test";

struct Removed {
    ~Removed() { daemon::remove_namespace(kName); }
};

ino_t namespace_of_this_thread() {
    struct stat status {};
    stat("/proc/thread-self/ns/net", &status);
    return status.st_ino;
}

// Of a socket.
ino_t namespace_of(int socket) {
    const daemon::Descriptor space(ioctl(socket, SIOCGSKNS));
    struct stat status {};
    fstat(space.get(), &status);
    return status.st_ino;
}

// The first line it prints.
std::string inside_by_command(const std::string& command) {
    FILE* pipe = popen(("ip netns exec " + kName + " " + command + " 2>/dev/null").c_str(), "r");
    char line[256] = {};
    const bool said = std::fgets(line, sizeof line, pipe) != nullptr;
    pclose(pipe);
    const std::string text = said ? line : "";
    return text.substr(0, text.find('\n'));
}

}  // namespace

TEST_CASE("a namespace is made, entered, adopted and removed without a trace", "[native]") {
    const Removed removed;
    REQUIRE(daemon::make_namespace(kName) == 0);
    const daemon::Descriptor first = daemon::open_namespace(kName);
    REQUIRE(first);
    ino_t inside = 0;
    daemon::inside_namespace(first.get(), [&] { inside = namespace_of_this_thread(); });
    CHECK(inside != namespace_of_this_thread());

    REQUIRE(daemon::make_namespace(kName) == 0);  // adopted, not made anew
    ino_t again = 0;
    daemon::inside_namespace(daemon::open_namespace(kName).get(), [&] {
        again = namespace_of_this_thread();
    });
    CHECK(again == inside);

    CHECK(daemon::remove_namespace(kName) == 0);
    CHECK_FALSE(daemon::open_namespace(kName));
    CHECK(daemon::remove_namespace(kName) == 0);
}

TEST_CASE("row 8: a namespace that has lost its name gets it again, unless another one has it", "[native]") {
    const Removed removed;
    REQUIRE(daemon::make_namespace(kName) == 0);
    const daemon::Descriptor itself = daemon::open_namespace(kName);
    struct stat before {
    }, after{};
    REQUIRE(fstat(itself.get(), &before) == 0);
    CHECK(daemon::leads_to(kName, itself.get()));
    REQUIRE(daemon::remove_namespace(kName) == 0);
    CHECK_FALSE(daemon::leads_to(kName, itself.get()));
    REQUIRE(daemon::restore_name(kName, itself.get()) == 0);
    CHECK(daemon::leads_to(kName, itself.get()));
    REQUIRE(fstat(daemon::open_namespace(kName).get(), &after) == 0);
    CHECK(after.st_ino == before.st_ino);
    CHECK(daemon::restore_name(kName, itself.get()) == 0);  // nothing is to be done

    REQUIRE(daemon::remove_namespace(kName) == 0);
    REQUIRE(daemon::make_namespace(kName) == 0);
    CHECK(daemon::restore_name(kName, itself.get()) == EEXIST);
    CHECK_FALSE(daemon::leads_to(kName, itself.get()));
}

TEST_CASE("a name that is no namespace's is an error, not the end", "[native]") {
    const Removed removed;
    REQUIRE(daemon::make_namespace(kName) == 0);
    REQUIRE(daemon::remove_namespace(kName) == 0);
    const daemon::Descriptor file(open(("/run/netns/" + kName).c_str(), O_CREAT | O_CLOEXEC, 0444));
    REQUIRE(file);
    const auto space = daemon::Netns::of(kName);
    REQUIRE_FALSE(space.has_value());
    CHECK(space.error() == EINVAL);
}

TEST_CASE("sysctls are those of the namespace, and a missing one is an error", "[native]") {
    const Removed removed;
    REQUIRE(daemon::make_namespace(kName) == 0);
    const daemon::Netns here;
    const auto space = daemon::Netns::of(kName);
    REQUIRE(space.has_value());
    for (const std::string key : {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"}) {
        const auto before = daemon::read_sysctl(here, key);
        const std::string other = *before == "1" ? "0" : "1";
        CHECK(daemon::write_sysctl(*space, key, other) == 0);
        CHECK(*daemon::read_sysctl(*space, key) == other);
        CHECK(inside_by_command("sysctl -n " + key) == other);
        CHECK(*daemon::read_sysctl(here, key) == *before);
    }
    for (const daemon::Netns* each : {&here, &*space}) {
        CHECK(daemon::read_sysctl(*each, "net.ipv4.no.such.thing").error() == ENOENT);
        CHECK(daemon::write_sysctl(*each, "net.no.such.thing", "1") == ENOENT);
    }
    // A link that came later.
    inside_by_command("ip link add l.1 type veth peer lb");
    CHECK(daemon::write_sysctl(*space, "net.ipv4.conf.l/1.rp_filter", "2") == 0);
    CHECK(inside_by_command("cat /proc/sys/net/ipv4/conf/l.1/rp_filter") == "2");
    CHECK(daemon::sysctl_path("net.ipv6.conf.eth0/7.forwarding") == "net/ipv6/conf/eth0.7/forwarding");
}

TEST_CASE(
    "a namespace that is handed over gives out what was opened in it, to whoever may not enter it", "[native]"
) {
    const Removed removed;
    REQUIRE(daemon::make_namespace(kName) == 0);
    const ino_t there = [] {
        struct stat status {};
        fstat(daemon::open_namespace(kName).get(), &status);
        return status.st_ino;
    }();
    auto made = daemon::Netns::of(kName);
    REQUIRE(made.has_value());
    CHECK_FALSE(made->was_handed_over());
    std::vector<daemon::Handed> all = std::move(*made).hand_over();
    all.push_back({"somebody-else's", daemon::Descriptor(dup(0))});
    daemon::Netns space = daemon::Netns::taken_from(all);
    REQUIRE(space.was_handed_over());
    REQUIRE(all.size() == 1);
    CHECK(all.front().name == "somebody-else's");

    struct stat status {};
    REQUIRE(fstat(space.descriptor(), &status) == 0);
    CHECK(status.st_ino == there);
    CHECK(daemon::write_sysctl(space, "net.ipv4.ip_forward", "1") == 0);
    CHECK(inside_by_command("sysctl -n net.ipv4.ip_forward") == "1");

    const daemon::Descriptor route = space.open_socket(AF_NETLINK, SOCK_RAW);
    REQUIRE(route);
    CHECK(namespace_of(route.get()) == there);
    CHECK_FALSE(space.open_socket(AF_NETLINK, SOCK_RAW));  // there was one
    CHECK(errno == EPERM);
    int udp = 0;
    std::vector<daemon::Descriptor> kept;
    while (daemon::Descriptor socket = space.open_socket(AF_INET6, SOCK_DGRAM)) {
        CHECK(namespace_of(socket.get()) == there);
        kept.push_back(std::move(socket));
        ++udp;
    }
    CHECK(udp >= 16);

    std::vector<daemon::Handed> nothing;
    CHECK_FALSE(daemon::Netns::taken_from(nothing).was_handed_over());
}
