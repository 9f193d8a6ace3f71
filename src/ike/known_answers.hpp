#pragma once

// Known answers of every algorithm, asked of the libraries before the first peer is met: what is missing (an
// openssl.cnf may offer only a part) or computes wrongly has a name then, and does not come out in the middle
// of a handshake. What the libraries prepare at their first use, several milliseconds of it, does not burden
// the first handshake either.

#include <string>

namespace aronet::ike {

// The first algorithm that is missing or wrong, as IKE proposals call it; empty if all are as they should be.
std::string broken_algorithm();

}  // namespace aronet::ike
