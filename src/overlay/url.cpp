#include "overlay/url.hpp"

#include "base/address.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace aronet::overlay {
namespace {

constexpr std::size_t kUrlMax = 2048, kNameMax = 253;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool starts_with_word(std::string_view text, std::string_view word) {
    return text.size() >= word.size() &&
           std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) { return a == (b | 32); });
}

// "https:..." rather than "registry.json": a scheme stands before the first colon, whatever it is.
bool has_scheme(std::string_view text) {
    const auto end = std::find_if_not(text.begin(), text.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
    });
    return end != text.end() && end != text.begin() && *end == ':';
}

bool is_host_name(std::string_view text) {
    return !text.empty() && text.size() <= kNameMax && std::all_of(text.begin(), text.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
    });
}

std::optional<std::uint16_t> port_of(std::string_view digits) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool fine = error == std::errc() && end == digits.data() + digits.size() && port != 0;
    return fine ? std::optional(port) : std::nullopt;
}

base::Error error(const char* text) { return {text}; }

// What stands between the slashes: host, [IPv6], with or without a port.
base::Result<Url> read_authority(std::string_view text, Url url) {
    if (text.find('@') != std::string_view::npos)
        return error("expected a URL without a user name: everybody sees it among the processes");
    const auto bracket = text.find(']');
    const auto colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
    std::string_view host = text.substr(0, colon);
    if (colon != std::string_view::npos) {
        const auto port = port_of(text.substr(colon + 1));
        if (!port) return error("expected a port from 1 to 65535 behind the host of the URL");
        url.port = *port;
    }
    if (bracket != std::string_view::npos) {
        host = host.substr(1, host.size() - 2);
        const auto address = base::Address::parse(host);
        if (text.front() != '[' || !address || !address->is_v6())
            return error("expected an IPv6 address between the brackets of the URL");
    } else if (!is_host_name(host)) {
        return error("expected a URL with the name or the address of a host");
    }
    url.host = host;
    return {boost::system::in_place_value, std::move(url)};
}

}  // namespace

bool Url::is_meant(std::string_view text) {
    return starts_with_word(text, "http://") || starts_with_word(text, "https://");
}

base::Result<Url> Url::parse(std::string_view text) {
    if (!is_meant(text)) return error("expected a URL that begins with https:// or http://");
    if (text.size() > kUrlMax) return error("expected a URL of at most 2048 characters");
    const bool plain =
        std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~' && c != '\\'; });
    if (!plain)
        return error("expected a URL without blanks and special characters: these are written as %20");
    Url url;
    url.secure = starts_with_word(text, "https");
    url.port = url.secure ? 443 : 80;
    text = text.substr(text.find("//") + 2);
    text = text.substr(0, text.find('#'));
    const auto end = text.find_first_of("/?");
    if (end != std::string_view::npos) {
        url.target = text.substr(end);
        if (url.target.front() == '?') url.target.insert(0, "/");
    }
    return read_authority(text.substr(0, end), std::move(url));
}

base::Result<Url> Url::follow(std::string_view location) const {
    std::string scheme = secure ? "https:" : "http:";
    const std::string here = scheme + "//" + authority();
    const std::string path = target.substr(0, target.find('?'));
    std::string whole;
    if (has_scheme(location)) {
        whole = location;
    } else if (location.starts_with("//")) {
        whole = scheme.append(location);
    } else if (location.starts_with("/")) {
        whole = std::string(here).append(location);
    } else if (location.starts_with("?")) {
        whole = (here + path).append(location);
    } else {
        whole = (here + path.substr(0, path.rfind('/') + 1)).append(location);
    }
    auto next = parse(whole);
    if (next && secure && !next->secure) return error("leads from https to http");
    return next;
}

Url Url::beside(std::string_view suffix) const {
    Url other = *this;
    other.target.insert(std::min(target.find('?'), target.size()), suffix);
    return other;
}

std::string Url::authority() const {
    std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
    if (port != (secure ? 443 : 80)) text += ":" + std::to_string(port);
    return text;
}

std::string Url::to_string() const { return (secure ? "https://" : "http://") + authority() + target; }

}  // namespace aronet::overlay
