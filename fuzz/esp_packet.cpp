// Arbitrary datagrams, and arbitrary plaintexts sealed with the right key, against open(): it never crashes,
// and what it lets through is a whole IP packet.

#include "base/result.hpp"
#include "esp/registry.hpp"

#include <algorithm>

using namespace aronet;

namespace {

constexpr std::uint32_t kSpi = 0x1000;

base::Sa association(base::EspSuite suite, bool esn) {
    base::Sa sa;
    sa.spi = kSpi;
    sa.if_id = 1;
    sa.suite = suite;
    sa.esn = esn;
    sa.key = base::Secret(base::key_size(suite));
    return sa;
}

// The fuzzer's bytes as the plaintext of an authentic packet: padding, next header and inner packet are all
// its own.
base::Bytes sealed(const base::Sa& sa, base::ByteView plaintext) {
    auto cipher = esp::Cipher::make(sa.suite, base::Direction::out, sa.key.view());
    const std::size_t size = plaintext.size() / cipher->block_size() * cipher->block_size();
    base::Bytes packet(cipher->overhead() + size);
    esp::encode_header({kSpi, 1}, packet);
    std::ranges::copy(
        plaintext.first(size),
        packet.begin() + static_cast<std::ptrdiff_t>(esp::kHeaderSize + cipher->iv_size())
    );
    base::ensure(cipher->seal(packet, sa.esn ? std::optional(0u) : std::nullopt), "sealed");
    return packet;
}

void open(const base::Sa& sa, base::Bytes bytes, std::uint8_t traffic_class) {
    auto random = base::Random::from_number(1);
    esp::Registry registry(random);
    base::ensure(registry.add(sa) == std::errc{}, "added");
    esp::DropCounters drops;
    esp::Packet packet;
    packet.room = bytes;
    packet.size = bytes.size();
    packet.traffic_class = traffic_class;
    registry.table().open({&packet, 1}, base::Instant{}, drops);
    if (packet.drop != esp::Drop::none) return;
    base::ensure(packet.at + packet.size <= bytes.size(), "inside the buffer");
    base::ensure(
        packet.size >= 20 && (packet.bytes()[0] >> 4 == 4 || packet.bytes()[0] >> 4 == 6), "an IP packet"
    );
    base::ensure(packet.if_id == sa.if_id, "of its tunnel");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2 || size > 4096) return 0;
    const auto sa = association(static_cast<base::EspSuite>(data[0] % 7), data[0] & 0x80);
    const base::ByteView rest(data + 2, size - 2);
    if (data[0] & 0x40)
        open(sa, sealed(sa, rest), data[1]);
    else
        open(sa, {rest.begin(), rest.end()}, data[1]);
    return 0;
}
