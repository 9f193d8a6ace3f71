// The source of a registry in virtual time: when it is looked at, and what looks mean.

#include "overlay/registry_source.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;
using namespace std::chrono_literals;

namespace {

constexpr const char* kUrl = "https://example.org/registry.json";
constexpr const char* kFile = "/etc/aronet/registry.json";

RegistryLooked found(const std::string& version) {
    RegistryLooked looked;
    looked.registry = Registry{{}, version};
    looked.edition = {"tag of " + version, "", version};
    return looked;
}

RegistryLooked unchanged() { return {}; }

RegistryLooked unreachable(const std::string& why = "cannot be reached") {
    RegistryLooked looked;
    looked.error = why;
    return looked;
}

RegistryLooked refused(const std::string& tag) {
    RegistryLooked looked;
    looked.error = "not usable";
    looked.is_refused = true;
    looked.notes = {{base::Level::error, "line 1"}};
    looked.edition.tag = tag;
    return looked;
}

// A source and who looks there for it.
class Desk {
public:
    explicit Desk(const std::string& name, Duration interval = 5min)
        : random_(base::Random::from_number(7)), source(name, of(interval), random_) {
        source.start(now);
    }

    // Time passes until the next look, which is answered so. How long it took.
    Duration next(const RegistryLooked& looked, Duration patience = 48h) {
        const Instant before = now;
        while (true) {
            const auto deadline = source.deadline();
            REQUIRE(deadline);
            REQUIRE(deadline->at - before <= patience);
            now = std::max(now, deadline->at);
            if (auto look = source.tick(now)) {
                known = look->known;
                break;
            }
        }
        answer(looked);
        return now - before;
    }
    void answer(const RegistryLooked& looked) { source.handle(looked, now, notes); }
    bool is_due() { return source.tick(now).has_value(); }
    std::size_t told(base::Level level) const {
        return static_cast<std::size_t>(std::count_if(notes.begin(), notes.end(), [&](const auto& note) {
            return note.level == level;
        }));
    }

private:
    static RegistrySourceConfig of(Duration interval) {
        RegistrySourceConfig config;
        config.interval = interval;
        return config;
    }
    base::Random random_;

public:
    Instant now{};
    RegistrySource source;
    std::vector<base::Note> notes;
    Edition known;  // of the last look
};

bool within(Duration value, Duration low, Duration high) {
    INFO(base::milliseconds(value) << " ms");
    CHECK(value >= low);
    CHECK(value <= high);
    return value >= low && value <= high;
}

}  // namespace

TEST_CASE("without a source nobody looks") {
    Desk desk("");
    desk.source.touched(desk.now);
    desk.source.ask(desk.now);
    CHECK_FALSE(desk.source.deadline());
    CHECK_FALSE(desk.is_due());
}

TEST_CASE("a URL is asked at once, and then at intervals that are not the same for all") {
    Desk desk(kUrl);
    CHECK(desk.next(found("a")) == 0s);
    CHECK(desk.known == Edition{});
    bool differ = false;
    Duration last = desk.next(unchanged());
    for (int i = 0; i < 20; ++i) {
        const Duration pause = desk.next(unchanged());
        REQUIRE(within(pause, 270s, 300s));
        differ |= pause != std::exchange(last, pause);
        CHECK(desk.known.tag == "tag of a");
    }
    CHECK(differ);
    CHECK(desk.notes.empty());
}

TEST_CASE("while a look lasts nothing is due, however long") {
    Desk desk(kUrl);
    REQUIRE(desk.is_due());
    CHECK_FALSE(desk.source.deadline());
    desk.now += 24h;
    CHECK_FALSE(desk.is_due());
}

TEST_CASE("a URL that fails is asked again sooner, then ever more seldom up to a bound") {
    Desk desk(kUrl);
    desk.next(found("a"));
    desk.next(unreachable());
    for (const Duration expected : {5s, 10s, 20s, 40s, 80s, 160s, 320s}) {
        const Duration pause = desk.next(unreachable());
        REQUIRE(within(pause, expected * 3 / 4, expected));
    }
    for (int i = 0; i < 100; ++i) REQUIRE(within(desk.next(unreachable()), 450s, 600s));
    desk.next(unchanged());
    REQUIRE(within(desk.next(unchanged()), 270s, 300s));
}

