#pragma once

// What tests of rekeying have in common: wishes to rekey, a watch for gaps, and b facing a stranger whose
// nonces decide who wins a collision.

#include "ike/child.hpp"
#include "stranger.hpp"

namespace aronet::ike::test {

void rekey(Dialogue& d, Side& side);  // the child it sends on
void renew(Dialogue& d, Side& side);  // its IKE SA

// Advances; at every moment each side sends on what the other can open.
void advance_without_a_gap(Dialogue& d, Duration time);

Bytes spi_bytes(std::uint32_t spi);
std::uint16_t error_in(const std::optional<Message>& answer);  // 0: none, or no answer

// b and a stranger with one child between them, which b is about to rekey or rekeys.
struct Pair {
    Pair();
    void rekeys();
    // Answers b's rekeying with a child of this SPI.
    void agrees(std::uint32_t spi, base::Byte nonce, std::size_t nonce_size = 32);
    // The stranger rekeys the first child itself.
    std::vector<Payload> rekey_payloads(
        std::uint32_t old_spi, std::uint32_t spi, base::Byte nonce, std::size_t nonce_size = 32
    ) const;
    std::optional<Message> crosses(std::uint32_t spi, base::Byte nonce, std::size_t nonce_size = 32);
    std::vector<std::uint32_t> deletes(std::uint32_t spi);
    std::uint32_t deleted_by_b() const;
    std::uint32_t sends_on() const;
    void ends_with_one_child();  // once the stranger has answered b's last request

    Dialogue d{1, {}, without_dpd()};
    Stranger s{d};
    ChildId first = 0;
};

// A stranger's half of a rekeying of the IKE SA, with this nonce.
class Half {
public:
    Half(Stranger& old, base::Byte nonce, std::size_t nonce_size = 32);

    std::vector<Payload> payloads() const;  // SA, Ni, KEi
    std::uint16_t asks();                   // b: the error it answered, 0 for none
    void answers();                         // what b asked

    // The stranger on the new SA, as soon as there is one.
    Stranger& next() { return *next_; }
    bool alive();         // b answers on the new SA
    bool deleted_by_b();  // b's last request there is DELETE of the IKE SA; answers it

private:
    void take_over(
        bool initiator, const IkeCipherSuite& suite, const Nonces& nonces, ByteView theirs, std::uint64_t spi
    );

    Stranger& old_;
    Bytes nonce_;
    std::uint64_t spi_;
    KeyPair ke_;
    std::unique_ptr<Stranger> next_;
};

// b's last request to this stranger is DELETE of the IKE SA.
bool session_deleted_by_b(const Stranger& stranger);

std::optional<Message> send_delete(Pair& t, DeletePayload what);
std::string outcome(const std::optional<Message>& answer);  // in a word

}  // namespace aronet::ike::test
