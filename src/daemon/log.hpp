#pragma once

// Where Notes become lines: standard error, as text or as one JSON object per line, and not without end
// (base::Quota).

#include "base/log.hpp"
#include "overlay/config.hpp"
#include "overlay/document.hpp"

namespace aronet::daemon {

void start_log(const std::string& level, overlay::LogFormat format);
void write_log(const base::Note& note);
void write_log(const overlay::Problems& problems);

}  // namespace aronet::daemon
