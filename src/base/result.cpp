#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace aronet::base {

void throw_exception_from_error(const Error& error, const boost::source_location&) {
    throw std::runtime_error(error.text);
}

void ensure(bool condition, const char* what, const boost::source_location& where) {
    if (condition) return;
    std::fprintf(stderr, "broken invariant: %s (%s:%u)\n", what, where.file_name(), unsigned(where.line()));
    std::abort();
}

}  // namespace aronet::base
