// aronet-sim SEED: tells the story of a seed, and says what failed.
//
//   --count N     of N seeds from there on
//   --nodes N     20 by default
//   --minutes N   10 by default
//   --break FAULT each such fault ("roam", "cut one way") leaves a rule behind: what becomes of a story that
//   fails
//   --shrink      finds the least of what failed that still fails
//   --log         prints all that the (shrunk) story's nodes say
//   --pcap FILE   writes what the (shrunk) story's nodes sent
//   --keys FOLDER writes what decrypts it: WIRESHARK_CONFIG_DIR=FOLDER
//
// Exit status 1 where a story failed, 2 where it was not understood what is wanted.

#include "story.hpp"

#include <charconv>
#include <iostream>

using namespace aronet::sim;

namespace {

struct Wanted {
    std::uint64_t seed = 0, count = 1, nodes = 20, minutes = 10;
    bool shrinks = false, logs = false;
    std::optional<Fault::Kind> broken;
    std::string pcap, keys;
};

bool read(std::string_view text, std::uint64_t least, std::uint64_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size() && out >= least;
}

// False: there is no such option, or not with that behind it.
bool parse(const std::string& option, const std::string& value, Wanted& out) {
    if (option == "--count") return read(value, 1, out.count);
    if (option == "--nodes") return read(value, 3, out.nodes);
    if (option == "--minutes") return read(value, 2, out.minutes);
    if (option == "--break") return (out.broken = kind_of(value)).has_value();
    if (option == "--pcap") return !(out.pcap = value).empty();
    if (option == "--keys") return !(out.keys = value).empty();
    return false;
}

bool parse(int argc, char** argv, Wanted& out) {
    bool seeded = false;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--shrink") {
            out.shrinks = true;
        } else if (word == "--log") {
            out.logs = true;
        } else if (!word.starts_with("--")) {
            if (std::exchange(seeded, true) || !read(word, 0, out.seed)) return false;
        } else if (++i == argc || !parse(word, argv[i], out)) {
            return false;
        }
    }
    return seeded && (out.count == 1 || out.pcap.empty());
}

// Once more, for whoever wants to see or keep what was said.
void record(const Plot& plot, const Wanted& wanted) {
    Recorder recorder;
    tell(plot, {&recorder, wanted.logs ? &std::cout : nullptr});
    if (!wanted.pcap.empty()) recorder.write(wanted.pcap);
    if (!wanted.keys.empty()) recorder.write_keys(wanted.keys);
}

}  // namespace

int main(int argc, char** argv) {
    Wanted wanted;
    if (!parse(argc, argv, wanted)) {
        std::cerr << "usage: aronet-sim SEED [--count N] [--nodes N] [--minutes N] [--break FAULT] [--shrink]"
                     " [--log] [--pcap FILE] [--keys FOLDER]\n";
        return 2;
    }
    std::vector<Plot> plots;
    for (std::uint64_t i = 0; i < wanted.count; ++i)
        plots.push_back(
            draw(wanted.seed + i, wanted.nodes, std::chrono::minutes(wanted.minutes), wanted.broken)
        );
    int failed = 0;
    const std::vector<Outcome> outcomes = tell_all(plots);
    for (std::size_t i = 0; i < plots.size(); ++i) {
        const Outcome& outcome = outcomes[i];
        std::cout << "seed " << outcome.seed << (outcome.fine() ? ": fine\n" : ": FAILED: " + outcome.report);
        failed += outcome.fine() ? 0 : 1;
        if (wanted.shrinks && !outcome.fine()) {
            plots[i] = shrink(plots[i], outcome.what, [](const Plot& each) { return tell(each); });
            std::cout << "still fails with " << plots[i].to_string() << tell(plots[i]).report;
        }
        if (!wanted.pcap.empty() || !wanted.keys.empty() || wanted.logs) record(plots[i], wanted);
    }
    return failed == 0 ? 0 : 1;
}
