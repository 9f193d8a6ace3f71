#pragma once

// Where something lies on the web (RFC 3986): http and https alone, and no more of it than a request needs.

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace aronet::overlay {

struct Url {
    bool secure = true;  // https
    std::string host;    // a name or an address, the latter without brackets
    std::uint16_t port = 443;
    std::string target = "/";  // path and query, as a request has them

    // Whether a text is meant to be a URL rather than the path of a file.
    static bool is_meant(std::string_view text);
    static base::Result<Url> parse(std::string_view text);

    base::Result<Url> follow(std::string_view location) const;  // a redirect; never from https to http
    Url beside(std::string_view suffix) const;  // the file called so with this behind its name
    std::string authority() const;              // as the Host field has it
    std::string to_string() const;

    bool operator==(const Url&) const = default;
};

}  // namespace aronet::overlay
