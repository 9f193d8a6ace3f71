#include "overlay/url.hpp"

#include <catch2/catch.hpp>

using aronet::overlay::Url;

namespace {

Url url(const std::string& text) {
    const auto parsed = Url::parse(text);
    INFO(text << ": " << (parsed ? "" : parsed.error().text));
    REQUIRE(parsed.has_value());
    return *parsed;
}

std::string why_not(const std::string& text) {
    const auto parsed = Url::parse(text);
    INFO(text);
    REQUIRE_FALSE(parsed.has_value());
    return parsed.error().text;
}

}  // namespace

TEST_CASE("a URL is a scheme, a host, a port and what is asked for there") {
    CHECK(
        url("https://example.org/a/registry.json?v=2") ==
        Url{true, "example.org", 443, "/a/registry.json?v=2"}
    );
    CHECK(url("HTTP://example.org") == Url{false, "example.org", 80, "/"});
    CHECK(url("http://192.0.2.1:8080?x") == Url{false, "192.0.2.1", 8080, "/?x"});
    CHECK(url("https://[2001:db8::1]:8443/r#part") == Url{true, "2001:db8::1", 8443, "/r"});
    CHECK(url("https://[2001:db8::1]/r").host == "2001:db8::1");
}

TEST_CASE("a URL is told as it was given, without what goes without saying") {
    for (const char* text :
         {"https://example.org/r?x=1", "http://example.org:8080/", "https://[2001:db8::1]:8443/r"}) {
        CHECK(url(text).to_string() == text);
    }
    CHECK(url("http://example.org:80").to_string() == "http://example.org/");
    CHECK(url("https://[::1]:80/").authority() == "[::1]:80");
}

TEST_CASE("paths of files are not taken for URLs") {
    CHECK(Url::is_meant("https://x"));
    CHECK(Url::is_meant("HtTp://x"));
    for (const char* path : {"", "-", "/etc/aronet/registry.json", "http", "https:/x", "file:///x"})
        CHECK_FALSE(Url::is_meant(path));
}

TEST_CASE("what is no URL is refused with what was expected") {
    using Catch::Matchers::Contains;
    CHECK_THAT(why_not("ftp://example.org/"), Contains("https:// or http://"));
    CHECK_THAT(why_not("https:///registry.json"), Contains("the name or the address of a host"));
    CHECK_THAT(why_not("https://exa!mple/"), Contains("the name or the address of a host"));
    CHECK_THAT(why_not("https://example.org:0/"), Contains("port"));
    CHECK_THAT(why_not("https://example.org:65536/"), Contains("port"));
    CHECK_THAT(why_not("https://example.org:/"), Contains("port"));
    CHECK_THAT(why_not("https://me:secret@example.org/"), Contains("without a user name"));
    CHECK_THAT(why_not("https://example.org/a b"), Contains("blanks"));
    CHECK_THAT(why_not("https://example.org/\r\nHost: other"), Contains("blanks"));
    CHECK_THAT(why_not("https://[192.0.2.1]/"), Contains("IPv6"));
    CHECK_THAT(why_not("https://[::1/"), Contains("port"));
    CHECK_THAT(why_not("https://::1]/"), Contains("IPv6"));
    CHECK_THAT(why_not("https://]/"), Contains("IPv6"));
    CHECK_THAT(why_not("https://x/" + std::string(3000, 'a')), Contains("2048"));
}

TEST_CASE("a redirect leads on from where it stands") {
    const Url from = url("https://example.org:8443/a/b?v=1");
    const auto to = [&](const char* location) { return from.follow(location).value().to_string(); };
    CHECK(to("https://other.org/x") == "https://other.org/x");
    CHECK(to("//other.org/x") == "https://other.org/x");
    CHECK(to("/x?y") == "https://example.org:8443/x?y");
    CHECK(to("c.json") == "https://example.org:8443/a/c.json");
    CHECK(to("?v=2") == "https://example.org:8443/a/b?v=2");
    CHECK(url("http://example.org/").follow("https://example.org/")->secure);
}

TEST_CASE("a redirect never leads from https to http, nor anywhere else") {
    const Url from = url("https://example.org/a");
    CHECK(from.follow("http://example.org/a").error().text == "leads from https to http");
    CHECK(from.follow("HTTP://example.org/a").error().text == "leads from https to http");
    CHECK_FALSE(from.follow("file:///etc/passwd").has_value());
    CHECK_FALSE(from.follow("https:relative").has_value());
    CHECK_FALSE(from.follow("//").has_value());
    CHECK_FALSE(from.follow("/a\r\nb").has_value());
}

TEST_CASE("what lies beside a file has its name and more") {
    CHECK(url("https://example.org/registry.json").beside(".sig").target == "/registry.json.sig");
    CHECK(url("https://example.org/registry.json?k=v").beside(".sig").target == "/registry.json.sig?k=v");
}
