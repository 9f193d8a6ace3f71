#pragma once

// Who a node is: an ASN.1 distinguished name of exactly three attributes (docs/ike.md, identities).

#include "base/bytes.hpp"

#include <optional>
#include <string>

namespace aronet::ike {

// O=, CN= and serialNumber=; nodes without a serial number use the older D=<address>:<port> instead.
struct Identity {
    std::string organization;
    std::string common_name;
    std::string qualifier;        // the serial number, or "<address>:<port>"
    bool is_description = false;  // qualifier is the older D= attribute (2.5.4.13)

    // DER of the Name: UTF8String, UTF8String and PrintableString (UTF8String for the older form's attributes
    // where PrintableString cannot say it).
    base::Bytes encode() const;
    // Accepts UTF8String and PrintableString, exactly these three single-valued RDNs in this order, canonical
    // DER.
    static std::optional<Identity> decode(base::ByteView der);
    std::string to_string() const;  // O=acme,CN=node,serialNumber=0

    auto operator<=>(const Identity&) const = default;  // by value, byte exact, never by encoding
};

}  // namespace aronet::ike
