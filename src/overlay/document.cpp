#include "overlay/document.hpp"

#include "base/bytes.hpp"
#include "overlay/relax.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using nlohmann::json;

constexpr int kDepthMax = 32;

std::string escape(const std::string& name) {  // RFC 6901
    std::string out;
    for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return out;
}

// What a terminal may take for a command: C0 but line breaks and tabs, DEL, C1 (in UTF-8 behind 0xc2).
bool has_controls(std::string_view text) {
    unsigned char before = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_c0 = byte < 0x20 && c != '\n' && c != '\r' && c != '\t';
        if (is_c0 || byte == 0x7f || (before == 0xc2 && byte < 0xa0)) return true;
        before = byte;
    }
    return false;
}

// Where every value of a JSON text stands. Reads a text that the library has accepted, so it need not doubt
// it.
class Places {
public:
    Places(std::string_view text, std::map<std::string, std::size_t>& places)
        : text_(text), places_(places) {}

    // Offset and name of members that their object had already.
    const std::vector<std::pair<std::size_t, std::string>>& duplicates() const { return duplicates_; }

    void read(const std::string& pointer) {
        skip_space();
        places_[pointer] = at_;
        switch (text_[at_]) {
            case '{':
                return read_members(pointer);
            case '[':
                return read_elements(pointer);
            case '"':
                read_string();
                return;
            default:
                at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
        }
    }

private:
    void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size() - 1); }

    std::string read_string() {
        const std::size_t start = at_++;
        while (text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
        ++at_;
        return json::parse(text_.substr(start, at_ - start)).get<std::string>();
    }

    void read_members(const std::string& pointer) {
        for (++at_, skip_space(); text_[at_] != '}'; skip_space()) {
            if (text_[at_] == ',') ++at_, skip_space();
            const std::size_t start = at_;
            const std::string name = read_string();
            if (places_.contains(pointer + "/" + escape(name))) duplicates_.emplace_back(start, name);
            at_ = text_.find(':', at_) + 1;
            read(pointer + "/" + escape(name));
        }
        ++at_;
    }

    void read_elements(const std::string& pointer) {
        std::size_t index = 0;
        for (++at_, skip_space(); text_[at_] != ']'; skip_space()) {
            if (text_[at_] == ',') ++at_, skip_space();
            read(pointer + "/" + std::to_string(index++));
        }
        ++at_;
    }

    std::string_view text_;
    std::map<std::string, std::size_t>& places_;
    std::vector<std::pair<std::size_t, std::string>> duplicates_;
    std::size_t at_ = 0;
};

std::pair<std::size_t, std::size_t> line_and_column(
    const std::vector<std::size_t>& lines, std::size_t offset
) {
    const auto next = std::upper_bound(lines.begin(), lines.end(), offset);
    const auto line = static_cast<std::size_t>(next - lines.begin());
    return {line, offset - lines[line - 1] + 1};
}

// What the file says must not end up in a log where it is a key.
std::string shown(const std::string& text, std::size_t limit) {
    return text.find("PRIVATE KEY") != std::string::npos ? "a private key" : base::printable(text, limit);
}

// The library's message without its own position, which counts differently, or its name.
std::string syntax_words(const json::exception& error) {
    std::string text = error.what();
    const auto column = text.find("column");
    text.erase(
        0, text.find(column == std::string::npos ? "] " : ": ", column == std::string::npos ? 0 : column) + 2
    );
    const auto read = text.find("; last read: ");
    if (read == std::string::npos) return base::printable(text, 200);
    return text.substr(0, read) + ", found " + shown(text.substr(read + 13), 120);
}

// Characters for the library, counted: not all of its errors say where they happened.
class Counted {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    Counted(const char* at, std::size_t& count) : at_(at), count_(&count) {}
    const char& operator*() const { return *at_; }
    Counted& operator++() {
        ++at_;
        ++*count_;
        return *this;
    }
    bool operator==(const Counted& other) const { return at_ == other.at_; }

private:
    const char* at_;
    std::size_t* count_;
};

