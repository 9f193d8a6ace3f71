// Where secrets lie, as the kernel tells it of this process.

#include "base/vault.hpp"

#include "base/secret.hpp"
#include "memory.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <thread>

using namespace aronet::base;
using aronet::test::Mapping;
using aronet::test::mapping_of;

namespace {

bool all_zero(ByteView bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](Byte byte) { return byte == 0; });
}

// Whether the process may lock as much as these tests need.
bool may_lock(Vault& vault) {
    vault.give_back(vault.take(1));
    return vault.locked();
}

}  // namespace

TEST_CASE("a secret is locked into memory, left out of core dumps and fenced") {
    Vault vault;
    if (!may_lock(vault)) {
        std::puts("left out: memory cannot be locked here");
        return;
    }
    const auto piece = vault.take(32);
    const Mapping mapping = mapping_of(piece.data());
    INFO(mapping.flags);
    CHECK(mapping.has("lo"));
    CHECK(mapping.has("dd"));
    CHECK(mapping.has("wr"));
    CHECK_FALSE(mapping_of(mapping.begin - 1).readable);
    CHECK_FALSE(mapping_of(mapping.end).readable);
    vault.give_back(piece);

    const Secret secret(ByteView(Bytes{1, 2, 3}));
    CHECK(mapping_of(secret.view().data()).has("lo"));
    CHECK(mapping_of(secret.view().data()).has("dd"));
}

TEST_CASE("what comes back is wiped and given out again, all zero") {
    Vault vault;
    for (const std::size_t size : {1u, 16u, 17u, 32u, 100u, 1000u, 5000u, 16384u}) {
        const auto piece = vault.take(size);
        REQUIRE(piece.size() == size);
        CHECK(reinterpret_cast<std::uintptr_t>(piece.data()) % 16 == 0);
        CHECK(all_zero(piece));
        std::ranges::fill(piece, Byte{0xa5});
        vault.give_back(piece);
        CHECK(all_zero(piece));  // it is still the vault's
        const auto again = vault.take(size);
        CHECK(again.data() == piece.data());
        vault.give_back(again);
    }
    CHECK(vault.census().pieces == 0);
}

TEST_CASE("ten thousand secrets take few pages, none overlaps another") {
    Vault vault;
    std::vector<std::span<Byte>> pieces;
    for (std::size_t i = 0; i < 10'000; ++i) {
        pieces.push_back(vault.take(32));
        std::ranges::fill(pieces.back(), static_cast<Byte>(i));
    }
    bool intact = true;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        for (const Byte byte : pieces[i]) intact = intact && byte == static_cast<Byte>(i);
    }
    CHECK(intact);
    CHECK(vault.census().pieces == 10'000);
    CHECK(vault.census().slabs == (10'000 * 32 + Vault::kSlab - 1) / Vault::kSlab);
    const std::size_t slabs = vault.census().slabs;
    for (const auto piece : pieces) vault.give_back(piece);
    for (auto& piece : pieces) piece = vault.take(32);
    CHECK(vault.census().slabs == slabs);
    for (const auto piece : pieces) vault.give_back(piece);
}

TEST_CASE("a large secret has pages of its own, which go with it") {
    Vault vault;
    const auto piece = vault.take(1'000'000);
    CHECK(all_zero(piece));
    std::ranges::fill(piece, Byte{1});
    CHECK(vault.census().slabs == 0);
    CHECK(vault.census().pieces == 1);
    vault.give_back(piece);
    CHECK(vault.census().pieces == 0);
}

TEST_CASE("several threads use one vault") {
    Vault vault;
    std::vector<std::thread> threads;
    std::atomic<int> torn{0};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 20'000; ++i) {
                const auto piece = vault.take(static_cast<std::size_t>(16 + i % 3 * 30));
                if (!all_zero(piece)) ++torn;
                std::ranges::fill(piece, static_cast<Byte>(t + 1));
                const auto mine = std::ranges::count(piece, static_cast<Byte>(t + 1));
                if (mine != static_cast<std::ptrdiff_t>(piece.size())) ++torn;
                vault.give_back(piece);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(torn == 0);
    CHECK(vault.census().pieces == 0);
}
