#pragma once

// The registry's source, a file or a URL: when it is looked at, and what a look means. Knows neither files
// nor HTTP: whoever is told to look hands back what was found.

#include "base/log.hpp"
#include "base/random.hpp"
#include "base/time.hpp"
#include "overlay/config.hpp"
#include "overlay/url.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace aronet::overlay {

using base::Instant;

// By what is found again that has not changed.
struct Edition {
    std::string tag;   // a file's identity and times; a URL's ETag
    std::string date;  // a URL's Last-Modified
    std::string version;
    bool operator==(const Edition&) const = default;
};

// An action: answered by one RegistryLooked.
struct LookAtRegistry {
    Edition known;  // empty: whatever is there is wanted
};

// Another registry, or why there is none; neither: what is there is what was known.
struct RegistryLooked {
    std::optional<Registry> registry;
    std::string error;
    bool is_refused = false;                // there is something, and it is not usable
    std::vector<base::Note> notes;          // what is wrong with it in particular
    Edition edition;                        // where it shall be known again
    bool is_copy = false;                   // the last good one of the source, which was not asked
    std::optional<std::string> copy_error;  // why no such copy could be made of it; empty: it could
};

class RegistrySource {
public:
    // Of a change nothing is heard for so long, or it is looked at all the same: what writes it should be
    // done.
    static constexpr Duration kSettled = std::chrono::milliseconds(250), kUnsettled = std::chrono::seconds(2);
    // A file is looked at without a hint, too: not every kind of file system gives one.
    static constexpr Duration kFileInterval = std::chrono::seconds(30);
    static constexpr Duration kFirstRetry = std::chrono::seconds(5);

    // Without a name there is none.
    RegistrySource(std::string name, const RegistrySourceConfig& config, base::Random& random);

    void configure(const RegistrySourceConfig& config) {
        interval_ = config.interval;
    }  // from the next look on
    void start(Instant now);
    void touched(Instant now);  // somebody changes it
    void ask(Instant now);      // somebody wants it read, changed or not
    void handle(const RegistryLooked& looked, Instant now, std::vector<base::Note>& out);
    std::optional<LookAtRegistry> tick(Instant now);
    std::optional<base::Deadline> deadline() const;

    bool is_asked() const { return asked_; }  // and has not been looked at since
    const std::string& name() const { return name_; }
    bool is_url() const { return is_url_; }
    std::optional<Instant> checked() const { return checked_; }  // when all was well with it last
    const std::string& error() const { return error_; }          // of the last look; empty: all was well
    const std::string& copy_error() const { return copy_error_; }

private:
    void plan_next(Instant now);
    Duration pause();
    void failed(const RegistryLooked& looked, Instant now, std::vector<base::Note>& out);
    void succeeded(Instant now, std::vector<base::Note>& out);
    void note_copy(const std::optional<std::string>& error, std::vector<base::Note>& out);

    std::string name_;
    bool is_url_;
    Duration interval_;
    base::Random& random_;
    Edition known_;
    bool known_is_good_ = false, has_given_ = false;
    std::optional<Instant> due_, unsettled_since_;
    bool looking_ = false, asked_ = false, touched_ = false;  // touched while looking
    bool was_asked_ = false;                                  // the look under way
    unsigned failures_ = 0;                                   // in a row
    std::optional<Instant> checked_, told_;
    std::string error_, copy_error_;
};

// What a server answered.
struct HttpAnswer {
    unsigned status = 0;
    std::string etag, last_modified, location, body;
};

// What that means to who asked for a registry. Redirects are followed a few times.
struct Taken {};
struct Unchanged {};
struct Refused {
    std::string why;
};
using Verdict = std::variant<Taken, Unchanged, Refused, Url>;  // a Url: ask there
Verdict judge(const HttpAnswer& answer, const Url& asked, bool conditional, unsigned redirects);

}  // namespace aronet::overlay
