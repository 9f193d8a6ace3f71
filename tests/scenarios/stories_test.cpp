// Stories of meshes to which everything happens, and those who tell them.

#include "environment.hpp"
#include "has.hpp"
#include "sim/story.hpp"

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

void told_fine(std::uint64_t count, std::size_t nodes, Duration length) {
    const std::uint64_t only = number("ARONET_SEED", 0);
    std::vector<Plot> plots;
    for (std::uint64_t seed = 1; seed <= count && only == 0; ++seed)
        plots.push_back(draw(seed, nodes, length));
    if (only != 0) plots.push_back(draw(only, nodes, length));
    for (const Outcome& outcome : tell_all(plots)) {
        INFO("seed " << outcome.seed << ": " << outcome.report);
        CHECK(outcome.fine());
    }
}

struct Ran {
    int status;
    std::string out;
};

Ran ran(const std::string& command) {
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    char buffer[4096];
    while (const std::size_t size = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, size);
    return {WEXITSTATUS(pclose(pipe)), text};
}

const std::string kSimulator = ARONET_SIMULATOR;

std::size_t lines(const std::string& text) { return std::size_t(std::ranges::count(text, '\n')); }

}  // namespace

TEST_CASE("row 10, 11, 24, 28, 29, 37, 38, 39: ten minutes of twenty nodes with faults of every kind") {
    told_fine(number("ARONET_SEEDS", std::getenv("ARONET_ALL") != nullptr ? 500 : 60), 20, 10min);
}

// One of them takes a processor some ten minutes. ARONET_HOURS says how many.
TEST_CASE("an hour of fifty nodes with faults of every kind") {
    const std::uint64_t hours = number("ARONET_HOURS", std::getenv("ARONET_ALL") != nullptr ? 1 : 0);
    if (hours > 0) told_fine(hours, 50, 60min);
}

TEST_CASE("the simulator says what is wrong with what it is asked for") {
    for (const char* arguments :
         {"",
          "x",
          "1 2",
          "1x",
          "1 --count",
          "1 --nodes 2",
          "1 --break rain",
          "1 --shrunk 1",
          "1 --count 2 --pcap /dev/null"}) {
        const Ran refused = ran(kSimulator + " " + arguments + " 2>&1");
        INFO(arguments);
        CHECK(refused.status == 2);
        CHECK(has(refused.out, "usage: aronet-sim SEED"));
    }
}

// Each roaming leaves a rule behind: of all that happens in the story only that, and no more than it takes.
TEST_CASE("a story that fails is told again by its last line, and shrinks to the one fault that it takes") {
    const auto fits = [](const Plot& plot) {  // once it has no more than three nodes, too
        std::vector<Fault> roams = plot.faults;
        std::erase_if(roams, [](const Fault& fault) { return fault.kind != Fault::Kind::roam; });
        return !roams.empty() && std::ranges::all_of(roams, [](const Fault& fault) {
            return std::max(fault.host, fault.other) < 3;
        });
    };
    std::uint64_t seed = 1;
    while (!fits(draw(seed, 6, 6min))) ++seed;
    const std::string arguments = " " + std::to_string(seed) + " --nodes 6 --minutes 6";
    const Ran failed = ran(kSimulator + arguments + " --break roam --shrink");
    INFO(failed.out);
    CHECK(failed.status == 1);
    CHECK(failed.out.starts_with("seed " + std::to_string(seed) + ": FAILED: "));

    const auto least = failed.out.find("still fails with ");
    REQUIRE(least != std::string::npos);
    const std::string rest = failed.out.substr(least);
    CHECK(has(rest, ", 3 nodes, full, "));
    CHECK(has(rest, ", 0 % loss\n"));
    const auto fault = rest.find("\n  at ");
    REQUIRE(fault != std::string::npos);
    CHECK(has(rest.substr(fault, rest.find('\n', fault + 1) - fault), " s roam "));
    CHECK(rest.find("\n  at ", fault + 1) == std::string::npos);

    const std::string again = "aronet-sim" + arguments + " --break 'roam'";
    CHECK(failed.out.ends_with("again: " + again + " [--shrink]\n"));
    const Ran told_again = ran(kSimulator + again.substr(std::string("aronet-sim").size()));
    CHECK(told_again.status == 1);
    CHECK(failed.out.starts_with(told_again.out));
    const Ran whole = ran(kSimulator + arguments + " --count 2");
    CHECK(whole.status == 0);
    CHECK(
        whole.out == "seed " + std::to_string(seed) + ": fine\nseed " + std::to_string(seed + 1) + ": fine\n"
    );
}

TEST_CASE("what the nodes of a story send is read by tshark, with their keys to the last octet") {
    if (std::system("tshark --version >/dev/null 2>&1") != 0) {
        std::cout << "left out: there is no tshark\n";
        return;
    }
    const auto folder = std::filesystem::temp_directory_path() / ("aronet-story-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    const std::string capture = (folder / "story.pcap").string();
    const Ran told =
        ran(kSimulator + " 3 --nodes 3 --minutes 2 --log --pcap " + capture + " --keys " + folder.string());
    INFO(told.out);
    CHECK(told.status == 0);
    CHECK(told.out.starts_with("seed 3: fine\n"));
    CHECK(has(told.out, " is up\n"));  // as the nodes say
    const auto frames = [&](const std::string& filter) {
        const Ran read =
            ran("WIRESHARK_CONFIG_DIR=" + folder.string() + " tshark -r " + capture +
                " -d udp.port==12025,udpencap -o esp.enable_encryption_decode:TRUE" +
                " -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -Y '" + filter + "' 2>/dev/null");
        REQUIRE(read.status == 0);
        return lines(read.out);
    };
    const std::size_t all = frames("frame");
    CHECK(all > 100);
    CHECK(frames("isakmp || esp || udpencap.nat_keepalive") == all);
    CHECK(frames("isakmp.typepayload == 39") > 4);  // AUTH: behind the encryption
    CHECK(frames("babel") == frames("esp"));
    CHECK(frames("babel.message.type == 4") > 10);
    CHECK(frames("ip.checksum.status == 0 || udp.checksum.status == 0") == 0);
    // Of Babel it takes what ends with the timestamps of an IHU (RFC 9616) for malformed.
    CHECK(frames("_ws.malformed && !babel") == 0);
    CHECK(frames("frame.time_epoch > 100") > 10);
    std::filesystem::remove_all(folder);
}
