#include "daemon/log.hpp"

#include "base/quota.hpp"
#include "daemon/clock.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace aronet::daemon {
namespace {

spdlog::level::level_enum level_of(base::Level level) {
    switch (level) {
        case base::Level::debug:
            return spdlog::level::debug;
        case base::Level::info:
            return spdlog::level::info;
        case base::Level::warning:
            return spdlog::level::warn;
        case base::Level::error:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

// spdlog's patterns do not escape, so the text is made a JSON string by the formatter.
class JsonText final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        const std::string_view payload(message.payload.data(), message.payload.size());
        const std::string text =
            nlohmann::json(payload).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
        out.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<JsonText>(); }
};

base::Level level_of(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return base::Level::error;
    if (level == spdlog::level::warn) return base::Level::warning;
    return level == spdlog::level::info ? base::Level::info : base::Level::debug;
}

// Standard error, as far as the quota goes.
class LimitedSink final : public spdlog::sinks::stderr_sink_st {
public:
    void log(const spdlog::details::log_msg& message) override {
        const std::string text(message.payload.data(), message.payload.size());
        const auto admitted = quota_.admit({level_of(message.level), text}, now());
        if (!admitted) return;
        spdlog::details::log_msg written = message;
        written.payload = *admitted;
        stderr_sink::log(written);
    }

private:
    base::Quota quota_;
};

}  // namespace

void start_log(const std::string& level, overlay::LogFormat format) {
    spdlog::drop("aronet");  // of an earlier start
    const auto logger = spdlog::create<LimitedSink>("aronet");
    logger->set_level(spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::trace);
    if (format == overlay::LogFormat::json) {
        auto formatter = std::make_unique<spdlog::pattern_formatter>();
        formatter->add_flag<JsonText>('*').set_pattern(
            R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","text":%*})"
        );
        logger->set_formatter(std::move(formatter));
    } else {
        logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %-7l %v");
    }
    spdlog::set_default_logger(logger);
}

void write_log(const base::Note& note) { spdlog::log(level_of(note.level), "{}", note.text); }

void write_log(const overlay::Problems& problems) {
    const auto level = problems.has_errors() ? base::Level::error : base::Level::warning;
    for (const std::string& line : problems.lines()) write_log({level, line});
}

}  // namespace aronet::daemon
