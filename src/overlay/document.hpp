#pragma once

// A JSON file whose values know where they stand, and the one way errors in it are told: file, line, column,
// key, what was expected and what was found. Reading goes on after an error, so that all of them are told at
// once.

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace aronet::overlay {

// Strings may hold any octets (paths of files do): what is no UTF-8 is replaced, not thrown.
std::string to_text(const nlohmann::json& value);

struct Problem {
    std::string file;
    std::size_t line = 0, column = 0;  // from 1; 0: the whole file
    std::string key;                   // endpoints[1].port, or empty
    std::string text;
    bool is_warning = false;

    std::string to_string() const;  // config.json:20:25: endpoints[1].port: ...
};

class Problems {
public:
    static constexpr std::size_t kMax = 20;  // of errors, and of warnings; the rest is counted

    void add(Problem problem);
    bool has_errors() const { return errors_ > 0; }
    const std::vector<Problem>& list() const { return list_; }  // in the order of the file
    std::vector<std::string> lines() const;                     // the list for a person, and how many more

private:
    std::vector<Problem> list_;
    std::size_t errors_ = 0, warnings_ = 0;
};

class Value;

class Document {
public:
    // nullopt after a syntax error, which is in `problems` then.
    static std::optional<Document> parse(std::string_view text, std::string file, Problems& problems);

    Value root(Problems& problems) const;
    const std::string& file() const { return file_; }

private:
    friend class Value;
    std::string file_;
    nlohmann::json json_;
    std::vector<std::size_t> lines_;             // offsets of line starts
    std::map<std::string, std::size_t> places_;  // JSON pointer → offset of the value
};

// One value in a document. Every reader reports what is wrong and returns nothing then.
class Value {
public:
    Value(
        const Document& document,
        Problems& problems,
        const nlohmann::json* json,
        std::string pointer,
        std::string key
    )
        : document_(&document),
          problems_(&problems),
          json_(json),
          pointer_(std::move(pointer)),
          key_(std::move(key)) {}

    bool is_absent() const { return json_ == nullptr; }
    bool is_null() const { return json_ != nullptr && json_->is_null(); }
    bool is_string() const { return json_ != nullptr && json_->is_string(); }
    bool is_number() const { return json_ != nullptr && json_->is_number_integer(); }
    bool has_members() const { return json_ != nullptr && json_->is_object(); }
    bool is_array() const { return json_ != nullptr && json_->is_array(); }

    std::optional<std::string> string() const;  // not empty, no control characters
    std::optional<std::string> secret() const;  // not empty, and shown in no error
    std::optional<std::uint64_t> number(std::uint64_t low, std::uint64_t high) const;
    std::optional<bool> boolean() const;
    std::optional<std::size_t> one_of(const std::vector<std::string>& words) const;  // index of the word
    std::vector<Value> elements() const;  // of an array; reports anything else
    bool is_object() const;               // reports anything else

    // Member by any of its spellings; reports two of them at once.
    Value member(const std::vector<std::string>& spellings) const;
    Value member(const std::string& name) const { return member(std::vector<std::string>{name}); }
    Value required(const std::vector<std::string>& spellings) const;
    void warn_of_unknown(const std::vector<std::string>& known, bool only_misspelt = false) const;
    void warn_of_misspelt(const std::vector<std::string>& known) const { warn_of_unknown(known, true); }
    std::vector<std::string> member_names() const;

    void expected(const std::string& what) const;  // "expected WHAT, found ..."
    void error(const std::string& text) const;
    void warning(const std::string& text) const;
    std::string found() const;  // what stands there, for an error
    std::string place() const;  // where it stands, or should: config.json:20:25

private:
    Problem problem(const std::string& text, bool is_warning) const;
    void report(const std::string& text, bool is_warning) const;

    const Document* document_;
    Problems* problems_;
    const nlohmann::json* json_;
    std::string pointer_, key_;
};

// The word of the list that is nearest to the given one, if any is near enough to be meant.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& words);

}  // namespace aronet::overlay
