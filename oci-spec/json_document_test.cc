#include "oci-spec/json_document.hh"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "oci-spec/json_output.hh"

namespace {

std::string problem_of(std::string_view text) {
  try {
    oci::JsonDocument document(text, "f");
  } catch (const oci::FormatError& e) {
    return e.what();
  }
  return "";
}

std::string string_of(std::string_view text) {
  oci::JsonDocument document(text, "f");
  REQUIRE(document.root().type() == oci::JsonType::string);
  return std::string(document.root().text());
}

}  // namespace

TEST_CASE("json: tree in document order") {
  oci::JsonDocument document(R"( {"a": [1, -2.5e3, true], "b\n": {"c": null}, "d": "x"} )", "f");
  const oci::JsonNode& root = document.root();
  CHECK(root.type() == oci::JsonType::object);
  CHECK(root.span() == 8);
  const oci::JsonNode* a = root.begin();
  CHECK(a->key() == "a");
  CHECK(a->span() == 4);
  CHECK(a->begin()->text() == "1");
  CHECK(a->begin()->next()->text() == "-2.5e3");
  const oci::JsonNode* b = a->next();
  CHECK(b->key() == "b\n");
  CHECK(b->begin()->type() == oci::JsonType::null);
  CHECK(b->next()->key() == "d");
  CHECK(b->next()->next() == root.end());
}

TEST_CASE("json: strings") {
  CHECK(string_of(R"("a\"\\\/\b\f\n\r\t")") == "a\"\\/\b\f\n\r\t");
  CHECK(string_of(R"("\u0041\u00e9\u20ac\ud83d\ude00")") == "Aé€😀");
  CHECK(string_of("\"é€😀\"") == "é€😀");
  CHECK(string_of(R"("")").empty());
}

TEST_CASE("json: malformed texts are refused with a position") {
  CHECK(problem_of("") == "f: line 1, column 1: unexpected end, expected a value");
  CHECK(problem_of("{\n  \"a\": 01}") == "f: line 2, column 9: expected ',' or '}'");
  for (const char* text : {"{",
                           "[1,]",
                           "{\"a\":1,}",
                           "{'a':1}",
                           "[1 2]",
                           "nul",
                           "+1",
                           "-",
                           "1.",
                           "1e",
                           ".5",
                           "1 2",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\n\"",
                           "\"\xff\"",
                           "\"\xc0\xaf\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\xe2\x82\"",
                           "{\"a\" 1}",
                           "{1:2}",
                           "// x\n1",
                           "NaN",
                           "[",
                           "[1",
                           "{\"a\":"}) {
    CAPTURE(text);
    CHECK(problem_of(text) != "");
  }
  CHECK(problem_of(std::string(300, '[')).find("nested too deeply") != std::string::npos);
  CHECK(problem_of(std::string(200, '[') + std::string(200, ']')) == "");
}

TEST_CASE("json: writing") {
  const auto fill = [](oci::JsonOutput& out) {
    out.begin_object();
    out.key("a\"\x01");
    out.begin_array();
    out.integer(int64_t{-1});
    out.integer(uint64_t{18446744073709551615u});
    out.end_array();
    out.key("e");
    out.begin_object();
    out.end_object();
    out.key("s");
    out.string("é\xff\n");
    out.end_object();
    return out.take();
  };
  oci::JsonOutput flat, deep(2);
  CHECK(fill(flat) ==
        "{\"a\\\"\\u0001\":[-1,18446744073709551615],\"e\":{},\"s\":\"é\xef\xbf\xbd\\n\"}");
  CHECK(fill(deep) ==
        "{\n  \"a\\\"\\u0001\": [\n    -1,\n    18446744073709551615\n  ],\n  \"e\": {},\n"
        "  \"s\": \"é\xef\xbf\xbd\\n\"\n}");
}

namespace {

// The tree as the other library sees it; nothing is lost in between.
nlohmann::json tree_of(const oci::JsonNode& node) {
  switch (node.type()) {
    case oci::JsonType::null:
      return nullptr;
    case oci::JsonType::boolean:
      return node.text() == "true";
    case oci::JsonType::number:
      return nlohmann::json::parse(node.text());
    case oci::JsonType::string:
      return std::string(node.text());
    case oci::JsonType::array: {
      nlohmann::json list = nlohmann::json::array();
      for (const oci::JsonNode* n = node.begin(); n != node.end(); n = n->next())
        list.push_back(tree_of(*n));
      return list;
    }
    case oci::JsonType::object: {
      nlohmann::json object = nlohmann::json::object();
      for (const oci::JsonNode* n = node.begin(); n != node.end(); n = n->next())
        object[std::string(n->key())] = tree_of(*n);
      return object;
    }
  }
  return nullptr;
}

}  // namespace

TEST_CASE("json: damaged texts are taken or refused as by another parser") {
  const std::string whole =
      R"({"a":[1,-2.5e+3,true,false,null],"b\n\u00e9":{"c":"\ud83d\ude00é€😀"},"d":"\"\\x","e":0})";
  const std::string alphabet = "{}[]\",:0123-+.eEtrufalsn \n\t\\\x01\x80\xc3\xed\xf0\xff";
  uint64_t state = 88172645463325252u;
  const auto random = [&](size_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return static_cast<size_t>(state % below);
  };
  size_t taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = whole;
    for (size_t changes = 1 + random(3); changes > 0; --changes) {
      const size_t at = random(text.size());
      const char c = alphabet[random(alphabet.size())];
      switch (random(4)) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        case 2:
          text.erase(at, 1 + random(3));
          break;
        default:
          std::swap(text[at], text[random(text.size())]);
      }
      if (text.empty()) text = "0";
    }
    CAPTURE(text);
    const bool good = nlohmann::json::accept(text);
    taken += good;
    if ((problem_of(text) == "") != good) FAIL_CHECK("taken by one only");
    if (!good || problem_of(text) != "") continue;
    oci::JsonDocument document(text, "f");
    nlohmann::json other;
    try {
      other = nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception&) {
      continue;  // a number beyond its range
    }
    if (tree_of(document.root()) != other) FAIL_CHECK("read differently");
  }
  CHECK(taken > 1000);
}

TEST_CASE("a document is written again as it was read") {
  const std::string text =
      R"({"a":[1,-2.50,1e3,18446744073709551615,true,null],"b":{"c":"\u00e4\n\"","d":{},"e":[]}})";
  const oci::JsonDocument document(text, "f");
  oci::JsonOutput out;
  out.copy(document.root());
  CHECK(out.take() ==
        R"({"a":[1,-2.50,1e3,18446744073709551615,true,null],"b":{"c":"ä\n\"","d":{},"e":[]}})");
}
