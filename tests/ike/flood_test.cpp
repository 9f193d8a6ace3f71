// Floods: what a daemon keeps and computes for strangers stays the same, however many they are.

#include "stranger.hpp"

#include <catch2/catch.hpp>

#include <malloc.h>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// From anywhere to b; what b answers is looked at and thrown away.
class Flood {
public:
    explicit Flood(Dialogue& dialogue, std::uint64_t seed = 5)
        : d_(dialogue), random_(base::Random::from_number(seed)) {}

    void send(const Bytes& message) {
        Bytes bytes(4, 0);
        bytes.insert(bytes.end(), message.begin(), message.end());
        // 198.18.0.0/15 and a port.
        const Address from = Address::any(base::Family::v4).plus(0xc6120000u + random_.u32() % 131072);
        const Endpoint source{from, static_cast<std::uint16_t>(1024 + random_.below(60000))};
        actions_.clear();
        d_.b.engine->handle({bytes, source, d_.b.endpoint}, d_.now, actions_);
        for (const Action& action : actions_) {
            if (const auto* said = std::get_if<Send>(&action)) hear(*said, bytes.size());
            if (std::holds_alternative<base::Note>(action)) ++notes;
        }
    }
    void open() {
        Stranger& mould = mould_;
        mould.spi_i = random_.u64();
        mould.nonces.initiator = random_.bytes(kNonceSize);
        send(encode(mould.init_header(), mould.init_payloads()));
    }
    base::Random& random() { return random_; }

    std::size_t answers = 0, opened = 0, largest = 0, notes = 0;

private:
    void hear(const Send& said, std::size_t asked) {
        ++answers;
        const auto raw = parse(base::ByteView(said.bytes).subspan(4));
        const auto message = raw ? decode(*raw) : base::Result<Message, Drop>(Drop::too_short);
        if (message && message->find<KePayload>() != nullptr) ++opened;
        largest = std::max(largest, said.bytes.size() > asked ? said.bytes.size() - asked : 0);
    }

    Dialogue& d_;
    base::Random random_;
    Stranger mould_{d_};
    Actions actions_;
};

std::size_t allocated() { return mallinfo2().uordblks; }

// b waits for whoever comes.
struct Besieged : Awaiting {
    // 20,000 requests in a second of virtual time.
    void second(Flood& flood) {
        for (int i = 0; i < 1000; ++i) {
            for (int k = 0; k < 20; ++k) flood.open();
            d.advance(1ms);
        }
    }
};

}  // namespace

TEST_CASE(
    "A11, A17, row 45: 400,000 spoofed requests in 20 s cost 64 key exchanges, no memory; peers come through"
) {
    Dialogue().both_connect().advance(1s).expect_tunnel();  // what libraries keep from their first use on
    Besieged b;
    Dialogue& d = b.d;
    Flood flood(d);
    std::size_t lost = 0;
    b.second(flood);
    b.second(flood);
    const std::size_t before = allocated();
    std::size_t first = 0;
    d.fate = [&](const Passing& message) {
        return message.number == first + lost ? Fate::lost : Fate::arrives;
    };
    for (; lost < 6; ++lost) {  // each message of the handshake is lost once
        CAPTURE(lost);
        first = d.sent.size();
        d.a_connects();
        b.second(flood);
        b.second(flood);
        d.expect_tunnel();
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); });
        b.second(flood);
    }
    d.sent.clear();
    d.sent.shrink_to_fit();
    d.a.notes.clear();
    d.b.notes.clear();
    CHECK(allocated() < before + (128u << 10));
    CHECK(flood.answers == 20 * 20000);
    CHECK(flood.opened == EngineConfig().cookie_threshold);
    CHECK(flood.largest <= 120);  // the answer to a request is hardly larger, a cookie is smaller
    CHECK(flood.notes < 20);
    CHECK(d.b.engine->sessions() <= EngineConfig().cookie_threshold + 8);
    d.advance(45s);
    CHECK(d.b.engine->sessions() == 0);
}

TEST_CASE("A17, A20: random and damaged messages behind a good header leave no trace but counters") {
    Besieged b;
    Dialogue& d = b.d;
    d.a_connects().advance(2s).expect_tunnel();
    const PeerView view = d.b.view();
    Flood flood(d);
    const Bytes good = encode(b.stranger.init_header(), b.stranger.init_payloads());
    const auto damaged = [&] {
        Bytes bytes = good;
        flood.random().fill(std::span(bytes).first(8));
        for (int k = 0; k < 3; ++k)
            bytes[28 + flood.random().below(bytes.size() - 28)] =
                static_cast<base::Byte>(flood.random().u32());
        flood.send(bytes);
    };
    const auto random_body = [&](std::size_t size) {
        Bytes bytes(28 + size);
        base::Random& random = flood.random();
        random.fill(bytes);
        const bool known = random.below(2) == 0;
        for (std::size_t i = 0; i < 8 && known; ++i) {
            bytes[i] = static_cast<base::Byte>(view.spi_i >> (56 - 8 * i));
            bytes[8 + i] = static_cast<base::Byte>(view.spi_r >> (56 - 8 * i));
        }
        bytes[16] = static_cast<base::Byte>(33 + random.below(22));
        bytes[17] = 0x20;
        bytes[18] = static_cast<base::Byte>(34 + random.below(4));
        bytes[24] = bytes[25] = 0;
        bytes[26] = static_cast<base::Byte>(bytes.size() >> 8);
        bytes[27] = static_cast<base::Byte>(bytes.size());
        flood.send(bytes);
    };
    std::size_t before = 0;
    for (int i = 0; i < 100'000; ++i) {
        if (i == 10'000) before = allocated();
        damaged();
        random_body(flood.random().below(200));
    }
    CHECK(allocated() < before + (64u << 10));
    CHECK(flood.notes < 40);
    CHECK(d.b.engine->drops().totals().size() < 40);
    CHECK(d.b.engine->sessions() <= EngineConfig().cookie_threshold + 1);
    CHECK(d.a.downs + d.b.downs == 0);
    d.advance(40s).expect_tunnel();
    CHECK(d.b.engine->sessions() == 1);
}
