#pragma once

// The pump: carries events to the Node and performs its actions in order. Adds no decisions.

#include "daemon/babel_port.hpp"
#include "daemon/clock.hpp"
#include "daemon/control.hpp"
#include "daemon/custody.hpp"
#include "daemon/datapath.hpp"
#include "daemon/kernel.hpp"
#include "daemon/lasting.hpp"
#include "daemon/latest.hpp"
#include "daemon/registry_port.hpp"
#include "daemon/resolver.hpp"
#include "daemon/state_file.hpp"
#include "daemon/updown.hpp"
#include "overlay/document.hpp"
#include "overlay/node.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace aronet::daemon {

// How the host is used, found out from the configuration before the Node is made.
struct Ports {
    bool kernel_datapath = false;  // or no tunnels at all
    std::set<overlay::IkePort> ike;
    std::uint32_t mark = 0;   // of IKE datagrams; 0: none
    std::string config_path;  // read again when somebody wants that,
    bool reads_once = false;  // if it can be
    netlink::Space babel_space = netlink::Space::underlay;
    // Babel's socket opens when this link is up: the VRF, or the veth inside the namespace. Empty: any time.
    std::string babel_link;
    std::string control_path;
    RegistryPlace registry;
    std::string
        loaded_registry;  // a copy of what is loaded by hand, for the next process; empty: none is kept
    std::string keys_to;  // where tables of keys are written; empty: nowhere
    Netns overlay;        // if it was handed over
};

class Runtime {
public:
    // `state`: where Remember goes; `custody`: with whom the sockets are. Both outlive the runtime.
    Runtime(
        boost::asio::io_context& io,
        overlay::Config config,
        overlay::Host host,
        Ports ports,
        StateFile& state,
        Custody& custody
    );
    ~Runtime();

    // Until the Node has stopped. `first` is what is known of the registry before anything runs, if anything
    // is.
    boost::asio::awaitable<void> run(std::optional<overlay::Event> first);
    const std::string& failure() const { return failure_; }  // why the Node gave up; empty: it did not

private:
    void feed(overlay::Event event);
    void settle();
    void perform_all();
    void perform();
    void collect_notices();
    void rearm();
    void leave_if_done();
    void tell_if_unlocked();
    void tell_if_forgetful();

    void perform(overlay::SendIke& action);
    void perform(overlay::SendBabel& action);
    void perform(overlay::ListenBabel& action);
    void perform(netlink::Change& action);
    void perform(overlay::Answer& action);
    void perform(overlay::Resolve& action);
    void perform(overlay::LookAtRegistry& action);
    void perform(overlay::Configured& action);
    void perform(overlay::RunUpdown& action);
    void perform(overlay::TellKeys& action);
    void perform(overlay::Remember& action);
    void perform(overlay::Stopped& action);
    void perform(base::Note& action);

    void observe(const netlink::Notice& notice);
    void open_ike_sockets();
    base::Result<Descriptor> open_ike(const overlay::IkePort& where);
    void use_ike(const overlay::IkePort& where, Descriptor descriptor);
    void leave_ike(const overlay::IkePort& where);
    void open_new_ports(const std::set<overlay::IkePort>& wanted, overlay::Problems& problems);
    void open_babel();
    boost::asio::awaitable<void> receive_datagrams();
    boost::asio::awaitable<void> receive_babel();
    boost::asio::awaitable<void> receive_ike();
    boost::asio::awaitable<void> receive_ike_everywhere();
    boost::asio::awaitable<void> receive_ike(UdpSocket& socket);
    boost::asio::awaitable<void> receive_from_datapath();
    boost::asio::awaitable<void> receive_netlink();
    static boost::asio::awaitable<void> forever();  // until it is cancelled
    boost::asio::awaitable<void> keep_time();
    boost::asio::awaitable<void> reassure();
    boost::asio::awaitable<void> wait_for_signals();
    boost::asio::awaitable<void> leave_to_the_next();
    boost::asio::awaitable<std::optional<ControlResponse>> leave_to_the_next(
        overlay::RequestId id, ControlRequest request
    );
    boost::asio::awaitable<void> reload_when_told();
    boost::asio::awaitable<void> finished();
    boost::asio::awaitable<ControlResponse> answer(ControlRequest request);
    boost::asio::awaitable<std::optional<ControlResponse>> ask_node(
        overlay::RequestId id, ControlRequest request
    );
    boost::asio::awaitable<std::optional<ControlResponse>> load(
        overlay::RequestId id, std::string text, bool is_trial
    );
    boost::asio::awaitable<std::optional<ControlResponse>> reload(overlay::RequestId id, bool is_trial);

    boost::asio::io_context& io_;
    Ports ports_;
    StateFile& state_;
    Custody& custody_;
    base::Random random_;
    overlay::Node node_;
    std::unique_ptr<Datapath> datapath_;  // only where the kernel has no ESP
    Kernel kernel_;
    BabelPort babel_;
    Resolver resolver_;
    Control control_;
    Updown updown_;
    Alarm alarm_;
    boost::asio::signal_set signals_;
    using Bell = boost::asio::experimental::channel<void(boost::system::error_code)>;
    Bell stopped_, hung_up_, ports_changed_;

    using AnswerChannel =
        boost::asio::experimental::channel<void(boost::system::error_code, overlay::Answer)>;
    std::map<overlay::RequestId, AnswerChannel*> answers_;  // of requests whose callers wait
    overlay::RequestId last_request_ = 0;
    int asking_ = 0;  // callers who have no answer yet
    using Sockets = std::map<overlay::IkePort, UdpSocket>;
    Sockets ike_;
    std::vector<Sockets::node_type> closed_;         // somebody may be reading them
    std::map<overlay::IkePort, Descriptor> opened_;  // for a configuration that is not in use yet
    std::deque<overlay::Event> events_;
    overlay::Actions actions_;
    bool settling_ = false;
    Lasting lasting_;
    boost::asio::thread_pool reader_{1};  // reads registries, wherever they come from
    RegistryPort registry_;
    Latest loads_, load_trials_;      // of registries by the control socket
    Latest reloads_, reload_trials_;  // of the configuration
    bool told_unlocked_ = false, told_forgetful_ = false;
    bool listens_ = false;  // to Babel, if its link is there
    std::string failure_;
    bool is_stopped_ = false;  // the Node is; the last scripts may still run
};

}  // namespace aronet::daemon
