// New keys on request: the exchanges are the engine's, which it begins as soon as nothing else is under way.

#include "overlay/document.hpp"
#include "overlay/node_state.hpp"

#include <nlohmann/json.hpp>

namespace aronet::overlay {
namespace {

using nlohmann::json;

struct Wish {
    std::string peer;  // its name, or the interface of one tunnel
    bool ike = false;
};

std::optional<Wish> read_wish(const std::string& body) {
    const json text = json::parse(body, nullptr, false);
    if (!text.is_object()) return std::nullopt;
    const auto peer = text.find("peer"), ike = text.find("ike");
    if (peer == text.end() || !peer->is_string()) return std::nullopt;
    if (ike != text.end() && !ike->is_boolean()) return std::nullopt;
    return Wish{peer->get<std::string>(), ike != text.end() && ike->get<bool>()};
}

}  // namespace

void Node::State::rekey(const Request& request) {
    const auto answer = [&](int status, const json& body) {
        out->push_back(Answer{request.id, status, to_text(body)});
    };
    const auto wish = read_wish(request.body);
    if (!wish) return answer(400, {{"error", R"(expected {"peer": NAME, "ike": true or false})"}});
    std::size_t known = 0, asked = 0;
    for (const auto& [if_id, tunnel] : tunnels) {
        if (wish->peer != tunnel.peer_name() && wish->peer != tunnel.pairing.interface) continue;
        ++known;
        if (!tunnel.current) continue;
        ++asked;
        if (wish->ike) {
            engine.renew(if_id, now, ike_actions);
        } else {
            engine.rekey(*tunnel.current, now, ike_actions);
        }
    }
    if (known == 0) return answer(404, {{"error", "there is no tunnel to " + base::printable(wish->peer)}});
    if (asked == 0) return answer(409, {{"error", "no tunnel to " + wish->peer + " is up"}});
    answer(200, {{"schema", "aronet.rekey/1"}, {"tunnels", asked}});
}

}  // namespace aronet::overlay
