// aronet-sim SEED [NODES [COUNT [SHAPE]]]: tells the story of a seed, or of COUNT seeds from there on, and
// says what failed. SHAPE is ring, full or random.

#include "story.hpp"

#include <cstdlib>
#include <iostream>

using aronet::sim::Shape;

int main(int argc, char** argv) {
    const auto number = [&](int i, std::uint64_t otherwise) {
        return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
    };
    const std::uint64_t first = number(1, 1), nodes = number(2, 12), count = number(3, 1);
    const std::string wanted = argc > 4 ? argv[4] : "random";
    for (const Shape shape : {Shape::ring, Shape::full, Shape::random}) {
        if (argc < 2 || wanted != to_string(shape)) continue;
        int failed = 0;
        for (const auto& outcome : aronet::sim::tell_all(first, count, nodes < 3 ? 3 : nodes, shape)) {
            std::cout << "seed " << outcome.seed
                      << (outcome.fine ? ": fine\n" : ": FAILED\n" + outcome.report);
            failed += outcome.fine ? 0 : 1;
        }
        return failed == 0 ? 0 : 1;
    }
    std::cerr << "usage: aronet-sim SEED [NODES [COUNT [ring|full|random]]]\n";
    return 2;
}
