#include "overlay/relax.hpp"

#include <catch2/catch.hpp>

using aronet::overlay::relax;

TEST_CASE("comments of all three kinds and trailing commas are blanked without moving anything") {
    CHECK(relax("{\"a\": 1, # one\n}") == "{\"a\": 1       \n}");
    CHECK(relax("[1, // two\n2,]") == "[1,       \n2 ]");
    CHECK(relax("[1 /* a,\n] */ , /**/ ]") == "[1      \n            ]");
    CHECK(relax("{\"a\":[1,],}") == "{\"a\":[1 ] }");
}

TEST_CASE("strings keep what looks like a comment or a comma, escaped quotes too") {
    for (const char* text :
         {R"(["# no", "// no", "/* no */", ",]"])", R"(["a\",] # b", 1])", R"({"http://x": "\\"})"}) {
        CHECK(relax(text) == text);
    }
}

TEST_CASE("a comma that is not the last one stays, and so do mistakes") {
    CHECK(relax("[1,,]") == "[1, ]");
    CHECK(relax("[,]") == "[ ]");
    CHECK(relax("[1,2]") == "[1,2]");
    CHECK(relax("/* never ends") == "/* never ends");
    CHECK(relax("\"never ends") == "\"never ends");
    CHECK(relax("/ 1") == "/ 1");
}
