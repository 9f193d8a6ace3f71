#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <stdexcept>

namespace aronet::base {

std::ostream& operator<<(std::ostream& out, const Error& error) { return out << error.text; }

void throw_exception_from_error(const Error& error, const boost::source_location&) {
    throw std::runtime_error(error.text);
}

void ensure(bool condition, const char* what, const boost::source_location& where) {
    if (condition) return;
    std::fprintf(stderr, "broken invariant: %s (%s:%u)\n", what, where.file_name(), unsigned(where.line()));
    std::abort();
}

}  // namespace aronet::base