json parse_json(const std::string& text, std::size_t& count) {
    const auto guard = [](int depth, json::parse_event_t, json&) {
        if (depth > kDepthMax) {
            throw std::length_error("expected at most " + std::to_string(kDepthMax) + " levels, found more");
        }
        return true;
    };
    return json::parse(Counted(text.data(), count), Counted(text.data() + text.size(), count), guard);
}

std::size_t distance(std::string_view a, std::string_view b) {  // Levenshtein
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

std::string Problem::to_string() const {
    std::string out = file;
    if (line != 0) out += ":" + std::to_string(line) + ":" + std::to_string(column);
    out += is_warning ? ": warning: " : ": ";
    if (!key.empty()) out += key + ": ";
    return out + text;
}

void Problems::add(Problem problem) {
    std::size_t& count = problem.is_warning ? warnings_ : errors_;
    if (++count > kMax) return;
    const auto behind =
        std::upper_bound(list_.begin(), list_.end(), problem, [](const Problem& a, const Problem& b) {
            return std::tie(a.line, a.column) < std::tie(b.line, b.column);
        });
    list_.insert(behind, std::move(problem));
}

std::vector<std::string> Problems::lines() const {
    std::vector<std::string> lines;
    for (const Problem& problem : list_) lines.push_back(problem.to_string());
    const std::size_t more = errors_ + warnings_ - list_.size();
    if (more > 0) lines.push_back(list_.front().file + ": and " + std::to_string(more) + " more");
    return lines;
}

std::optional<Document> Document::parse(std::string_view given, std::string file, Problems& problems) {
    Document document;
    document.file_ = std::move(file);
    const std::string text = relax(given);
    document.lines_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') document.lines_.push_back(i + 1);
    }
    const auto refuse = [&](std::size_t offset, const std::string& words) {
        const auto [line, column] = line_and_column(document.lines_, std::min(offset, text.size()));
        problems.add({document.file_, line, column, "", "not JSON: " + words, false});
        return std::nullopt;
    };
    std::size_t count = 0;
    try {
        document.json_ = parse_json(text, count);
    } catch (const json::parse_error& error) {
        return refuse(error.byte > 0 ? error.byte - 1 : 0, syntax_words(error));
    } catch (const json::exception& error) {  // a number beyond all numbers; what follows it is read already
        return refuse(text.find_last_not_of("0123456789.+-eE", count - 2) + 1, syntax_words(error));
    } catch (const std::length_error& error) {
        return refuse(count - 1, error.what());
    }
    Places places(text, document.places_);
    places.read("");
    for (const auto& [offset, name] : places.duplicates()) {
        const auto [line, column] = line_and_column(document.lines_, offset);
        problems.add(
            {document.file_, line, column, base::printable(name, 60), "stands twice in its object", false}
        );
    }
    return document;
}

Value Document::root(Problems& problems) const { return {*this, problems, &json_, "", ""}; }

Problem Value::problem(const std::string& text, bool is_warning) const {
    // What is absent is reported where it should have been: at its parent.
    std::string pointer = pointer_;
    auto place = document_->places_.find(pointer);
    while (place == document_->places_.end() && !pointer.empty()) {
        pointer.resize(pointer.rfind('/'));
        place = document_->places_.find(pointer);
    }
    const auto [line, column] = line_and_column(document_->lines_, place->second);
    return {document_->file_, line, column, key_, text, is_warning};
}

void Value::report(const std::string& text, bool is_warning) const {
    problems_->add(problem(text, is_warning));
}

std::string Value::place() const {
    const Problem here = problem("", false);
    return here.file + ":" + std::to_string(here.line) + ":" + std::to_string(here.column);
}

void Value::error(const std::string& text) const { report(text, false); }
void Value::warning(const std::string& text) const { report(text, true); }
void Value::expected(const std::string& what) const { error("expected " + what + ", found " + found()); }

std::string Value::found() const {
    if (json_ == nullptr) return "nothing";
    if (json_->is_object()) return "an object";
    if (json_->is_array()) return "a list";
    return shown(json_->dump(-1, ' ', true, json::error_handler_t::replace), 80);
}