TEST_CASE(
    "with long intervals a failure is made up for within the hour, with short ones it is not hammered at"
) {
    Desk seldom(kUrl, 24h);
    for (int i = 0; i < 30; ++i) seldom.next(unreachable());
    CHECK(within(seldom.next(unreachable()), 45min, 1h));
    Desk often(kUrl, 5s);
    for (int i = 0; i < 30; ++i) often.next(unreachable());
    CHECK(within(often.next(unreachable()), 450s, 600s));
}

TEST_CASE("an error is told of when it is new, every hour, and when it is over") {
    Desk desk(kUrl);
    desk.next(found("a"));
    const Instant began = desk.now;
    while (desk.now - began < 150min) desk.next(unreachable());
    CHECK(desk.told(base::Level::warning) == 3);
    CHECK(desk.notes.front().text == std::string(kUrl) + ": cannot be reached: the old registry stays");
    CHECK(desk.source.error() == "cannot be reached");
    desk.next(unreachable("something else"));
    CHECK(desk.told(base::Level::warning) == 4);
    const auto checked = desk.source.checked();
    REQUIRE(checked);
    CHECK(*checked == Instant{});
    desk.next(unchanged());
    CHECK(desk.told(base::Level::info) == 1);
    CHECK(desk.source.error().empty());
    CHECK(desk.source.checked() == desk.now);
}

TEST_CASE("as long as there is no registry nobody speaks of an old one") {
    Desk desk(kUrl);
    desk.next(unreachable());
    CHECK(desk.notes.at(0).text == std::string(kUrl) + ": cannot be reached: there is no registry yet");
    CHECK_FALSE(desk.source.checked());
}

TEST_CASE("what is refused stays refused until it changes, and its problems are told once") {
    Desk desk(kUrl);
    desk.next(found("a"));
    desk.next(refused("b"));
    CHECK(desk.told(base::Level::error) == 2);
    CHECK(desk.notes.front().text == "line 1");
    for (int i = 0; i < 5; ++i) desk.next(unchanged());
    CHECK(desk.known.tag == "b");
    CHECK(desk.source.error() == "not usable");
    CHECK(desk.told(base::Level::error) == 2);
    REQUIRE(within(desk.next(unchanged()), 120s, 160s));  // as after any other failure
    desk.next(found("c"));
    CHECK(desk.source.error().empty());
}

TEST_CASE("what is refused and not to be known again does not displace what is known") {
    Desk desk(kUrl);
    desk.next(found("a"));
    desk.next(refused(""));  // a signature that does not fit
    desk.next(unchanged());
    CHECK(desk.known.tag == "tag of a");
    CHECK(desk.source.error().empty());
}

TEST_CASE("a file is looked at when it has been left alone for a moment") {
    Desk desk(kFile);
    desk.next(found("a"));
    desk.source.touched(desk.now);
    for (int i = 0; i < 5; ++i) {
        desk.now += 100ms;
        CHECK_FALSE(desk.is_due());
        desk.source.touched(desk.now);
    }
    CHECK(desk.next(found("b")) == RegistrySource::kSettled);
    CHECK(desk.known.tag == "tag of a");
}

TEST_CASE("a file that is never left alone is looked at all the same") {
    Desk desk(kFile);
    desk.next(found("a"));
    const Instant began = desk.now;
    desk.source.touched(desk.now);
    int looks = 0;
    while (desk.now - began < 10s) {
        desk.now += 10ms;
        if (desk.is_due()) {
            ++looks;
            desk.answer(unchanged());
        }
        desk.source.touched(desk.now);
    }
    CHECK(looks == 5);
}

TEST_CASE("a hundred changes a second become a look every other second, and the last is not missed") {
    Desk desk(kFile);
    desk.next(found("a"));
    for (int i = 0; i < 99; ++i) {
        desk.source.touched(desk.now);
        desk.now += 10ms;
        CHECK_FALSE(desk.is_due());
    }
    desk.source.touched(desk.now);
    CHECK(desk.next(found("b")) == RegistrySource::kSettled);
    CHECK(desk.next(unchanged()) == RegistrySource::kFileInterval);
}

TEST_CASE("what changes while it is looked at is looked at again") {
    Desk desk(kFile);
    REQUIRE(desk.is_due());
    desk.source.touched(desk.now);
    desk.now += 3s;
    desk.answer(found("a"));
    CHECK(desk.next(found("b")) == RegistrySource::kSettled);
}

