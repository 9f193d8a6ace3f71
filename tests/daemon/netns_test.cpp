#include "daemon/netns.hpp"

#include "daemon/sysctl.hpp"
#include "daemon/udp.hpp"

#include <catch2/catch.hpp>

#include <net/if.h>
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

TEST_CASE("sysctls are those of the namespace, and a missing one is an error", "[native]") {
    const Removed removed;
    REQUIRE(daemon::make_namespace(kName) == 0);
    const auto before = daemon::read_sysctl("net.ipv4.ip_forward");
    const daemon::Descriptor space = daemon::open_namespace(kName);
    std::string inside;
    daemon::inside_namespace(space.get(), [&] {
        CHECK(daemon::write_sysctl("net.ipv4.ip_forward", "1") == 0);
        inside = *daemon::read_sysctl("net.ipv4.ip_forward");
    });
    CHECK(inside == "1");
    CHECK(*daemon::read_sysctl("net.ipv4.ip_forward") == *before);
    CHECK(daemon::read_sysctl("net.no.such.thing").error() == ENOENT);
    CHECK(
        daemon::sysctl_path("net.ipv6.conf.eth0/7.forwarding") == "/proc/sys/net/ipv6/conf/eth0.7/forwarding"
    );
}
