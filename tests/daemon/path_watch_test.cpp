// Files and directories as configuration management moves them, and whether it is noticed.

#include "daemon/path_watch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

using namespace aronet::daemon;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

class Place {
public:
    Place() : root_(fs::temp_directory_path() / ("aronet-watch-" + std::to_string(getpid()))) {
        fs::remove_all(root_);
        fs::create_directories(root_);
    }
    ~Place() {
        io_.stop();
        fs::remove_all(root_);
    }
    fs::path operator/(const std::string& name) const { return root_ / name; }
    void write(const std::string& name, const std::string& text = "x") const {
        std::ofstream(root_ / name) << text;
    }
    void link(const std::string& target, const std::string& name) const {
        fs::create_symlink(target, root_ / (name + ".tmp"));
        fs::rename(root_ / (name + ".tmp"), root_ / name);
    }

    void watch(const std::string& name) {
        watch_.emplace(io_, std::vector<std::string>{(root_ / name).string()});
        REQUIRE(watch_->works());
        boost::asio::co_spawn(io_, listen(), boost::asio::detached);
        io_.poll();
    }
    // Whether something was noticed since the last time.
    bool noticed() {
        io_.restart();
        io_.run_for(20ms);
        return std::exchange(count_, 0) > 0;
    }

private:
    boost::asio::awaitable<void> listen() {
        for (;;) {
            co_await watch_->changes();
            ++count_;
        }
    }
    fs::path root_;
    boost::asio::io_context io_;
    std::optional<PathWatch> watch_;
    int count_ = 0;
};

}  // namespace

TEST_CASE("a file that is written, renamed over, touched or removed is noticed, what lies beside it is not") {
    const auto place = std::make_unique<Place>();
    place->write("registry.json");
    place->watch("registry.json");
    CHECK_FALSE(place->noticed());
    place->write("registry.json", "other");
    CHECK(place->noticed());
    place->write("registry.json.new");
    CHECK_FALSE(place->noticed());
    fs::rename(*place / "registry.json.new", *place / "registry.json");
    CHECK(place->noticed());
    fs::permissions(*place / "registry.json", fs::perms::owner_all);
    CHECK(place->noticed());
    fs::remove(*place / "registry.json");
    CHECK(place->noticed());
    place->write("registry.json");
    CHECK(place->noticed());
    std::ifstream(*place / "registry.json").get();
    CHECK_FALSE(place->noticed());
}

TEST_CASE("a file in directories that appear later is noticed, and again when these are replaced") {
    const auto place = std::make_unique<Place>();
    place->watch("a/b/registry.json");
    fs::create_directories(*place / "a/b");
    CHECK(place->noticed());
    place->write("a/b/registry.json");
    CHECK(place->noticed());
    fs::create_directories(*place / "other/b");
    place->write("other/b/registry.json");
    CHECK_FALSE(place->noticed());
    fs::rename(*place / "a", *place / "old");
    CHECK(place->noticed());
    fs::rename(*place / "other", *place / "a");
    CHECK(place->noticed());
    place->write("a/b/registry.json", "more");
    CHECK(place->noticed());
    place->write("old/b/registry.json", "of no interest");
    CHECK_FALSE(place->noticed());
}

TEST_CASE("a symbolic link that is turned elsewhere is noticed wherever on the way it is") {
    const auto place = std::make_unique<Place>();
    for (const char* version : {"v1", "v2"}) {
        fs::create_directories(*place / version);
        place->write(std::string(version) + "/registry.json", version);
    }
    // As Kubernetes mounts a ConfigMap: two links, of which the one to the directory is swapped.
    place->link("v1", "..data");
    place->link("..data/registry.json", "registry.json");
    place->watch("registry.json");
    CHECK_FALSE(place->noticed());
    place->link("v2", "..data");
    CHECK(place->noticed());
    place->write("v2/registry.json", "changed");
    CHECK(place->noticed());
    place->write("v1/registry.json", "of no interest");
    CHECK_FALSE(place->noticed());
    place->link((*place / "v1/registry.json").string(), "registry.json");
    CHECK(place->noticed());
    place->write("v1/registry.json", "of interest again");
    CHECK(place->noticed());
}

TEST_CASE("links that lead in circles or nowhere are watched until they lead somewhere") {
    const auto place = std::make_unique<Place>();
    place->link("b", "a");
    place->link("a", "b");
    place->watch("a");
    CHECK_FALSE(place->noticed());
    place->link("missing", "b");
    CHECK(place->noticed());
    place->write("missing");
    CHECK(place->noticed());
}
