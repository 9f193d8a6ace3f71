#include "base/bytes.hpp"

#include <catch2/catch.hpp>

using namespace aronet::base;

namespace {

// Each way to read, by how many octets it needs.
struct Reading {
    std::size_t width;
    std::uint64_t (*read)(Reader& in);
};
const Reading kReadings[] = {
    {1, [](Reader& in) -> std::uint64_t { return in.u8(); }},
    {2, [](Reader& in) -> std::uint64_t { return in.u16(); }},
    {4, [](Reader& in) -> std::uint64_t { return in.u32(); }},
    {8, [](Reader& in) -> std::uint64_t { return in.u64(); }},
};

}  // namespace

TEST_CASE("numbers are read in network byte order") {
    const Bytes bytes{
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f};
    Reader in(bytes);
    CHECK(in.u8() == 0x01);
    CHECK(in.u16() == 0x0203);
    CHECK(in.u32() == 0x04050607);
    CHECK(in.u64() == 0x08090a0b0c0d0e0f);
    CHECK(in.done());
}

TEST_CASE("a number that is cut short at any length fails and is zero") {
    const Bytes bytes(8, 0xff);
    for (const auto& [width, read] : kReadings) {
        for (std::size_t length = 0; length <= bytes.size(); ++length) {
            INFO("width " << width << ", length " << length);
            Reader in(ByteView(bytes).first(length));
            const std::uint64_t value = read(in);
            CHECK(in.failed() == (length < width));
            CHECK(value == (length < width ? 0 : UINT64_MAX >> (64 - 8 * width)));
            CHECK(in.left() == (length < width ? 0 : length - width));
        }
    }
}

TEST_CASE("a view that is cut short at any length fails and is empty") {
    const Bytes bytes{1, 2, 3, 4, 5};
    for (std::size_t wanted = 0; wanted <= 6; ++wanted) {
        for (std::size_t length = 0; length <= bytes.size(); ++length) {
            INFO("wanted " << wanted << ", length " << length);
            Reader in(ByteView(bytes).first(length));
            const ByteView view = in.take(wanted);
            CHECK(in.failed() == (wanted > length));
            CHECK(view.size() == (wanted > length ? 0 : wanted));
            CHECK(std::equal(view.begin(), view.end(), bytes.begin()));
        }
    }
}

TEST_CASE("a reader that has failed stays so, whatever is asked of it next") {
    const Bytes bytes{1, 2, 3};
    Reader in(bytes);
    in.u32();
    CHECK(in.failed());
    CHECK(in.u8() == 0);
    CHECK(in.take(0).empty());
    CHECK(in.rest().empty());
    CHECK(in.failed());
    CHECK_FALSE(in.done());
    CHECK(in.left() == 0);
}

TEST_CASE("a size that would overflow any sum fails like any other") {
    const Bytes bytes{1, 2, 3};
    Reader in(bytes);
    in.u8();
    CHECK(in.take(SIZE_MAX).empty());
    CHECK(in.failed());
}

TEST_CASE("a reader knows where it is and what is left") {
    const Bytes bytes{1, 2, 3, 4, 5};
    Reader in(bytes);
    in.skip(2);
    CHECK(in.position() == 2);
    CHECK(in.left() == 3);
    CHECK_FALSE(in.done());
    const ByteView rest = in.rest();
    CHECK(Bytes(rest.begin(), rest.end()) == Bytes{3, 4, 5});
    CHECK(in.done());
    CHECK(in.rest().empty());
    CHECK_FALSE(in.failed());
}

TEST_CASE("what a writer writes a reader reads") {
    Bytes bytes;
    Writer out(bytes);
    out.u8(0xfe);
    out.u16(0xfedc);
    out.u32(0xfedcba98);
    out.u64(0xfedcba9876543210);
    out.put(as_bytes("text"));
    out.zeros(2);
    CHECK_FALSE(out.failed());
    CHECK(out.position() == 21);
    Reader in(bytes);
    CHECK(in.u8() == 0xfe);
    CHECK(in.u16() == 0xfedc);
    CHECK(in.u32() == 0xfedcba98);
    CHECK(in.u64() == 0xfedcba9876543210);
    const ByteView text = in.take(4);
    CHECK(std::string(text.begin(), text.end()) == "text");
    CHECK(in.u16() == 0);
    CHECK(in.done());
}

TEST_CASE("a writer goes to its limit and not an octet further, and writes nothing by halves") {
    for (std::size_t limit = 0; limit <= 9; ++limit) {
        for (const std::size_t width : {1u, 2u, 4u, 8u}) {
            INFO("limit " << limit << ", width " << width);
            Bytes bytes{0xaa};
            Writer out(bytes, limit);
            if (width == 1) out.u8(1);
            if (width == 2) out.u16(1);
            if (width == 4) out.u32(1);
            if (width == 8) out.u64(1);
            CHECK(out.failed() == (width > limit));
            CHECK(bytes.size() == 1 + (width > limit ? 0 : width));
            CHECK(bytes[0] == 0xaa);
        }
    }
}

TEST_CASE("a writer that has failed writes nothing more, even what would fit") {
    Bytes bytes;
    Writer out(bytes, 3);
    out.u32(1);
    out.u8(1);
    out.zeros(1);
    out.put(as_bytes("x"));
    CHECK(out.failed());
    CHECK(bytes.empty());
    CHECK(out.space() == 3);
}

TEST_CASE("what was written can be written over, what was not cannot") {
    Bytes bytes;
    Writer out(bytes);
    out.u32(0);
    out.patch_u16(1, 0xabcd);
    out.patch_u8(0, 0x01);
    CHECK(bytes == Bytes{0x01, 0xab, 0xcd, 0x00});
    out.patch_u16(3, 0x1122);
    CHECK(bytes == Bytes{0x01, 0xab, 0xcd, 0x11});
    out.patch_u8(4, 0xff);
    CHECK(bytes.size() == 4);
}

TEST_CASE("hexadecimal goes both ways and refuses what it is not") {
    CHECK(to_hex(Bytes{0x00, 0x9f, 0xff}) == "009fff");
    CHECK(to_hex(Bytes{}) == "");
    CHECK(to_hex(std::uint32_t{0x2a}) == "0000002a");
    CHECK(from_hex("009FfF") == Bytes{0x00, 0x9f, 0xff});
    CHECK(from_hex("") == Bytes{});
    for (const char* wrong : {"0", "0g", "g0", "0x00", "00 00", "-1", "\xff\xff"})
        CHECK_FALSE(from_hex(wrong));
}

TEST_CASE("what a stranger sent is printable, unambiguous and no longer than asked") {
    CHECK(printable("plain text, ~ too") == "plain text, ~ too");
    CHECK(printable("a\x1b[2J\n") == "a\\x1b[2J\\x0a");
    CHECK(printable("\\x41") == "\\x5cx41");
    CHECK(printable("\xc3\xa4") == "\\xc3\\xa4");
    CHECK(printable(std::string_view("\0", 1)) == "\\x00");
    CHECK(printable("\x7f") == "\\x7f");
    CHECK(printable("12345678", 8) == "12345678");
    CHECK(printable("123456789", 8) == "12345678...");
    CHECK(printable(std::string(1000, '\n'), 8).size() == 11);
}