std::optional<std::string> Value::string() const {
    if (!is_string()) {
        expected("a string");
        return std::nullopt;
    }
    auto text = json_->get<std::string>();
    if (text.empty() || has_controls(text)) {
        expected(text.empty() ? "a string that is not empty" : "a string without control characters");
        return std::nullopt;
    }
    return text;
}

std::optional<std::string> Value::secret() const {
    auto text = is_string() ? json_->get<std::string>() : std::string();
    if (!text.empty()) return text;
    error(is_string() ? "is empty" : "expected a string");
    return std::nullopt;
}

std::optional<std::uint64_t> Value::number(std::uint64_t low, std::uint64_t high) const {
    if (json_ != nullptr && json_->is_number_unsigned()) {
        const auto value = json_->get<std::uint64_t>();
        if (value >= low && value <= high) return value;
    }
    expected("a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return std::nullopt;
}

std::optional<bool> Value::boolean() const {
    if (json_ != nullptr && json_->is_boolean()) return json_->get<bool>();
    expected("true or false");
    return std::nullopt;
}

std::optional<std::size_t> Value::one_of(const std::vector<std::string>& words) const {
    const auto word = is_string() ? json_->get<std::string>() : std::string();
    const auto at = std::find(words.begin(), words.end(), word);
    if (at != words.end()) return static_cast<std::size_t>(at - words.begin());
    std::string list;
    for (const std::string& each : words) list += (list.empty() ? "\"" : ", \"") + each + "\"";
    const auto meant = nearest(word, words);
    error(found() + " is not one of " + list + (meant ? " (did you mean \"" + *meant + "\"?)" : ""));
    return std::nullopt;
}

std::vector<Value> Value::elements() const {
    std::vector<Value> list;
    if (!is_array()) {
        expected("a list");
        return list;
    }
    for (std::size_t i = 0; i < json_->size(); ++i) {
        const std::string index = std::to_string(i);
        list.emplace_back(
            *document_, *problems_, &(*json_)[i], pointer_ + "/" + index, key_ + "[" + index + "]"
        );
    }
    return list;
}

bool Value::is_object() const {
    if (json_ != nullptr && json_->is_object()) return true;
    expected("an object");
    return false;
}

Value Value::member(const std::vector<std::string>& spellings) const {
    const std::string prefix = key_.empty() ? "" : key_ + ".";
    std::optional<Value> first;
    for (const std::string& name : spellings) {
        const auto it = json_->find(name);
        if (it == json_->end()) continue;
        Value value(*document_, *problems_, &*it, pointer_ + "/" + escape(name), prefix + name);
        if (!first) {
            first = value;
        } else {
            value.error("says the same as \"" + first->key_ + "\": keep one of them");
        }
    }
    if (first) return *first;
    return {
        *document_,
        *problems_,
        nullptr,
        pointer_ + "/" + escape(spellings.front()),
        prefix + spellings.front()};
}

Value Value::required(const std::vector<std::string>& spellings) const {
    Value value = member(spellings);
    if (value.is_absent()) value.error("is missing");
    return value;
}

std::vector<std::string> Value::member_names() const {
    std::vector<std::string> names;
    for (const auto& [name, unused] : json_->items()) names.push_back(name);
    return names;
}

void Value::warn_of_unknown(const std::vector<std::string>& known, bool only_misspelt) const {
    for (const std::string& name : member_names()) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        const auto meant = nearest(name, known);
        if (only_misspelt && !meant) continue;
        const std::string key = (key_.empty() ? "" : key_ + ".") + base::printable(name, 60);
        Value(*document_, *problems_, nullptr, pointer_ + "/" + escape(name), key)
            .warning("unknown key" + (meant ? " (did you mean \"" + *meant + "\"?)" : ""));
    }
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& words) {
    std::optional<std::string> best;
    std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const std::string& candidate : words) {
        const std::size_t d = distance(word, candidate);
        if (d < best_distance) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

std::string to_text(const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace aronet::overlay
