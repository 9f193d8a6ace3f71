#pragma once

// Several lambdas as one visitor.

namespace aronet::base {

template <class... Ts>
struct Overloaded : Ts... {
    using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace aronet::base
