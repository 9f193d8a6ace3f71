#pragma once

// What a process leaves to the one that goes on in its place: keys and values in a file of its own, one
// change a line behind the others, so that a process that is killed has kept all it was told to. It belongs
// to what the kernel holds, and is worth nothing once the machine was started anew.

#include "base/result.hpp"
#include "base/time.hpp"
#include "daemon/descriptor.hpp"
#include "overlay/memory.hpp"

#include <map>
#include <string>

namespace aronet::daemon {

class StateFile {
public:
    // Reads what there is. A file that cannot be read or written is as if there were none; why() tells.
    explicit StateFile(std::string path);

    const std::map<std::string, std::string>& contents() const { return contents_; }
    const std::string& why() const { return why_; }  // nothing is kept; empty: it is

    void keep(const overlay::Remember& what);  // an empty key: everything is forgotten
    void flush(base::Instant now);             // writes what was to be kept since the last call
    void remove();                             // nobody is to go on

private:
    void read();
    bool write_anew();
    bool write_beside();
    bool append();

    std::string path_;
    Descriptor file_;
    std::map<std::string, std::string> contents_;
    std::string unwritten_, why_;
    std::size_t size_ = 0, live_ = 0;  // octets of the file, and of what counts in it
    bool whole_ = false;               // the file says what is known
    base::Instant retry_at_{};
};

}  // namespace aronet::daemon
