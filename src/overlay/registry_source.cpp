#include "overlay/registry_source.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kRedirectsMax = 3;
constexpr Duration kToldAgain = 1h;  // of an error that stays

}  // namespace

RegistrySource::RegistrySource(std::string name, const RegistrySourceConfig& config, base::Random& random)
    : name_(std::move(name)), is_url_(Url::is_meant(name_)), interval_(config.interval), random_(random) {}

void RegistrySource::start(Instant now) {
    if (!name_.empty()) due_ = now;
}

void RegistrySource::touched(Instant now) {
    if (name_.empty()) return;
    touched_ = true;
    if (looking_ || asked_) return;
    if (!unsettled_since_) unsettled_since_ = now;
    due_ = std::min(now + kSettled, *unsettled_since_ + kUnsettled);
}

void RegistrySource::ask(Instant now) {
    if (name_.empty()) return;
    asked_ = true;
    if (!looking_) due_ = now;
}

std::optional<LookAtRegistry> RegistrySource::tick(Instant now) {
    if (looking_ || !due_ || *due_ > now) return std::nullopt;
    looking_ = true;
    due_.reset();
    unsettled_since_.reset();
    touched_ = false;
    was_asked_ = std::exchange(asked_, false);
    return LookAtRegistry{was_asked_ ? Edition{} : known_};
}

std::optional<base::Deadline> RegistrySource::deadline() const {
    if (looking_ || !due_) return std::nullopt;
    return base::Deadline{*due_, "the registry's source is looked at"};
}

void RegistrySource::handle(const RegistryLooked& looked, Instant now, std::vector<base::Note>& out) {
    if (name_.empty()) return;
    has_given_ |= looked.registry.has_value();
    if (looked.error.empty()) out.insert(out.end(), looked.notes.begin(), looked.notes.end());
    if (looked.is_copy) {  // instead of a look: the source is asked all the same
        known_ = looked.edition;
        known_is_good_ = true;
        return;
    }
    looking_ = false;
    if (looked.edition != Edition{}) {
        known_ = looked.edition;
        known_is_good_ = looked.error.empty();
    }
    if (!looked.error.empty()) {
        failed(looked, now, out);
    } else if (known_is_good_) {
        succeeded(now, out);
    } else {
        ++failures_;  // what is there is still what was refused
    }
    note_copy(looked.copy_error, out);
    was_asked_ = false;
    plan_next(now);
}

void RegistrySource::failed(const RegistryLooked& looked, Instant now, std::vector<base::Note>& out) {
    ++failures_;
    const bool is_news = was_asked_ || looked.error != error_ || !told_ || now - *told_ >= kToldAgain;
    error_ = looked.error;
    if (!is_news) return;
    told_ = now;
    out.insert(out.end(), looked.notes.begin(), looked.notes.end());
    // What is not there may come; what is there and wrong is somebody's mistake.
    const base::Level level = looked.is_refused ? base::Level::error : base::Level::warning;
    const char* then = has_given_ ? ": the old registry stays" : ": there is no registry yet";
    out.push_back({level, name_ + ": " + error_ + then});
}

void RegistrySource::succeeded(Instant now, std::vector<base::Note>& out) {
    if (!error_.empty()) out.push_back({base::Level::info, name_ + ": all is well again"});
    error_.clear();
    failures_ = 0;
    checked_ = now;
}

void RegistrySource::note_copy(const std::optional<std::string>& error, std::vector<base::Note>& out) {
    if (!error || *error == copy_error_) return;
    if (error->empty()) {
        out.push_back({base::Level::info, "a copy of the registry can be kept again"});
    } else {
        out.push_back({base::Level::warning, "no copy of the registry can be kept: " + *error});
    }
    copy_error_ = *error;
}

void RegistrySource::plan_next(Instant now) {
    due_ = now + pause();
    if (asked_) {
        due_ = now;
    } else if (touched_) {
        touched(now);
    }
}

Duration RegistrySource::pause() {
    if (!is_url_) return kFileInterval;
    if (failures_ == 0) return random_.jitter(interval_, 10);
    const Duration most = std::clamp<Duration>(interval_, 10min, 1h);
    const Duration doubled = kFirstRetry * (std::int64_t{1} << std::min(failures_ - 1, 10u));
    return random_.jitter(std::min(doubled, most), 25);
}

Verdict judge(const HttpAnswer& answer, const Url& asked, bool conditional, unsigned redirects) {
    const auto refused = [](const std::string& why) { return Refused{why}; };
    switch (answer.status) {
        case 200:
            return Taken{};
        case 304:
            if (conditional) return Unchanged{};
            return refused("the server says that nothing has changed (304) although it was not asked that");
        case 301:
        case 302:
        case 303:
        case 307:
        case 308: {
            if (answer.location.empty()) return refused("the server redirects to nowhere");
            if (redirects >= kRedirectsMax) return refused("the server redirects too often");
            const auto next = asked.follow(answer.location);
            if (next) return *next;
            return refused("a redirect to " + base::printable(answer.location) + ": " + next.error().text);
        }
        default:
            return refused("the server answers with status " + std::to_string(answer.status));
    }
}

}  // namespace aronet::overlay
