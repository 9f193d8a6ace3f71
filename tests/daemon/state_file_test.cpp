// The file one process leaves to the next.

#include "daemon/state_file.hpp"

#include "folder.hpp"
#include "has.hpp"

#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

using namespace aronet;
using namespace aronet::daemon;
using aronet::test::Folder;

namespace {

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

const std::string kFile = "aronet.state";
using Contents = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("the next process reads what the last one kept, to the last change") {
    const Folder folder;
    {
        StateFile state(folder / kFile);
        CHECK(state.contents().empty());
        for (int i = 0; i < 3; ++i) {
            state.keep({"hello aronet-1", std::to_string(i)});
            state.keep({"seqno", "1"});
            state.flush({});
        }
        state.keep({"seqno", ""});
        state.flush({});
        state.keep({"lost", "not written"});  // killed before
    }
    struct stat status {};
    REQUIRE(stat((folder / kFile).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(StateFile(folder / kFile).contents() == Contents{{"hello aronet-1", "2"}});
    std::ofstream(folder / kFile, std::ios::app) << "seqno\t5";  // cut off
    CHECK(StateFile(folder / kFile).contents() == Contents{{"hello aronet-1", "2"}});
    StateFile last(folder / kFile);
    last.keep({"", ""});
    last.keep({"router-id", "1"});
    last.flush({});
    CHECK(StateFile(folder / kFile).contents() == Contents{{"router-id", "1"}});
    last.remove();
    CHECK(StateFile(folder / kFile).contents().empty());
}

TEST_CASE("of another start of the machine, and where others can write, nothing is believed") {
    const Folder folder;
    {
        StateFile state(folder / kFile);
        state.keep({"seqno", "1"});
        state.flush({});
    }
    const std::string text = text_of(folder / kFile);
    chmod((folder / kFile).c_str(), 0620);
    CHECK(StateFile(folder / kFile).contents().empty());
    const auto with = [&](const std::string& changed) {
        std::ofstream(folder / kFile, std::ios::trunc) << changed;
        chmod((folder / kFile).c_str(), 0600);
        return StateFile(folder / kFile).contents();
    };
    CHECK(with(text).size() == 1);
    std::string other = text;
    other[other.find('-')] = '+';  // of the machine's start
    CHECK(with(other).empty());
}

TEST_CASE("what another network namespace's kernel has is nothing to go on from") {
    const Folder folder;
    {
        StateFile state(folder / kFile);
        state.keep({"seqno", "1"});
        state.flush({});
    }
    std::optional<Contents> elsewhere;
    std::thread([&] {
        if (unshare(CLONE_NEWNET) == 0) elsewhere = StateFile(folder / kFile).contents();
    }).join();
    if (!elsewhere) return;  // who may make no namespace
    CHECK(elsewhere->empty());
}

TEST_CASE("the file does not grow with what was changed a thousand times") {
    const Folder folder;
    StateFile state(folder / kFile);
    for (int i = 0; i < 20'000; ++i) {
        state.keep({"hello aronet-1", std::to_string(i)});
        state.flush({});
    }
    CHECK(std::filesystem::file_size(folder / kFile) < (66u << 10));
    CHECK(StateFile(folder / kFile).contents().at("hello aronet-1") == "19999");
}

TEST_CASE("row 20: where nothing can be written it is said, and goes on without") {
    const Folder folder;
    StateFile state(folder / "no/such");
    CHECK_FALSE(state.why().empty());
    state.keep({"seqno", "1"});
    state.flush({});
    CHECK_FALSE(state.why().empty());
    CHECK(state.contents().at("seqno") == "1");
    std::filesystem::create_directories(folder / "no");
    state.keep({"seqno", "2"});
    state.flush(aronet::base::Instant() + std::chrono::minutes(1));
    CHECK(state.why().empty());
    CHECK(StateFile(folder / "no/such").contents().at("seqno") == "2");
}

TEST_CASE(
    "row 20: on a full disk it takes the room of the one before; what is not true any more is not left",
    "[native]"
) {
    if (geteuid() != 0) return;
    const Folder folder;
    if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) return;
    const auto fill = [&] {
        std::ofstream filler(folder / "filler", std::ios::app);
        while (filler << std::string(4096, 'x') << std::flush) {}
    };
    const std::string path = folder / kFile;
    {
        StateFile state(path);
        state.keep({"seqno", "1"});
        state.flush({});
    }
    fill();
    {
        StateFile state(path);
        CHECK(state.why() == "");
        CHECK(state.contents() == Contents{{"seqno", "1"}});
        state.keep({"seqno", "2"});
        state.flush({});
        CHECK(state.why() == "");
    }
    CHECK(StateFile(path).contents() == Contents{{"seqno", "2"}});
    {
        StateFile state(path);
        state.keep({"long", std::string(6000, 'x')});
        state.flush({});
        CHECK(has(state.why(), "aronet.state: No space left"));
        CHECK_FALSE(std::filesystem::exists(path));
        fill();
        state.keep({"long", ""});
        state.flush(aronet::base::Instant() + std::chrono::seconds(5));
        CHECK_FALSE(std::filesystem::exists(path));
        std::filesystem::remove(folder / "filler");
        state.keep({"seqno", "3"});
        state.flush(aronet::base::Instant() + std::chrono::minutes(1));
        CHECK(state.why() == "");
    }
    CHECK(StateFile(path).contents() == Contents{{"seqno", "3"}});
    umount(folder.path().c_str());
}
