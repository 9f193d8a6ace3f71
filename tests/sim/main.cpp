// aronet-sim SEED: tells the story of a seed, and says what failed.
//
//   --count N     of N seeds from there on
//   --nodes N     20 by default
//   --minutes N   10 by default
//   --shrink      finds the least of what failed that still fails
//   --log         prints all that the (shrunk) story's nodes say
//   --pcap FILE   writes what the (shrunk) story's nodes sent
//   --keys FOLDER writes what decrypts it: WIRESHARK_CONFIG_DIR=FOLDER

#include "story.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>

using namespace aronet::sim;

namespace {

struct Wanted {
    std::uint64_t seed = 0, count = 1, nodes = 20, minutes = 10;
    bool shrinks = false, logs = false;
    std::string pcap, keys;
};

bool parse(int argc, char** argv, Wanted& out) {
    bool seeded = false;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto number = [](const char* text) { return std::strtoull(text, nullptr, 10); };
        if (word == "--shrink") {
            out.shrinks = true;
        } else if (word == "--log") {
            out.logs = true;
        } else if (!word.starts_with("--")) {
            out.seed = number(argv[i]);
            seeded = true;
        } else if (++i == argc) {
            return false;
        } else if (word == "--count") {
            out.count = number(argv[i]);
        } else if (word == "--nodes") {
            out.nodes = std::max<std::uint64_t>(3, number(argv[i]));
        } else if (word == "--minutes") {
            out.minutes = std::max<std::uint64_t>(2, number(argv[i]));
        } else if (word == "--pcap") {
            out.pcap = argv[i];
        } else if (word == "--keys") {
            out.keys = argv[i];
        } else {
            return false;
        }
    }
    return seeded;
}

}  // namespace

int main(int argc, char** argv) {
    Wanted wanted;
    if (!parse(argc, argv, wanted)) {
        std::cerr << "usage: aronet-sim SEED [--count N] [--nodes N] [--minutes N] [--shrink] [--log]"
                     " [--pcap FILE] [--keys FOLDER]\n";
        return 2;
    }
    const aronet::base::Duration length = std::chrono::minutes(wanted.minutes);
    int failed = 0;
    for (const Outcome& outcome : tell_all(wanted.seed, wanted.count, wanted.nodes, length)) {
        std::cout << "seed " << outcome.seed << (outcome.fine() ? ": fine\n" : ": FAILED: " + outcome.report);
        failed += outcome.fine() ? 0 : 1;
        Plot plot = draw(outcome.seed, wanted.nodes, length);
        if (wanted.shrinks && !outcome.fine()) {
            plot = shrink(plot, outcome.what, [](const Plot& each) { return tell(each); });
            std::cout << "still fails with " << plot.to_string() << tell(plot).report;
        }
        if (wanted.pcap.empty() && !wanted.logs) continue;
        Recorder recorder;
        tell(plot, {&recorder, wanted.logs ? &std::cout : nullptr, {}});
        if (!wanted.pcap.empty()) recorder.write(wanted.pcap);
        if (!wanted.keys.empty()) recorder.write_keys(wanted.keys);
    }
    return failed == 0 ? 0 : 1;
}
