#include "overlay/kept_registry.hpp"

#include "overlay/parse.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace aronet::overlay {
namespace {

using nlohmann::json;

std::string version_of(std::string_view text) { return base::to_hex(ike::sha256(base::as_bytes(text))); }

// Why the text is not to be believed; empty: it is.
std::string distrust(const RegistryText& read, const std::vector<ike::PublicKey>& keys) {
    if (keys.empty()) return "";
    const auto signature = ike::parse_signature(read.signature);
    if (!signature) return "the signature: " + signature.error().text;
    const bool fits = std::any_of(keys.begin(), keys.end(), [&](const ike::PublicKey& key) {
        return ike::verify(key, base::as_bytes(read.text), *signature);
    });
    return fits ? "" : "the signature is not one of this text by registry.public_key";
}

std::string summary(const Problem& problem) {
    std::string where = problem.line > 0 ? "line " + std::to_string(problem.line) + ": " : "";
    if (!problem.key.empty()) where += problem.key + ": ";
    return "not usable: " + where + problem.text;
}

}  // namespace

RegistryLooked accept(
    const RegistryText& read,
    const std::string& name,
    const std::vector<ike::PublicKey>& keys,
    const std::string& known_version
) {
    RegistryLooked looked;
    looked.error = distrust(read, keys);
    looked.is_refused = !looked.error.empty();
    if (looked.is_refused) return looked;
    looked.edition = read.edition;
    looked.edition.version = version_of(read.text);
    if (looked.edition.version == known_version) return looked;
    Problems problems;
    looked.registry = parse_registry(read.text, name, problems);
    const auto level = looked.registry ? base::Level::warning : base::Level::error;
    for (std::string& line : problems.lines()) looked.notes.push_back({level, std::move(line)});
    if (looked.registry) return looked;
    looked.is_refused = true;
    looked.edition.version.clear();
    const auto& list = problems.list();
    const auto first = std::find_if(list.begin(), list.end(), [](const auto& p) { return !p.is_warning; });
    looked.error = first == list.end() ? "not usable" : summary(*first);
    return looked;
}

std::string encode_copy(const RegistryText& good, const std::string& source) {
    const auto signature = ike::parse_signature(good.signature);
    const json line{
        {"source", source},
        {"etag", good.edition.tag},
        {"last_modified", good.edition.date},
        {"version", version_of(good.text)},
        {"signature", signature ? ike::signature_to_text(*signature) : ""},
    };
    return "# " + line.dump(-1, ' ', true, json::error_handler_t::replace) + "\n" + good.text;
}

std::optional<RegistryText> decode_copy(std::string_view file, const std::string& source) {
    const auto end = file.find('\n');
    if (!file.starts_with("# ") || end == std::string_view::npos) return std::nullopt;
    const json line = json::parse(file.substr(2, end - 2), nullptr, false);
    const auto word = [&](const char* key) {
        const bool there = line.is_object() && line.contains(key) && line[key].is_string();
        return there ? line[key].get<std::string>() : std::string();
    };
    RegistryText copy;
    copy.text = file.substr(end + 1);
    copy.signature = word("signature");
    copy.edition = {word("etag"), word("last_modified"), ""};
    if (word("source") != source || word("version") != version_of(copy.text)) return std::nullopt;
    return copy;
}

}  // namespace aronet::overlay
