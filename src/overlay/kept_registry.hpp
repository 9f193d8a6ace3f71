#pragma once

// A registry as bytes on their way in: whether who may sign it has, what it says, and the copy of a good one
// that is kept for a start without its source. Knows texts only.

#include "overlay/registry_source.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aronet::overlay {

// What was read at a source, not yet believed.
struct RegistryText {
    std::string text;
    std::string signature;  // what lies beside it (ike::parse_signature), read where keys are asked for
    Edition edition;        // its tag and date
};

// A registry that is signed by one of the keys (if there are any) and good throughout, or why there is none.
// Of a text that is known already nothing is parsed. `name` is what problems are told under.
RegistryLooked accept(
    const RegistryText& read,
    const std::string& name,
    const std::vector<ike::PublicKey>& keys,
    const std::string& known_version
);

// The copy is one file, so that it is replaced at once: a line that is a comment to who reads the registry,
// then the very bytes of it. nullopt: it is not the copy of this source, or not whole.
std::string encode_copy(const RegistryText& good, const std::string& source);
std::optional<RegistryText> decode_copy(std::string_view file, const std::string& source);

}  // namespace aronet::overlay
