// JSON (RFC 8259) as a bundle's manifest has it: read whole, then asked by name.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace fingergen {

class Json {
 public:
  static Json parse(const std::string &text);  // BadInput says where the text is wrong

  // A member of an object; BadInput names it if it is not there.
  const Json &at(const std::string &name) const;
  const Json *find(const std::string &name) const;  // nullptr: not there, or null

  const std::string &text(const std::string &name) const;  // `name` stands in messages
  const std::string &text() const;                         // of the value itself
  const std::vector<Json> &items(const std::string &name) const;  // of an array
  double number(const std::string &name) const;
  int integer(const std::string &name, int lowest, int highest) const;

 private:
  friend class JsonReader;
  enum class Kind { null, boolean, number, text, array, object } kind_ = Kind::null;
  double number_ = 0;
  std::string text_;
  std::vector<Json> items_;
  std::map<std::string, Json> members_;
};

}  // namespace fingergen
