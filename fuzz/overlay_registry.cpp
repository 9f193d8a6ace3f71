// Any text as a registry, and what it would make of the tunnels.

#include "overlay/keeper.hpp"
#include "overlay/parse.hpp"

#include <cstdlib>

using namespace aronet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    overlay::Problems problems;
    const auto registry = overlay::parse_registry(text, "registry.json", problems);
    if (registry.has_value() == problems.has_errors()) std::abort();
    if (!registry) return 0;
    overlay::Config config;
    config.organization = "acme";
    config.common_name = "one";
    config.network = *base::Prefix::parse("fd66::/64");
    overlay::EndpointConfig endpoint;
    endpoint.serial_number = "0";
    config.endpoints.push_back(endpoint);
    const auto pairs = overlay::pairings(config, *registry, {});
    const auto objects = overlay::desired(config, *registry, pairs);
    if (overlay::difference({}, objects).size() < objects.links.size()) std::abort();
    return 0;
}
