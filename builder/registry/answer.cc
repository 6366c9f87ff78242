#include "builder/registry/answer.hh"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "builder/progress/progress.hh"

namespace kiln {

namespace {

constexpr size_t shown = 300;

std::string text_of(const nlohmann::json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::string status_text(long status) {
  switch (status) {
    case 400:
      return "bad request";
    case 401:
      return "credentials are needed or were refused";
    case 403:
      return "access denied";
    case 404:
      return "not found";
    case 405:
      return "not supported";
    case 413:
      return "too large for it";
    case 429:
      return "too many requests";
    default:
      return status >= 500 ? "its own failure" : "unexpected";
  }
}

}  // namespace

std::string error_detail(const HttpResponse& response) {
  const std::string& body = response.body;
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_object()) {
    const auto errors = json.find("errors");
    if (errors != json.end() && errors->is_array() && !errors->empty() &&
        errors->front().is_object()) {
      const auto& first = errors->front();
      return ": " + terminal_text(text_of(first, "code") + ": " + text_of(first, "message"), shown);
    }
    for (const char* name : {"message", "details", "error_description", "error"})
      if (const std::string text = text_of(json, name); !text.empty())
        return ": " + terminal_text(text, shown);
  }
  if (content_type(response) == "text/html")
    return ": it answers with a web page; is this a registry, or a proxy or log-in page before it?";
  return {};
}

void throw_answer(const HttpResponse& response, const std::string& what) {
  throw Error(what + ": status " + std::to_string(response.status) + ", " +
              status_text(response.status) + error_detail(response));
}

TokenAnswer read_token(const std::string& json, const std::string& server) {
  const auto document = nlohmann::json::parse(json, nullptr, false);
  if (!document.is_object()) throw Error("token server " + server + " gives no JSON");
  TokenAnswer answer;
  std::string token = text_of(document, "token");
  if (token.empty()) token = text_of(document, "access_token");
  const bool printable = std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; });
  if (token.empty() || !printable || token.size() > (64 << 10))
    throw Error("token server " + server + " gives no usable token");
  answer.token = Secret(std::move(token));
  const auto life = document.find("expires_in");
  if (life != document.end() && life->is_number())
    answer.expires_in = std::clamp<int64_t>(life->get<int64_t>(), 1, 24 * 3600);
  return answer;
}

Secret basic_authorization(const Credentials& credentials) {
  return Secret("Basic " + base64_encoded(credentials.user + ":" + credentials.password.reveal()));
}

HttpUpload text_upload(std::string_view text) {
  HttpUpload upload;
  upload.size = text.size();
  upload.read = [text](uint64_t offset, std::span<std::byte> into) {
    const size_t n = std::min(into.size(), text.size() - static_cast<size_t>(offset));
    memcpy(into.data(), text.data() + offset, n);
    return n;
  };
  return upload;
}

std::string content_type(const HttpResponse& response) {
  std::string value = response.headers.find("content-type").value_or("");
  value.resize(std::min(value.find(';'), value.size()));
  while (value.ends_with(' ')) value.pop_back();
  for (char& c : value)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return value;
}

std::string base64_encoded(std::string_view text) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < text.size() ? static_cast<unsigned char>(text[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      out += i + j <= text.size() ? digits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

}  // namespace kiln
