// Owns: the conversation with one registry: finding out its scheme and how it wants to know who
// asks, tokens and their renewal, redirects that take no credentials along, trying again.
// Does not own: what is asked (client.hh, upload.hh).
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "builder/registry/challenge.hh"
#include "builder/registry/credentials.hh"
#include "builder/registry/http.hh"
#include "builder/registry/registries.hh"

namespace kiln {

// "repository:PATH:pull" or "…:pull,push", as token servers know rights.
std::string pull_scope(std::string_view path);
std::string push_scope(std::string_view path);

// Thread-safe.
class Session {
 public:
  // `credentials_file` as find_credentials() takes it.
  Session(HttpClient& http, Endpoint endpoint, std::string credentials_file = {});

  const std::string& host() const { return endpoint_.host; }
  HttpClient& http() { return http_; }

  // Instead of those that find_credentials() would give.
  void set_credentials(Credentials credentials);
  // Throws Error unless the registry accepts them.
  void log_in();

  enum class Retry { yes, no };
  // `target` is a path ("/v2/…") or an absolute URL that the registry gave. `scopes` are separated
  // by spaces. Sets url, authorization and tls of `request`. Returns the answer that is none of
  // redirect, challenge that can be met, or failure that passes. A request whose body has begun to
  // arrive is not repeated.
  // Throws HttpFailure, Error.
  HttpResponse send(HttpRequest request, const std::string& target, const std::string& scopes,
                    Retry retry = Retry::yes);

  // The user whose credentials were used, "" when none were.
  std::string user() const;
  // Where a Location of an answer to `target` leads; throws Error when that is no place to go to.
  std::string resolve(const std::string& target, const std::string& location);

 private:
  struct Token {
    Secret text;
    std::chrono::steady_clock::time_point end;
  };

  void settle();
  void learn(const HttpResponse& response);
  const std::optional<Credentials>& credentials();
  Secret authorization(const std::string& scopes);
  Token fetch_token(const std::string& scopes);
  HttpResponse ask_token(const Url& realm, const std::string& service, const std::string& scopes);
  void check_way(const Url& from, const Url& to) const;
  HttpResponse exchange(HttpRequest& request, const std::string& scopes, Retry retry);

  HttpClient& http_;
  Endpoint endpoint_;
  std::string credentials_file_;

  mutable std::mutex mutex_;
  std::optional<Url> base_;  // once it is known whether http or https
  std::optional<Challenge> challenge_;
  bool credentials_known_ = false;
  std::optional<Credentials> credentials_;
  std::map<std::string, Token> tokens_;  // by scopes
};

}  // namespace kiln
