#pragma once

// What the process does for its keys besides keeping them in the vault: no core dumps, no unwiped memory, and
// OpenSSL's contexts in the vault, too.

#include <sys/resource.h>

namespace aronet::daemon {

// To be made before anything else of the process has touched OpenSSL or a secret.
//
// From then on nobody can attach to the process but root, and a crash leaves no core file. All of OpenSSL's
// memory comes from the vault: its contexts hold round keys for as long as an SA lives. As much memory may be
// locked as the system permits. What `delete` frees is wiped in any case (safekeeping.cpp), because parsers
// and strings do not know what passes through them.
class Safekeeping {
public:
    Safekeeping();
    void allow_core_dumps();

private:
    rlimit core_before_{};
};

}  // namespace aronet::daemon
