#include "json.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "errors.h"

namespace fingergen {

constexpr int kDeepest = 64;

class JsonReader {
 public:
  explicit JsonReader(const std::string &text) : text_(text) {}

  Json whole() {
    Json value = read(0);
    skip();
    if (at_ != text_.size()) fail("something follows the value");
    return value;
  }

 private:
  Json read(int depth) {
    if (depth > kDeepest) fail("too deeply nested");
    skip();
    Json value;
    switch (peek()) {
      case '{':
        value.kind_ = Json::Kind::object;
        list('}', [&] {
          skip();
          std::string name = string();
          skip();
          expect(':');
          value.members_[name] = read(depth + 1);
        });
        break;
      case '[':
        value.kind_ = Json::Kind::array;
        list(']', [&] { value.items_.push_back(read(depth + 1)); });
        break;
      case '"':
        value.kind_ = Json::Kind::text;
        value.text_ = string();
        break;
      case 't':
      case 'f':
        value.kind_ = Json::Kind::boolean;
        word(peek() == 't' ? "true" : "false");
        break;
      case 'n':
        word("null");
        break;
      default:
        value.kind_ = Json::Kind::number;
        value.number_ = number();
    }
    return value;
  }

  template <typename Item>
  void list(char end, Item item) {
    ++at_;
    skip();
    if (peek() == end) {
      ++at_;
      return;
    }
    for (;;) {
      item();
      skip();
      if (peek() == end) break;
      expect(',');
    }
    ++at_;
  }

  std::string string() {
    expect('"');
    std::string value;
    for (;;) {
      if (at_ >= text_.size()) fail("a string does not end");
      char c = text_[at_++];
      if (c == '"') return value;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (c == '\\') {
        if (at_ >= text_.size()) fail("a string does not end");
        escape(text_[at_++], value);
      } else {
        value += c;
      }
    }
  }

  void escape(char c, std::string &value) {
    const char *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t";
    if (const char *found = std::strchr(from, c); found != nullptr && c != 0) {
      value += to[found - from];
      return;
    }
    if (c != 'u' || at_ + 4 > text_.size()) fail("an unknown escape in a string");
    char *end = nullptr;
    std::string digits = text_.substr(at_, 4);
    unsigned long code = std::strtoul(digits.c_str(), &end, 16);
    if (*end != 0) fail("an unknown escape in a string");
    at_ += 4;
    // Names of files and graphs are ASCII; what else may stand in a manifest is not looked at.
    if (code < 0x80) value += static_cast<char>(code);
    else value += '?';
  }

  double number() {
    const char *start = text_.c_str() + at_;
    if (*start != '-' && (*start < '0' || *start > '9')) fail("not a value");
    char *end = nullptr;
    double value = std::strtod(start, &end);
    at_ += static_cast<size_t>(end - start);
    return value;
  }

  void word(const char *name) {
    if (text_.compare(at_, std::strlen(name), name) != 0) fail("not a value");
    at_ += std::strlen(name);
  }

  void skip() {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr && text_[at_] != 0) ++at_;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : 0; }

  void expect(char c) {
    if (peek() != c) fail(std::string("no '") + c + "'");
    ++at_;
  }

  [[noreturn]] void fail(const std::string &what) const {
    throw BadInput("not JSON: " + what + " at offset " + std::to_string(at_));
  }

  const std::string &text_;
  size_t at_ = 0;
};

Json Json::parse(const std::string &text) { return JsonReader(text).whole(); }

const Json *Json::find(const std::string &name) const {
  auto found = members_.find(name);
  return found == members_.end() || found->second.kind_ == Kind::null ? nullptr : &found->second;
}

const Json &Json::at(const std::string &name) const {
  const Json *found = find(name);
  if (found == nullptr) throw BadInput("field " + name + " is missing");
  return *found;
}

const std::string &Json::text(const std::string &name) const {
  const Json &found = at(name);
  if (found.kind_ != Kind::text) throw BadInput("field " + name + " is not text");
  return found.text_;
}

const std::string &Json::text() const {
  if (kind_ != Kind::text) throw BadInput("a value that should be text is not");
  return text_;
}

const std::vector<Json> &Json::items(const std::string &name) const {
  const Json &found = at(name);
  if (found.kind_ != Kind::array) throw BadInput("field " + name + " is not a list");
  return found.items_;
}

double Json::number(const std::string &name) const {
  const Json &found = at(name);
  if (found.kind_ != Kind::number || !std::isfinite(found.number_)) throw BadInput("field " + name + " is not a number");
  return found.number_;
}

int Json::integer(const std::string &name, int lowest, int highest) const {
  double value = number(name);
  if (value < lowest || value > highest || value != std::floor(value)) {
    throw BadInput("field " + name + " is not a whole number from " + std::to_string(lowest) + " to " +
                   std::to_string(highest));
  }
  return static_cast<int>(value);
}

}  // namespace fingergen
