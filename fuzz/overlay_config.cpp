// Any text as a configuration: never more than problems, and each of them with a place.

#include "overlay/parse.hpp"

#include <cstdlib>

using namespace aronet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    overlay::Problems problems;
    const auto no_key = [](const std::string&) -> base::Result<base::Secret> {
        return base::Error{"no such file"};
    };
    const auto config = overlay::parse_config(text, "config.json", no_key, problems);
    if (config.has_value() == problems.has_errors()) std::abort();
    for (const auto& problem : problems.list()) (void)problem.to_string();
    return 0;
}
