#pragma once

// Descriptors that outlive the process which opened them: an SA's ESP in UDP is taken out of its datagrams
// only while the socket is open, whoever has it open. The service's manager keeps them where there is one
// (its file descriptor store), else a process of ours that can do nothing else. Knows nothing of what they
// are.

#include "daemon/handover.hpp"

#include <string>
#include <vector>

namespace aronet::daemon {

class Custody {
public:
    // Takes up what an earlier process left: `handed` is what the manager gave, and behind the Unix socket
    // `path` the holder is asked. Without a manager that is started if it is `wanted` and not there; with one
    // it is told to end. Executes a program: before that is given up.
    Custody(std::string path, std::vector<Handed> handed, bool wanted);

    Descriptor take(const std::string& name);  // to be used on; invalid: there is none
    void keep(
        const std::string& name, int descriptor
    );                                               // for the next process; what was taken is kept already
    void drop(const std::string& name);              // by nobody any more
    void drop_others();                              // what was left and nobody took
    void end();                                      // nobody goes on from here
    const std::string& why() const { return why_; }  // nothing is kept; empty: it is, or is not wanted

private:
    void move_to_manager();
    void give_to_manager(const std::string& name, int descriptor);
    void end_holder();
    bool ask_holder();
    bool start_holder();
    void tell(const std::string& what, int descriptor = -1);

    std::string path_, why_;
    bool managed_ = false;
    Descriptor holder_;  // the connection, and its end is ours
    std::vector<Handed> left_;
    std::vector<std::string> kept_;
};

// The holder's whole life: `listener` is the socket at its path. Serves one process of root's or its own user
// at a time: says what it holds, holds what it is given. Waits some minutes for another one when that ends
// without a word, and is over at its word, or where it holds nothing. An exit status.
int hold(int listener);

}  // namespace aronet::daemon
