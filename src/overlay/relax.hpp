#pragma once

// The original's files have comments and trailing commas. This filter blanks them in front of the JSON
// library without moving anything else, so that lines and columns stay true.

#include <string>
#include <string_view>

namespace aronet::overlay {

// Comments: `//` and `#` to the end of the line, `/* */`. Strings are left alone. A comment that never ends
// and all other mistakes are left for the JSON library to find.
std::string relax(std::string_view text);

}  // namespace aronet::overlay