TEST_CASE("a file is looked at now and then although nobody has touched it") {
    Desk desk(kFile);
    desk.next(found("a"));
    CHECK(desk.next(unchanged()) == RegistrySource::kFileInterval);
    CHECK(desk.next(unreachable()) == RegistrySource::kFileInterval);
    CHECK(desk.next(unreachable()) == RegistrySource::kFileInterval);
}

TEST_CASE("who asks has it read at once and whole, also when something is under way") {
    for (const char* name : {kFile, kUrl}) {
        Desk desk(name);
        desk.next(found("a"));
        desk.source.ask(desk.now);
        CHECK(desk.next(found("a")) == 0s);
        CHECK(desk.known == Edition{});
        desk.next(unchanged());
        CHECK(desk.known.tag == "tag of a");

        desk.source.touched(desk.now);
        desk.source.ask(desk.now);
        desk.source.touched(desk.now);
        REQUIRE(desk.is_due());
        for (int i = 0; i < 100; ++i) desk.source.ask(desk.now);
        desk.answer(found("b"));
        CHECK(desk.next(found("b")) == 0s);
        CHECK(desk.next(unchanged()) > 0s);
    }
}

TEST_CASE("who asks is told again what is wrong") {
    Desk desk(kFile);
    desk.next(found("a"));
    desk.next(refused("b"));
    desk.notes.clear();
    desk.source.ask(desk.now);
    desk.next(refused("b"));
    CHECK(desk.notes.size() == 2);
}

TEST_CASE("a copy is used until the source has been asked, which is at once") {
    Desk desk(kUrl);
    RegistryLooked copy = found("a");
    copy.is_copy = true;
    desk.answer(copy);
    CHECK_FALSE(desk.source.checked());
    CHECK(desk.next(unreachable()) == 0s);
    CHECK(desk.known.tag == "tag of a");
    CHECK(desk.notes.at(0).text == std::string(kUrl) + ": cannot be reached: the old registry stays");
    desk.next(unchanged());
    CHECK(desk.source.checked() == desk.now);
    CHECK(desk.source.error().empty());
}

TEST_CASE("a copy that cannot be used is told of and forgotten") {
    Desk desk(kUrl);
    RegistryLooked copy;
    copy.is_copy = true;
    copy.notes = {{base::Level::warning, "torn"}};
    desk.answer(copy);
    CHECK(desk.notes.at(0).text == "torn");
    CHECK(desk.next(found("a")) == 0s);
    CHECK(desk.known == Edition{});
}

TEST_CASE("a copy that cannot be kept is told of once, until it can be") {
    Desk desk(kUrl);
    RegistryLooked looked = found("a");
    looked.copy_error = "no space";
    desk.next(looked);
    looked = found("b");
    looked.copy_error = "no space";
    desk.next(looked);
    desk.next(unchanged());
    CHECK(desk.told(base::Level::warning) == 1);
    CHECK(desk.source.copy_error() == "no space");
    CHECK(desk.source.error().empty());
    looked.copy_error = "";
    desk.next(looked);
    CHECK(desk.source.copy_error().empty());
    CHECK(desk.told(base::Level::info) == 1);
}

TEST_CASE("answers of a server are taken, followed or refused") {
    const Url url = *Url::parse("https://example.org/a");
    const auto answer = [](unsigned status, const std::string& location = "") {
        HttpAnswer out;
        out.status = status;
        out.location = location;
        return out;
    };
    const auto why = [](const Verdict& verdict) { return std::get<Refused>(verdict).why; };
    CHECK(std::holds_alternative<Taken>(judge(answer(200), url, false, 0)));
    CHECK(std::holds_alternative<Unchanged>(judge(answer(304), url, true, 0)));
    CHECK(why(judge(answer(304), url, false, 0)).find("304") != std::string::npos);
    for (const unsigned status : {301u, 302u, 303u, 307u, 308u}) {
        CHECK(std::get<Url>(judge(answer(status, "/b"), url, false, 2)).target == "/b");
        CHECK(why(judge(answer(status, "/b"), url, false, 3)) == "the server redirects too often");
        CHECK(why(judge(answer(status), url, false, 0)) == "the server redirects to nowhere");
        CHECK(
            why(judge(answer(status, "http://example.org/b"), url, false, 0)) ==
            "a redirect to http://example.org/b: leads from https to http"
        );
    }
    for (const unsigned status : {201u, 204u, 206u, 300u, 401u, 404u, 500u, 503u}) {
        CHECK(
            why(judge(answer(status, "/b"), url, true, 0)) ==
            "the server answers with status " + std::to_string(status)
        );
    }
}
