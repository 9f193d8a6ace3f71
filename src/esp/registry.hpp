#pragma once

// The SAs of a data plane by unique ownership, on the control side: what may be added, which outbound SA a
// tunnel uses, and the tables that follow from it. What was removed is handed out, for whoever published the
// tables to destroy once no worker can hold one that points to it.

#include "esp/table.hpp"

#include <map>
#include <system_error>
#include <variant>
#include <vector>

namespace aronet::esp {

class Registry {
public:
    using Ended = std::variant<std::unique_ptr<InboundSa>, std::unique_ptr<OutboundSa>>;

    explicit Registry(base::Random& random) : random_(random) {}

    // Takes the place of one with this id. invalid_argument: not tunnel mode in UDP, or no such key;
    // file_exists: the SPI is another inbound SA's, or the id another tunnel's: two peers at one address may
    // choose one SPI.
    std::errc add(const base::Sa& sa);
    // The SA runs between other endpoints, under the id that follows; no_such_process: it is not there,
    // file_exists: another is there already.
    std::errc move(const base::SaId& id, const base::Endpoint& source, const base::Endpoint& destination);
    void remove(const base::SaId& id);  // absent: nothing to do
    // The outbound SA the tunnel uses from now on; no_such_process: it is not there.
    std::errc set_outbound(std::uint32_t if_id, const base::SaId& id);
    void remove_outbound(std::uint32_t if_id) { current_.erase(if_id); }

    Table table() const;
    std::vector<Ended> take_ended() { return std::exchange(ended_, {}); }

    struct Entry {
        base::SaId id;
        base::Direction direction = base::Direction::in;
        std::uint32_t if_id = 0;
        const Tally* tally = nullptr;  // valid until the next change of the registry
    };
    std::vector<Entry> entries() const;

private:
    template <class State>
    struct Held {
        base::Sa sa;  // without its key
        std::unique_ptr<State> state;
    };
    template <class State>
    using Associations = std::map<base::SaId, Held<State>>;

    template <class State>
    std::errc add_to(Associations<State>& all, const base::Sa& sa, std::unique_ptr<State> made);
    template <class State>
    std::errc move_in(
        Associations<State>& all,
        const base::SaId& id,
        const base::Endpoint& source,
        const base::Endpoint& destination
    );
    template <class State>
    void rename(Associations<State>& all, const base::SaId& from, const base::SaId& to);
    template <class State>
    void end(Associations<State>& all, const base::SaId& id);

    base::Random& random_;
    Associations<InboundSa> inbound_;
    Associations<OutboundSa> outbound_;
    std::map<std::uint32_t, base::SaId> current_;  // if_id to the outbound SA in use
    std::vector<Ended> ended_;
};

}  // namespace aronet::esp
