#include "daemon/entropy.hpp"

#include <sodium.h>

namespace aronet::daemon {

base::Secret entropy() {
    base::Secret seed(32);
    randombytes_buf(seed.mutable_view().data(), seed.size());
    return seed;
}

}  // namespace aronet::daemon
