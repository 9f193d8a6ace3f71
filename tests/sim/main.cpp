// aronet-sim SEED [NODES [COUNT]]: tells the story of a seed, or of COUNT seeds from there on, and says what
// failed.

#include "story.hpp"

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
    if (argc < 2) {
        std::cerr << "usage: aronet-sim SEED [NODES [COUNT]]\n";
        return 2;
    }
    const auto number = [&](int i, std::uint64_t otherwise) {
        return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
    };
    const std::uint64_t first = number(1, 1), nodes = number(2, 12), count = number(3, 1);
    int failed = 0;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        const auto outcome = aronet::sim::tell(seed, nodes < 3 ? 3 : nodes);
        std::cout << "seed " << seed << (outcome.fine ? ": fine\n" : ": FAILED\n" + outcome.report);
        failed += outcome.fine ? 0 : 1;
    }
    return failed == 0 ? 0 : 1;
}
