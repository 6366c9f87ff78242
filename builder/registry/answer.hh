// Owns: what an answer of a registry or token server means: its error document, its status, a
// token; and the small pieces of requests. Does not own: sending (session.hh).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "builder/registry/credentials.hh"
#include "builder/registry/http.hh"

namespace kiln {

// ": CODE: message" of the first error of distribution-spec's error document, made fit for a
// terminal and short; a hint when the answer is a web page; "" when it says nothing.
std::string error_detail(const HttpResponse& response);

// Throws Error "WHAT: …" that explains a status.
[[noreturn]] void throw_answer(const HttpResponse& response, const std::string& what);

struct TokenAnswer {
  Secret token;
  int64_t expires_in = 60;  // seconds, the specification's default
};
TokenAnswer read_token(const std::string& json, const std::string& server);

Secret basic_authorization(const Credentials& credentials);
// `text` is borrowed.
HttpUpload text_upload(std::string_view text);

// The media type of an answer without parameters, lower case; "" when there is none.
std::string content_type(const HttpResponse& response);

std::string base64_encoded(std::string_view text);

}  // namespace kiln
