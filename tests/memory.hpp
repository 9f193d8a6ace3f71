#pragma once

// The memory of this process as the kernel describes it, and what is found in it.

#include "base/bytes.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace aronet::test {

struct Mapping {
    std::uintptr_t begin = 0, end = 0;
    bool readable = false;
    std::string flags;  // of its VmFlags line, with blanks around each
    bool has(const std::string& flag) const { return flags.find(" " + flag + " ") != std::string::npos; }
    bool holds(std::uintptr_t address) const { return begin <= address && address < end; }
};

inline std::vector<Mapping> mappings() {
    std::vector<Mapping> all;
    std::ifstream file("/proc/self/smaps");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("VmFlags:")) {
            all.back().flags = line.substr(8) + " ";
            continue;
        }
        std::istringstream words(line);
        Mapping mapping;
        char dash = 0;
        std::string rights;
        if (words >> std::hex >> mapping.begin >> dash >> mapping.end >> rights && dash == '-') {
            mapping.readable = rights.starts_with("r");
            all.push_back(mapping);
        }
    }
    return all;
}

inline Mapping mapping_of(std::uintptr_t address) {
    const auto all = mappings();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Mapping& each) { return each.holds(address); });
    return found == all.end() ? Mapping() : *found;
}
inline Mapping mapping_of(const void* address) {
    return mapping_of(reinterpret_cast<std::uintptr_t>(address));
}

// Looks for octets everywhere but where it keeps them itself.
class Search {
public:
    Search()
        : own_(static_cast<base::Byte*>(
              mmap(nullptr, kOwn, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          )) {}
    ~Search() { munmap(own_, kOwn); }
    Search(const Search&) = delete;
    Search& operator=(const Search&) = delete;

    // The first octets of a key stand for it.
    void remember(base::ByteView key) {
        if (key.size() < kNeedle || needles_ == kNeedlesMax) return;
        std::memcpy(own_ + needles_++ * kNeedle, key.data(), kNeedle);
    }
    std::size_t remembered() const { return needles_; }

    struct Find {
        std::size_t needle;
        std::uintptr_t address;
    };
    std::vector<Find> look() const {
        std::vector<Find> finds;
        const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        for (const Mapping& mapping : mappings()) {
            const bool own = mapping.begin < address_of(own_) + kOwn && address_of(own_) < mapping.end;
            if (!mapping.readable) continue;
            if (own) {  // it may have been joined with its neighbours
                look_in(memory, mapping.begin, address_of(own_), finds);
                look_in(memory, address_of(own_) + kOwn, mapping.end, finds);
            } else {
                look_in(memory, mapping.begin, mapping.end, finds);
            }
        }
        close(memory);
        return finds;
    }

private:
    static constexpr std::size_t kNeedle = 16, kNeedlesMax = 256;
    static constexpr std::size_t kChunk = 1 << 20, kOwn = kNeedle * kNeedlesMax + kChunk + kNeedle;

    static std::uintptr_t address_of(const base::Byte* memory) {
        return reinterpret_cast<std::uintptr_t>(memory);
    }

    void look_in(int memory, std::uintptr_t from, std::uintptr_t to, std::vector<Find>& finds) const {
        base::Byte* chunk = own_ + kNeedle * kNeedlesMax;
        for (std::uintptr_t at = from; at < to; at += kChunk) {
            const std::size_t wanted = std::min(kChunk + kNeedle, to - at);
            const ssize_t got = pread(memory, chunk, wanted, static_cast<off_t>(at));
            if (got <= 0) continue;  // the kernel's own pages
            for (std::size_t n = 0; n < needles_; ++n) {
                const auto size = static_cast<std::size_t>(got);
                const void* found = memmem(chunk, size, own_ + n * kNeedle, kNeedle);
                if (found == nullptr) continue;
                const auto offset = address_of(static_cast<const base::Byte*>(found)) - address_of(chunk);
                if (offset < kChunk) finds.push_back({n, at + offset});  // else it is the next chunk's
            }
        }
    }

    base::Byte* own_;
    std::size_t needles_ = 0;
};

}  // namespace aronet::test
