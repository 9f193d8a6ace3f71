#pragma once

// Whether what was negotiated with a peer is what it is wanted to be by now.

#include "ike/engine.hpp"

namespace aronet::ike {

// As the peer was before, its SAs stay as it is after: another remote endpoint is no reason to close them,
// the SA lives as long as it answers. With other terms of the child that say how it is made, not what it
// carries, its keys are changed.
bool fits(const Peer& before, const Peer& after);

}  // namespace aronet::ike
