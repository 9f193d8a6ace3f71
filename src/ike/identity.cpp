#include "ike/identity.hpp"

#include <algorithm>
#include <array>

namespace aronet::ike {
namespace {

using base::Byte;
using base::Bytes;
using base::ByteView;

constexpr Byte kSequence = 0x30, kSet = 0x31, kOid = 0x06, kUtf8 = 0x0c, kPrintable = 0x13;
// The last octet of the attribute types 2.5.4.x (X.520).
constexpr Byte kCommonName = 3, kSerialNumber = 5, kOrganization = 10, kDescription = 13;

// One DER element: tag and contents, lengths in their shortest form.
struct Element {
    Byte tag = 0;
    ByteView contents;
};

std::optional<Element> take_element(ByteView& in) {
    base::Reader reader(in);
    Element element;
    element.tag = reader.u8();
    std::size_t length = reader.u8();
    if (length == 0x81) {
        length = reader.u8();
        if (length < 0x80) return std::nullopt;
    } else if (length == 0x82) {
        length = reader.u16();
        if (length < 0x100) return std::nullopt;
    } else if (length >= 0x80) {
        return std::nullopt;
    }
    element.contents = reader.take(length);
    if (reader.failed()) return std::nullopt;
    in = reader.rest();
    return element;
}

// The only element of `in`, with this tag.
std::optional<ByteView> only(ByteView in, Byte tag) {
    const auto element = take_element(in);
    if (!element || element->tag != tag || !in.empty()) return std::nullopt;
    return element->contents;
}

struct Attribute {
    Byte type = 0;  // x of 2.5.4.x
    std::string value;
};

std::optional<Attribute> take_attribute(ByteView& rdns) {
    const auto set = take_element(rdns);
    if (!set || set->tag != kSet) return std::nullopt;
    auto pair = only(set->contents, kSequence);
    if (!pair) return std::nullopt;
    const auto oid = take_element(*pair);
    const auto value = take_element(*pair);
    if (!oid || !value || !pair->empty() || oid->tag != kOid || oid->contents.size() != 3)
        return std::nullopt;
    if (oid->contents[0] != 0x55 || oid->contents[1] != 0x04) return std::nullopt;
    if (value->tag != kUtf8 && value->tag != kPrintable) return std::nullopt;
    const std::string text(value->contents.begin(), value->contents.end());
    if (text.find('\0') != std::string::npos) return std::nullopt;
    return Attribute{oid->contents[2], text};
}

Bytes wrap(Byte tag, const Bytes& contents) {
    Bytes out;
    base::Writer writer(out);
    writer.u8(tag);
    if (contents.size() >= 0x100) {
        writer.u8(0x82);
        writer.u16(static_cast<std::uint16_t>(contents.size()));
    } else {
        if (contents.size() >= 0x80) writer.u8(0x81);
        writer.u8(static_cast<Byte>(contents.size()));
    }
    writer.put(contents);
    return out;
}

bool is_printable_string(std::string_view text) {
    constexpr std::string_view others = " '()+,-./:=?";
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               others.find(c) != std::string_view::npos;
    });
}

Bytes encode_attribute(Byte type, std::string_view value, Byte tag) {
    const Bytes text(value.begin(), value.end());
    Bytes pair = wrap(kOid, {0x55, 0x04, type});
    const Bytes string = wrap(tag, text);
    pair.insert(pair.end(), string.begin(), string.end());
    return wrap(kSet, wrap(kSequence, pair));
}

}  // namespace

base::Bytes Identity::encode() const {
    Bytes rdns = encode_attribute(kOrganization, organization, kUtf8);
    const Bytes name = encode_attribute(kCommonName, common_name, kUtf8);
    const Byte last = is_description ? kDescription : kSerialNumber;
    const Bytes number =
        encode_attribute(last, qualifier, is_printable_string(qualifier) ? kPrintable : kUtf8);
    rdns.insert(rdns.end(), name.begin(), name.end());
    rdns.insert(rdns.end(), number.begin(), number.end());
    return wrap(kSequence, rdns);
}

std::optional<Identity> Identity::decode(base::ByteView der) {
    auto rdns = only(der, kSequence);
    if (!rdns) return std::nullopt;
    const auto organization = take_attribute(*rdns), name = take_attribute(*rdns),
               number = take_attribute(*rdns);
    if (!organization || !name || !number || !rdns->empty()) return std::nullopt;
    if (organization->type != kOrganization || name->type != kCommonName) return std::nullopt;
    if (number->type != kSerialNumber && number->type != kDescription) return std::nullopt;
    return Identity{organization->value, name->value, number->value, number->type == kDescription};
}

std::string Identity::to_string() const {
    return "O=" + organization + ",CN=" + common_name + (is_description ? ",D=" : ",serialNumber=") +
           qualifier;
}

}  // namespace aronet::ike
