// ike.peers of config.json: what this node shares with others besides public keys. Nothing of a secret is
// ever in an error.

#include "overlay/parse.hpp"

#include <sodium.h>

namespace aronet::overlay {
namespace {

constexpr std::size_t kPskShort = 16, kPpkShort = 32;  // octets: shorter ones are warned of
constexpr std::size_t kSecretMax = 1024, kPpkIdMax = 128;

base::Result<base::Secret> from_base64(std::string_view text) {
    base::Secret out(text.size());
    std::size_t size = 0;
    const char* stopped = nullptr;
    const int failed = sodium_base642bin(
        out.mutable_view().data(),
        out.size(),
        text.data(),
        text.size(),
        nullptr,
        &size,
        &stopped,
        sodium_base64_VARIANT_ORIGINAL
    );
    if (failed != 0 || stopped != text.data() + text.size())
        return base::Error{"expected base64 behind \"0s\""};
    return base::Secret(out.view().first(size));
}

// As strongSwan's secrets are written: 0x and hexadecimal digits, 0s and base64, or the text itself.
base::Result<base::Secret> secret_of(std::string_view text) {
    if (text.starts_with("0s")) return from_base64(text.substr(2));
    if (!text.starts_with("0x")) return base::Secret(base::as_bytes(text));
    auto bytes = base::from_hex(text.substr(2));
    if (!bytes) return base::Error{"expected hexadecimal digits behind \"0x\", two for each octet"};
    base::Secret secret{base::ByteView(*bytes)};
    base::wipe(*bytes);
    return secret;
}

std::string_view without_line_end(base::ByteView content) {
    std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    return text;
}

// One secret under `key`, or in the file that `key`_file names. Empty where there is none, or an error.
ike::SharedSecret read_secret(
    const Value& peer, const std::string& key, std::size_t warned_below, const ReadKey& read_key
) {
    const Value given = peer.member(key), file = peer.member(key + "_file");
    if (given.is_absent() && file.is_absent()) return {};
    const Value& where = given.is_absent() ? file : given;
    const auto refuse = [&](const std::string& why) { return where.error(why), ike::SharedSecret(); };
    if (!given.is_absent() && !file.is_absent()) return refuse("is said twice: as itself and by a file");
    auto text = file.is_absent() ? given.secret() : file.string();
    if (!text) return {};
    base::Result<base::Secret> content = base::Error{};
    content = file.is_absent() ? base::Secret(base::as_bytes(*text)) : read_key(*text);
    base::wipe({reinterpret_cast<base::Byte*>(text->data()), text->size()});
    if (!content) return refuse(content.error().text);
    const auto secret = secret_of(without_line_end(content->view()));
    if (!secret) return refuse(secret.error().text);
    if (secret->empty() || secret->size() > kSecretMax)
        return refuse("is empty or longer than " + std::to_string(kSecretMax) + " octets");
    if (secret->size() < warned_below)
        where.warning("is shorter than " + std::to_string(warned_below) + " octets: it can be guessed");
    return ike::SharedSecret(secret->view());
}

void read_peer(const Value& value, const ReadKey& read_key, IkeConfig& config) {
    if (!value.is_object()) return;
    value.warn_of_unknown(
        {"organization", "common_name", "psk", "psk_file", "ppk", "ppk_file", "ppk_id", "ppk_required"}
    );
    IkePeer peer;
    peer.nodes = read_node_pattern(value);
    peer.psk = read_secret(value, "psk", kPskShort, read_key);
    ike::Ppk ppk;
    ppk.secret = read_secret(value, "ppk", kPpkShort, read_key);
    const bool has_ppk = !value.member("ppk").is_absent() || !value.member("ppk_file").is_absent();
    const Value id = value.member("ppk_id"), required = value.member("ppk_required");
    if (has_ppk) {
        const Value named = value.required({"ppk_id"});
        ppk.id = named.is_absent() ? "" : named.string().value_or("");
        if (ppk.id.size() > kPpkIdMax) named.expected("at most " + std::to_string(kPpkIdMax) + " characters");
        if (!required.is_absent()) ppk.required = required.boolean().value_or(false);
        peer.ppk = std::move(ppk);
    } else if (!id.is_absent() || !required.is_absent()) {
        (id.is_absent() ? required : id).error("is about a \"ppk\" or \"ppk_file\", and there is none");
    }
    const bool has_psk = !value.member("psk").is_absent() || !value.member("psk_file").is_absent();
    if (!has_psk && !has_ppk) value.error("shares nothing: \"psk\", \"ppk\" or a file of either is missing");
    config.peers.push_back(std::move(peer));
}

}  // namespace

void read_ike_peers(const Value& peers, const ReadKey& read_key, IkeConfig& config) {
    if (peers.is_absent()) return;
    for (const Value& peer : peers.elements()) read_peer(peer, read_key, config);
}

}  // namespace aronet::overlay
