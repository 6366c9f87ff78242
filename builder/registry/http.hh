// Owns: one HTTP exchange through libcurl at a time and for each thread, connections kept for the
// next; bounds on time and size. Does not own: redirects, authentication, trying again
// (session.hh).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/sys/secret.hh"
#include "builder/registry/url.hh"
#include "builder/sys/error.hh"

namespace kiln {

// What came with an answer; names in lower case, in order of arrival.
class HttpHeaders {
 public:
  void add(std::string name, std::string value) {
    all_.emplace_back(std::move(name), std::move(value));
  }
  std::optional<std::string> find(std::string_view name) const;  // the first
  std::vector<std::string> all(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

struct HttpResponse {
  long status = 0;
  HttpHeaders headers;
  std::string body;  // unless it went to HttpRequest::on_body
};

// A body to send, read by offset so that it can be sent again.
struct HttpUpload {
  uint64_t size = 0;
  // Fills `into` from `offset` on; returns how many bytes, at least 1 below `size`.
  std::function<size_t(uint64_t offset, std::span<std::byte> into)> read;
};

// How a host proves who it is, and how kiln does.
struct TlsSettings {
  bool verify = true;
  std::string authorities;       // PEM of further authorities, "" for the system's alone
  std::string certificate, key;  // files, for client authentication

  bool operator==(const TlsSettings&) const = default;
};

struct HttpRequest {
  std::string method = "GET";
  Url url;
  std::vector<std::string> headers;  // "Name: value"
  Secret authorization;              // value of the header
  TlsSettings tls;
  std::optional<HttpUpload> upload;
  // Called once before the body of a 2xx answer; throwing ends the exchange with that exception.
  std::function<void(const HttpResponse& head)> on_head;
  // Takes the body of a 2xx answer; may throw as well. Without it, and for all other answers, the
  // body is collected up to `body_limit` bytes; more is an error for 2xx and cut off for others.
  std::function<void(std::span<const std::byte>)> on_body;
  size_t body_limit = size_t{1} << 20;
  long deadline = 0;  // seconds for everything; 0: only the stall limit holds
  std::function<void(uint64_t sent)> on_sent;
};

struct HttpLimits {
  long connect = 20;        // seconds
  long stall = 30;          // seconds below `stall_rate`
  long stall_rate = 1024;   // bytes a second
  long upload_stall = 300;  // seconds: a server may need long to store what it has received
};

// The exchange failed before it was complete. The message names the host, never the whole URL:
// locations are signed.
class HttpFailure : public Error {
 public:
  enum class Kind : uint8_t {
    unreachable,  // no such host, refused, no route
    no_tls,       // the other side does not speak TLS
    certificate,  // and it is not trusted
    cut,          // ended in the middle
    stalled,      // too slow
    too_large,
    canceled,
    other,
  };
  HttpFailure(Kind kind, const std::string& message) : Error(message), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

// Thread-safe: any number of exchanges at once, each on a connection of its own.
class HttpClient {
 public:
  HttpClient(HttpLimits limits, std::function<bool()> canceled);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // One request, one answer, of whatever status. Throws HttpFailure.
  HttpResponse exchange(const HttpRequest& request);

  bool canceled() const { return canceled_ && canceled_(); }
  // Waits unless canceled, then throws HttpFailure.
  void wait(double seconds) const;

 private:
  struct Connection;
  std::unique_ptr<Connection> take(const std::string& origin);
  void give_back(std::unique_ptr<Connection> connection);

  HttpLimits limits_;
  std::function<bool()> canceled_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace kiln
