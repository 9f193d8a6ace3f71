#pragma once

// A folder of a test's own, gone at its end.

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace aronet::test {

class Folder {
public:
    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "aronet-folder-XXXXXX";
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(*this / name) << text;
        return *this / name;
    }
    std::size_t size() const {  // files and folders in it
        using std::filesystem::directory_iterator;
        return static_cast<std::size_t>(std::distance(directory_iterator(path_), directory_iterator()));
    }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace aronet::test
