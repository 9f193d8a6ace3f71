#pragma once

// Where the randomness of the process comes from.

#include "base/secret.hpp"

namespace aronet::daemon {

// A seed of the kernel's for a base::Random, 32 octets.
base::Secret entropy();

}  // namespace aronet::daemon
