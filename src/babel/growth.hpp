#pragma once

// Vectors of the routing table grow by an eighth: what has a hundred thousand elements must not be half
// empty.

#include <vector>

namespace aronet::babel {

template <class T>
void append(std::vector<T>& to, const T& element) {
    if (to.size() == to.capacity()) to.reserve(to.size() + to.size() / 8 + 4);
    to.push_back(element);
}

}  // namespace aronet::babel
