#include "daemon/files.hpp"

#include "folder.hpp"
#include "has.hpp"

#include <catch2/catch.hpp>

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace aronet::daemon;
using aronet::test::Folder;
namespace fs = std::filesystem;

namespace {

std::string text_of(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("a file is replaced as a whole and is its owner's alone, whatever it was") {
    const Folder folder;
    const std::string path = folder / "copy";
    std::ofstream(path) << "old";
    chmod(path.c_str(), 0644);
    std::ofstream(folder / "copy.new") << "what a run left that was cut short";
    CHECK(replace_file(path, "new") == "");
    CHECK(text_of(path) == "new");
    struct stat status {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(folder.size() == 1);
}

TEST_CASE("what cannot be written leaves the old file, and says why") {
    const Folder folder;
    CHECK(has(replace_file("/nowhere/copy", "x"), "/nowhere/copy: cannot be made: No such file"));
    fs::create_directory(folder / "copy");
    CHECK(has(replace_file(folder / "copy", "x"), "cannot be replaced"));
    CHECK(folder.size() == 1);
}

TEST_CASE("row 20: a full disk leaves the old file", "[native]") {
    if (geteuid() != 0) return;
    const Folder folder;
    if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) return;
    const std::string path = folder / "copy";
    CHECK(replace_file(path, "old") == "");
    CHECK(has(replace_file(path, std::string(1 << 20, 'x')), "cannot be written: No space left"));
    CHECK(text_of(path) == "old");
    CHECK(folder.size() == 1);
    REQUIRE(mount("", folder.path().c_str(), "", MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    CHECK(has(replace_file(path, "new"), "Read-only file system"));
    CHECK(text_of(path) == "old");
    umount(folder.path().c_str());
}
