#include "babel/queue.hpp"

#include <catch2/catch.hpp>

using aronet::babel::Queue;

TEST_CASE("so many are admitted at once, the others in their order") {
    Queue queue(2);
    CHECK(queue.admit(1));
    CHECK(queue.admit(2));
    CHECK(queue.admit(1));
    CHECK_FALSE(queue.admit(3));
    CHECK_FALSE(queue.admit(4));
    CHECK_FALSE(queue.admit(3));
    CHECK(queue.leave(2) == 3u);
    CHECK(queue.admit(3));
    CHECK(queue.leave(1) == 4u);
    CHECK_FALSE(queue.leave(3));
    CHECK(queue.admit(5));
}

TEST_CASE("who waits may leave, and nobody is admitted for it") {
    Queue queue(1);
    CHECK(queue.admit(1));
    CHECK_FALSE(queue.admit(2));
    CHECK_FALSE(queue.admit(3));
    CHECK_FALSE(queue.leave(2));
    CHECK_FALSE(queue.leave(7));
    CHECK(queue.leave(1) == 3u);
}

TEST_CASE("who yields goes to the end, where somebody waits") {
    Queue queue(1);
    CHECK(queue.admit(1));
    CHECK_FALSE(queue.yield(1));
    CHECK(queue.admit(1));
    CHECK_FALSE(queue.admit(2));
    CHECK(queue.yield(1) == 2u);
    CHECK_FALSE(queue.yield(1));  // it waits
    CHECK_FALSE(queue.admit(1));
    CHECK(queue.leave(2) == 1u);
    CHECK(queue.admit(1));
}
