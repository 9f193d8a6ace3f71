#include "daemon/runtime.hpp"

#include "base/vault.hpp"
#include "daemon/elsewhere.hpp"
#include "daemon/entropy.hpp"
#include "daemon/files.hpp"
#include "daemon/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

namespace aronet::daemon {
namespace {

using boost::asio::awaitable;
using boost::asio::use_awaitable;
using namespace boost::asio::experimental::awaitable_operators;

// After so many datagrams of one socket it is everybody else's turn: a flood must not stop the clock.
constexpr int kFair = 64;
constexpr auto kLastScripts = std::chrono::seconds(3);  // for updown scripts on a stop
constexpr auto kLastAnswers = std::chrono::seconds(1);  // to the control socket

struct Reading {
    std::optional<overlay::Registry> registry;
    overlay::Problems problems;
    std::string not_kept;  // why there is no copy of it where one was wanted
};

awaitable<Reading> read_registry(std::string text, std::string copy) {
    Reading reading;
    reading.registry = overlay::parse_registry(text, "registry", reading.problems);
    if (reading.registry && !copy.empty()) reading.not_kept = replace_file(copy, text);
    co_return reading;
}

struct ConfigReading {
    std::optional<overlay::Config> config;
    overlay::Problems problems;
};

awaitable<ConfigReading> read_config_there(std::string path) {
    ConfigReading reading;
    reading.config = read_config(path, reading.problems);
    if (reading.config && reading.config->private_key.empty() && !reading.config->endpoints.empty())
        reading.problems.add({path, 0, 0, "private_key", "is missing", false});
    co_return reading;
}

std::optional<ControlResponse> refused(const overlay::Problems& problems) {
    const nlohmann::json answer{
        {"error", "the configuration is refused"},
        {"refused", "configuration"},
        {"problems", problems.lines()}};
    return ControlResponse{422, overlay::to_text(answer)};
}

}  // namespace

Runtime::Runtime(
    boost::asio::io_context& io,
    overlay::Config config,
    overlay::Host host,
    Ports ports,
    StateFile& state,
    Custody& custody
)
    : io_(io),
      ports_(std::move(ports)),
      state_(state),
      custody_(custody),
      random_(entropy().view()),
      node_(std::move(config), std::move(host), random_),
      datapath_(ports_.kernel_datapath ? nullptr : std::make_unique<Datapath>()),
      kernel_(io, datapath_.get(), std::move(ports_.overlay)),
      babel_(io),
      resolver_(
          io,
          [this](const std::string& name, base::Family family, Resolver::Found found) {
              feed(overlay::Resolved{name, family, std::move(found.addresses), found.lifetime});
          },
          ports_.mark
      ),
      control_(
          io, ports_.control_path, [this](ControlRequest request) { return answer(std::move(request)); }
      ),
      alarm_(io),
      signals_(io, SIGINT, SIGTERM, SIGHUP),
      stopped_(io, 1),
      hung_up_(io, 1),
      ports_changed_(io, 1),
      registry_(io, reader_, ports_.registry, [this](overlay::Event event) { feed(std::move(event)); }),
      loads_(io),
      load_trials_(io),
      reloads_(io),
      reload_trials_(io) {
    signals_.add(SIGCHLD);
    signals_.add(SIGUSR1);
    open_ike_sockets();
}

Runtime::~Runtime() = default;

awaitable<void> Runtime::forever() {
    boost::asio::steady_timer never(co_await boost::asio::this_coro::executor);
    never.expires_at(boost::asio::steady_timer::time_point::max());
    co_await never.async_wait(use_awaitable);
}

awaitable<void> Runtime::run(std::optional<overlay::Event> first) {
    tell_manager("READY=1");
    node_.start(now(), actions_);
    if (first) events_.push_back(std::move(*first));
    settle();
    auto all = lasting_(receive_datagrams()) || lasting_(receive_babel()) || lasting_(receive_netlink()) ||
               lasting_(resolver_.serve()) || lasting_(registry_.serve()) || lasting_(control_.serve()) ||
               lasting_(keep_time()) || lasting_(wait_for_signals()) || lasting_(reassure()) ||
               lasting_(reload_when_told()) || lasting_(finished());
    co_await std::move(all);
    lasting_.rethrow();
}

// Events that actions bring about at once (a name that resolves without asking, a change that is no netlink)
// are kept until the actions before them are done.
void Runtime::feed(overlay::Event event) {
    events_.push_back(std::move(event));
    settle();
}

// Whoever feeds may have a use for exceptions of its own: what is thrown here is the end of the process.
void Runtime::settle() {
    if (std::exchange(settling_, true)) return;
    try {
        perform_all();
    } catch (...) {
        lasting_.broke(std::current_exception());
        stopped_.try_send(boost::system::error_code());
        return;
    }
    settling_ = false;
    for (const base::Note& note : updown_.take_notes()) write_log(note);
    tell_if_unlocked();
    tell_if_forgetful();
    rearm();
}

void Runtime::perform_all() {
    do {
        perform();
        collect_notices();
        if (!events_.empty()) {
            overlay::Event event = std::move(events_.front());
            events_.pop_front();
            node_.handle(std::move(event), now(), actions_);
        }
    } while (!actions_.empty() || !events_.empty());
}

void Runtime::tell_if_unlocked() {
    if (told_unlocked_ || base::Vault::of_process().locked()) return;
    told_unlocked_ = true;
    write_log(
        {base::Level::warning,
         "KEYS MAY REACH SWAP SPACE: the system refuses to lock as much memory as they take (RLIMIT_MEMLOCK)"}
    );
}

void Runtime::tell_if_forgetful() {
    const bool forgets = !state_.why().empty();
    if (std::exchange(told_forgetful_, forgets) == forgets) return;
    write_log(
        forgets
            ? base::
                  Note{base::Level::warning, state_.why() + ": a restart will not be able to go on from here"}
            : base::Note{base::Level::info, "a restart will be able to go on from here again"}
    );
}

void Runtime::perform() {
    overlay::Actions actions = std::exchange(actions_, {});
    for (const overlay::Action& action : actions) {  // what follows must not be known to others only
        if (const auto* kept = std::get_if<overlay::Remember>(&action)) state_.keep(*kept);
    }
    state_.flush(now());
    for (overlay::Action& action : actions) {
        std::visit([this](auto& wanted) { perform(wanted); }, action);
    }
}

void Runtime::collect_notices() {
    for (netlink::Notice& notice : kernel_.take_notices(now())) {
        observe(notice);
        events_.push_back(std::move(notice));
    }
}

void Runtime::rearm() {
    std::optional<base::Instant> at;
    for (const auto& deadline : {node_.deadline(), kernel_.deadline(), updown_.deadline()}) {
        if (deadline && (!at || deadline->at < *at)) at = deadline->at;
    }
    alarm_.set(at);
}

awaitable<void> Runtime::keep_time() {
    for (;;) {
        co_await alarm_.rings();
        babel_.take();  // what came in time must not count as late for having waited here
        kernel_.tick(now());
        node_.tick(now(), actions_);
        updown_.tick(now());
        settle();
    }
}

// As long as the loop turns: a process that hangs does not say that it is well.
awaitable<void> Runtime::reassure() {
    const auto interval = take_watchdog();
    boost::asio::steady_timer pause(io_);
    while (interval) {
        tell_manager("WATCHDOG=1");
        pause.expires_after(*interval);
        co_await pause.async_wait(use_awaitable);
    }
    co_await forever();
}

// The shell needs to know where Babel's links are; everything else about a notice is the Node's.
void Runtime::observe(const netlink::Notice& notice) {
    if (const auto* up = std::get_if<netlink::LinkUp>(&notice);
        up != nullptr && up->space == ports_.babel_space) {
        babel_.link_up(up->name, up->index);
        if (up->name == ports_.babel_link) open_babel();
    }
    if (const auto* down = std::get_if<netlink::LinkDown>(&notice);
        down != nullptr && down->space == ports_.babel_space) {
        babel_.link_gone(down->name);
    }
}

// Not before the Node hears: until then the kernel is to answer that nobody listens.
void Runtime::open_babel() {
    if (!listens_ || (!ports_.babel_link.empty() && !babel_.knows(ports_.babel_link))) return;
    const bool vrf = ports_.babel_space == netlink::Space::underlay;
    const std::string error =
        babel_.open(kernel_.space(ports_.babel_space), vrf ? ports_.babel_link : std::string());
    if (!error.empty()) write_log({base::Level::error, "Babel: " + error});
}

void Runtime::perform(overlay::SendIke& action) {
    const auto socket = ike_.find({action.to.family(), action.from.port});
    if (socket != ike_.end()) socket->second.send(action.from.address, action.to, 0, action.bytes);
}

void Runtime::perform(overlay::SendBabel& action) {
    babel_.send(action.link, action.from, action.to, action.bytes);
}

void Runtime::perform(overlay::ListenBabel& action) {
    if (!std::exchange(listens_, true)) open_babel();
    babel_.listen(action.link);
}

void Runtime::perform(netlink::Change& action) { kernel_.perform(std::move(action), now()); }

void Runtime::perform(overlay::Answer& action) {
    const auto waiting = answers_.find(action.id);
    if (waiting == answers_.end()) return;
    AnswerChannel* channel = waiting->second;
    answers_.erase(waiting);
    channel->try_send(boost::system::error_code(), std::move(action));
}

void Runtime::perform(overlay::Resolve& action) { resolver_.resolve(action.hostname, action.family); }

void Runtime::perform(overlay::LookAtRegistry& action) { registry_.look(std::move(action)); }

void Runtime::perform(overlay::RunUpdown& action) { updown_.run(std::move(action), now()); }

// In the words of Wireshark's preferences (docs/testing.md).
void Runtime::perform([[maybe_unused]] overlay::TellKeys& action) {
#ifdef ARONET_KEY_TABLES
    const bool ike = action.table == overlay::TellKeys::Table::ike;
    const std::string path = ports_.keys_to + (ike ? "/ikev2_decryption_table" : "/esp_sa");
    if (!append_to_secret(path, action.row + "\n"))
        write_log({base::Level::error, path + ": keys cannot be written"});
#endif
}

void Runtime::perform(overlay::Remember&) {}  // done before the others

void Runtime::perform(overlay::Stopped& action) {
    is_stopped_ = true;
    if (!action.keeps) {
        state_.remove();
        custody_.end();
        if (!ports_.loaded_registry.empty()) unlink(ports_.loaded_registry.c_str());
    }
    failure_ = std::move(action.failure);
    updown_.hurry(now() + kLastScripts);
    leave_if_done();
}

void Runtime::leave_if_done() {
    if (is_stopped_ && updown_.idle()) stopped_.try_send(boost::system::error_code());
}

void Runtime::perform(base::Note& action) { write_log(action); }

// Whoever asked for the end hears of it.
awaitable<void> Runtime::finished() {
    co_await stopped_.async_receive(use_awaitable);
    const base::Instant end = now() + kLastAnswers;
    boost::asio::steady_timer pause(io_);
    while (asking_ > 0 && now() < end && !lasting_.is_broken()) {
        pause.expires_after(std::chrono::milliseconds(5));
        co_await pause.async_wait(use_awaitable);
    }
}

awaitable<void> Runtime::wait_for_signals() {
    for (;;) {
        const int signal = co_await signals_.async_wait(use_awaitable);
        if (signal == SIGCHLD) {
            updown_.reap(now());
            settle();
            leave_if_done();
        } else if (signal == SIGHUP) {
            hung_up_.try_send(boost::system::error_code());
        } else if (signal == SIGUSR1) {
            co_await leave_to_the_next();
        } else {
            feed(overlay::Stop{});
        }
    }
}

awaitable<void> Runtime::receive_babel() {
    BabelPort::Received received = [this](const std::string& link, const Arrival& arrival) {
        feed(overlay::BabelDatagram{
            arrival.bytes, link, arrival.from.address, arrival.to.address, arrival.from.port, arrival.at});
    };
    BabelPort::Refused refused = [this](const std::string& link, const base::Address& there) {
        feed(overlay::NobodyListens{link, there});
    };
    awaitable<void> received_for_ever = babel_.receive(std::move(received), std::move(refused));
    co_await std::move(received_for_ever);
}

awaitable<void> Runtime::receive_netlink() {
    const auto woken = [this] { settle(); };
    co_await (
        kernel_.receive(netlink::Channel::underlay_route, woken) &&
        kernel_.receive(netlink::Channel::overlay_route, woken) &&
        kernel_.receive(netlink::Channel::xfrm, woken) &&
        kernel_.receive(netlink::Channel::xfrm_notices, woken) && kernel_.watch_name(woken)
    );
}

// Hands a request to the Node; an answer that needs no Node is given at once.
awaitable<std::optional<ControlResponse>> Runtime::ask_node(overlay::RequestId id, ControlRequest request) {
    std::optional<ControlResponse> at_once;
    const bool is_trial = request.verb.ends_with("/plan");
    const bool wants_next = request.verb == "stop" && overlay::wants_keeping(request.body) == true;
    if (wants_next && !ports_.reads_once) {
        at_once = co_await leave_to_the_next(id, std::move(request));
    } else if (request.verb.starts_with("registry")) {
        at_once = co_await load(id, std::move(request.body), is_trial);
    } else if (request.verb.starts_with("reload")) {
        at_once = co_await reload(id, is_trial);
    } else {
        feed(overlay::Request{id, request.verb, std::move(request.body)});
    }
    co_return at_once;
}

awaitable<void> Runtime::reload_when_told() {
    for (;;) {
        co_await hung_up_.async_receive(use_awaitable);
        co_await reload(0, false);
    }
}

// Who changes the configuration and restarts may want something else than the same again. What cannot be read
// does not start: then the others are better told that this is the end.
awaitable<void> Runtime::leave_to_the_next() {
    overlay::Stop stop{true};
    if (ports_.reads_once) co_return feed(std::move(stop));
    awaitable<ConfigReading> work = read_config_there(ports_.config_path);
    ConfigReading reading = co_await elsewhere(reader_, std::move(work));
    stop.keep = !reading.problems.has_errors();
    write_log(reading.problems);
    if (!stop.keep) write_log({base::Level::error, ports_.config_path + ": not usable: nothing is kept"});
    stop.next = std::move(reading.config);
    feed(std::move(stop));
}

// Whoever asks can be told, and nothing ends.
awaitable<std::optional<ControlResponse>> Runtime::leave_to_the_next(
    overlay::RequestId id, ControlRequest request
) {
    awaitable<ConfigReading> work = read_config_there(ports_.config_path);
    ConfigReading reading = co_await elsewhere(reader_, std::move(work));
    if (reading.problems.has_errors()) co_return refused(reading.problems);
    feed(overlay::Request{id, std::move(request.verb), std::move(request.body), std::move(reading.config)});
    co_return std::nullopt;
}

// The file may lie anywhere: another thread reads it, like a registry.
awaitable<std::optional<ControlResponse>> Runtime::reload(overlay::RequestId id, bool is_trial) {
    if (ports_.reads_once) {
        if (id == 0) feed(overlay::RereadRegistry{});
        ControlResponse gone{409, R"({"error":"the configuration was piped in, and cannot be read again"})"};
        co_return std::optional(std::move(gone));
    }
    Latest& line = is_trial ? reload_trials_ : reloads_;
    const bool is_last = co_await line.turn();
    if (!is_last) {
        ControlResponse outdated{409, R"({"error":"not done: somebody asked for it later"})"};
        co_return std::optional(std::move(outdated));
    }
    const Latest::Turn turn(line);
    awaitable<ConfigReading> work = read_config_there(ports_.config_path);
    ConfigReading reading = co_await elsewhere(reader_, std::move(work));
    if (!reading.problems.has_errors()) open_new_ports(reading.config->ike_ports(), reading.problems);
    write_log(reading.problems);
    if (!reading.problems.has_errors()) {
        feed(overlay::ConfigChanged{std::move(*reading.config), id, is_trial});
        opened_.clear();  // of one that is refused, or has to wait
        co_return std::nullopt;
    }
    write_log({base::Level::error, ports_.config_path + ": not usable: the old configuration stays"});
    co_return refused(reading.problems);
}

// A large registry takes seconds to read: another thread does it, while everybody else is served.
awaitable<std::optional<ControlResponse>> Runtime::load(
    overlay::RequestId id, std::string text, bool is_trial
) {
    Latest& line = is_trial ? load_trials_ : loads_;
    const bool is_last = co_await line.turn();
    if (!is_last) {
        ControlResponse outdated{409, R"({"error":"not read: another registry came before its turn"})"};
        co_return std::optional(std::move(outdated));
    }
    const Latest::Turn turn(line);
    awaitable<Reading> work = read_registry(std::move(text), is_trial ? "" : ports_.loaded_registry);
    Reading reading = co_await elsewhere(reader_, std::move(work));
    if (!reading.not_kept.empty())
        write_log({base::Level::warning, reading.not_kept + ": a restart will have to wait for a registry"});
    if (reading.registry) {
        feed(overlay::RegistryChanged{std::move(*reading.registry), id, "load", is_trial});
        co_return std::nullopt;
    }
    nlohmann::json list = nlohmann::json::array();
    for (const auto& problem : reading.problems.list()) list.push_back(problem.to_string());
    const nlohmann::json answer{{"error", "the registry is refused"}, {"problems", list}};
    ControlResponse response{422, overlay::to_text(answer)};
    co_return std::optional(std::move(response));
}

awaitable<ControlResponse> Runtime::answer(ControlRequest request) {
    ++asking_;
    const std::unique_ptr<int, void (*)(int*)> asked(&asking_, [](int* count) { --*count; });
    const overlay::RequestId id = ++last_request_;
    AnswerChannel channel(io_, 1);
    answers_.emplace(id, &channel);
    std::optional<ControlResponse> at_once = co_await ask_node(id, std::move(request));
    if (at_once) {
        answers_.erase(id);
        co_return std::move(*at_once);
    }
    overlay::Answer answer = co_await channel.async_receive(use_awaitable);
    ControlResponse response{answer.status, std::move(answer.body)};
    co_return response;
}

}  // namespace aronet::daemon
