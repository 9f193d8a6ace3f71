#pragma once

// Outcomes as values: nothing throws across a protocol boundary.

#include <boost/system/result.hpp>

#include <iosfwd>
#include <string>

namespace aronet::base {

// Why something could not be done, in words for a person. Its own type, so that Result<std::string> is
// unambiguous.
struct Error {
    std::string text;
    bool operator==(const Error&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Error& error);

[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& where);

// A value or the reason why there is none. Protocol code uses an enum of drop reasons as E.
template <class T, class E = Error>
using Result = boost::system::result<T, E>;

// An invariant of our own: broken, it is our bug. Kept in release builds; aborts with the place.
void ensure(bool condition, const char* what, const boost::source_location& where = BOOST_CURRENT_LOCATION);

}  // namespace aronet::base
