#include "overlay/tunnel.hpp"

namespace aronet::overlay {

const char* to_string(Stage stage) {
    switch (stage) {
        case Stage::wanted:
            return "wanted";
        case Stage::keyed:
            return "keyed";
        case Stage::linked:
            return "linked";
        case Stage::routed:
            return "routed";
    }
    return "";
}

std::string Tunnel::peer_name() const {
    return pairing.peer.remote.organization + "/" + pairing.peer.remote.common_name;
}

Stage Tunnel::stage() const {
    if (on_babel) return Stage::routed;
    if (carries) return Stage::linked;
    return children.empty() ? Stage::wanted : Stage::keyed;
}

}  // namespace aronet::overlay
