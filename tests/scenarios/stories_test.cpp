// Stories of meshes to which everything happens, and those who tell them.

#include "environment.hpp"
#include "sim/story.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

void told_fine(std::uint64_t count, std::size_t nodes, Duration length) {
    const std::uint64_t only = number("ARONET_SEED", 0);
    for (const Outcome& outcome : tell_all(only != 0 ? only : 1, only != 0 ? 1 : count, nodes, length)) {
        INFO("seed " << outcome.seed << ": " << outcome.report);
        CHECK(outcome.fine());
    }
}

// What a shell command prints.
std::string said(const std::string& command) {
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    char buffer[4096];
    while (const std::size_t size = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, size);
    REQUIRE(pclose(pipe) == 0);
    return text;
}

std::size_t lines(const std::string& text) { return std::size_t(std::ranges::count(text, '\n')); }

}  // namespace

TEST_CASE("row 10, 11, 24, 28, 29, 37, 38, 39: ten minutes of twenty nodes with faults of every kind") {
    told_fine(number("ARONET_SEEDS", std::getenv("ARONET_ALL") != nullptr ? 500 : 60), 20, 10min);
}

TEST_CASE("an hour of fifty nodes with faults of every kind") {
    if (std::getenv("ARONET_ALL") != nullptr) told_fine(20, 50, 60min);
}

// Roaming leaves a rule behind: of all that happens in the story only that, and no more than it takes.
TEST_CASE("of a story that fails the shrinker finds the one fault that it takes") {
    Plot plot = draw(5, 6, 6min);
    std::erase_if(plot.faults, [](const Fault& fault) { return fault.kind == Fault::Kind::roam; });
    REQUIRE(plot.faults.size() > 5);
    Fault roam = plot.faults[3];
    roam.kind = Fault::Kind::roam;
    roam.host = roam.other = 0;
    plot.faults.insert(plot.faults.begin() + 4, roam);
    const auto told = [](const Plot& each) {
        return tell(each, {nullptr, nullptr, [](World& world, const Fault& fault) {
                               netlink::Rule forgotten;
                               forgotten.priority = 7;
                               if (fault.kind == Fault::Kind::roam)
                                   world.kernel(1).perform({1, netlink::AddRule{forgotten}});
                           }});
    };
    const Outcome outcome = told(plot);
    REQUIRE(outcome.what == "a kernel has not what its node thinks");
    const Plot least = shrink(plot, outcome.what, told);
    INFO(least.to_string());
    REQUIRE(least.faults.size() == 1);
    CHECK(least.faults.front().kind == Fault::Kind::roam);
    CHECK(least.nodes == 3);
    CHECK(least.length < plot.length);
    CHECK(least.weather == Weather{});
    CHECK(tell(least).fine());
}

TEST_CASE("what the nodes of a story send is read by tshark, with their keys to the last octet") {
    if (std::system("tshark --version >/dev/null 2>&1") != 0) {
        std::cout << "left out: there is no tshark\n";
        return;
    }
    const auto folder = std::filesystem::temp_directory_path() / ("aronet-story-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    Recorder recorder;
    const Outcome outcome = tell(draw(3, 3, 2min), {&recorder, nullptr, {}});
    INFO(outcome.report);
    CHECK(outcome.fine());
    REQUIRE(recorder.frames() > 100);
    recorder.write(folder / "story.pcap");
    recorder.write_keys(folder);
    const auto frames = [&](const std::string& filter) {
        return lines(said(
            "WIRESHARK_CONFIG_DIR=" + folder.string() + " tshark -r " + (folder / "story.pcap").string() +
            " -d udp.port==12025,udpencap -o esp.enable_encryption_decode:TRUE" +
            " -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -Y '" + filter + "' 2>/dev/null"
        ));
    };
    CHECK(frames("isakmp || esp") == recorder.frames());
    CHECK(frames("isakmp.typepayload == 39") > 4);  // AUTH: behind the encryption
    CHECK(frames("babel") == frames("esp"));
    CHECK(frames("babel.message.type == 4") > 10);
    CHECK(frames("ip.checksum.status == 0 || udp.checksum.status == 0") == 0);
    // Of Babel it takes what ends with the timestamps of an IHU (RFC 9616) for malformed.
    CHECK(frames("_ws.malformed && !babel") == 0);
    CHECK(frames("frame.time_epoch > 100") > 10);
    std::filesystem::remove_all(folder);
}
