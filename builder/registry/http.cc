#include "builder/registry/http.hh"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <thread>

#include "builder/registry/curl_library.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr size_t header_limit = 256 << 10;  // bytes of one answer's headers
constexpr long receive_buffer = 512 << 10;  // curl's largest
constexpr long send_buffer = 1 << 20;

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

// What curl's callbacks work on. No exception may pass through C: the first is kept and rethrown.
struct Exchange {
  const HttpRequest& request;
  const HttpClient& client;
  HttpResponse response;
  size_t header_bytes = 0;
  bool head_seen = false;
  bool too_large = false;
  uint64_t offset = 0;  // of the body to send
  std::exception_ptr failure;

  bool good() const { return response.status >= 200 && response.status < 300; }

  template <class F>
  bool guarded(F&& work) {
    try {
      work();
      return true;
    } catch (...) {
      failure = std::current_exception();
      return false;
    }
  }
};

size_t take_header(char* data, size_t, size_t size, void* user) {
  auto& x = *static_cast<Exchange*>(user);
  const std::string_view line(data, size);
  x.header_bytes += size;
  if (x.header_bytes > header_limit) {
    x.too_large = true;
    return 0;
  }
  const bool fine = x.guarded([&] {
    if (line.starts_with("HTTP/")) {  // also of each 1xx answer, and of a proxy's
      x.response = {};
      const size_t space = line.find(' ');
      if (space != line.npos)
        x.response.status = parse_number<long>(line.substr(space + 1, 3)).value_or(0);
      return;
    }
    const size_t colon = line.find(':');
    if (colon != line.npos)
      x.response.headers.add(lower_case(trimmed(line.substr(0, colon))),
                             std::string(trimmed(line.substr(colon + 1))));
  });
  return fine ? size : 0;
}

size_t take_body(char* data, size_t, size_t size, void* user) {
  auto& x = *static_cast<Exchange*>(user);
  const bool fine = x.guarded([&] {
    if (x.good() && !x.head_seen) {
      x.head_seen = true;
      if (x.request.on_head) x.request.on_head(x.response);
    }
    if (x.good() && x.request.on_body) {
      x.request.on_body(std::as_bytes(std::span(data, size)));
      return;
    }
    const size_t room =
        x.request.body_limit - std::min(x.request.body_limit, x.response.body.size());
    if (size > room) x.too_large = true;
    x.response.body.append(data, std::min(size, room));
  });
  return fine && !x.too_large ? size : 0;
}

size_t give_body(char* data, size_t, size_t size, void* user) {
  auto& x = *static_cast<Exchange*>(user);
  const HttpUpload& upload = *x.request.upload;
  size_t n = 0;
  const bool fine = x.guarded([&] {
    const uint64_t left = upload.size - x.offset;
    if (left == 0) return;
    n = upload.read(x.offset, std::as_writable_bytes(std::span(
                                  data, static_cast<size_t>(std::min<uint64_t>(size, left)))));
    if (n == 0) throw Error("what is being sent has become shorter");
    x.offset += n;
    if (x.request.on_sent) x.request.on_sent(x.offset);
  });
  return fine ? n : CURL_READFUNC_ABORT;
}

// curl rewinds when a kept connection turns out to be dead after the first bytes.
int seek_body(void* user, curl_off_t offset, int origin) {
  auto& x = *static_cast<Exchange*>(user);
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_FAIL;
  x.offset = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int look_up(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(user)->client.canceled() ? 1 : 0;
}

std::string fix_for_certificate(const Url& url, std::string_view detail) {
  const std::string host = url.authority();
  std::string text = "the certificate of " + host + " is not trusted (" + std::string(detail) + ")";
  if (detail.find("name") != detail.npos || detail.find("subject") != detail.npos)
    return text + ": it was made out to another name";
  if (detail.find("expired") != detail.npos) return text;
  return text + ": put its authority's certificate into /etc/kiln/certs.d/" + host +
         "/ca.crt (kiln-registries(5))";
}

HttpFailure failure_of(CURLcode code, const Url& url, std::string detail) {
  using Kind = HttpFailure::Kind;
  const std::string host = url.authority();
  if (detail.empty()) detail = curl().easy_strerror(code);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
      return {Kind::unreachable, "cannot reach " + host + ": " + detail};
    case CURLE_SSL_CONNECT_ERROR:
      return {Kind::no_tls, "no TLS connection to " + host + ": " + detail};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return {Kind::certificate, fix_for_certificate(url, detail)};
    case CURLE_OPERATION_TIMEDOUT:
      return {Kind::stalled, host + " is too slow: " + detail};
    case CURLE_ABORTED_BY_CALLBACK:
      return {Kind::canceled, "canceled"};
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return {Kind::cut, "the connection to " + host + " was cut: " + detail};
    default:
      return {Kind::other, host + ": " + detail};
  }
}

}  // namespace

std::optional<std::string> HttpHeaders::find(std::string_view name) const {
  const auto it =
      std::ranges::find(all_, name, [](const auto& h) -> const std::string& { return h.first; });
  return it == all_.end() ? std::nullopt : std::optional(it->second);
}

std::vector<std::string> HttpHeaders::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [own, value] : all_)
    if (own == name) values.push_back(value);
  return values;
}

// A curl handle keeps its connections when it is reset: taking the one that last spoke to the same
// origin is what reuses them.
struct HttpClient::Connection {
  CURL* handle = nullptr;
  std::string origin;
  ~Connection() {
    if (handle != nullptr) curl().easy_cleanup(handle);
  }
};

HttpClient::HttpClient(HttpLimits limits, std::function<bool()> canceled)
    : limits_(limits), canceled_(std::move(canceled)) {}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Connection> HttpClient::take(const std::string& origin) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::ranges::find(
        idle_, origin, [](const auto& c) -> const std::string& { return c->origin; });
    if (it != idle_.end()) {
      auto connection = std::move(*it);
      idle_.erase(it);
      return connection;
    }
  }
  auto connection = std::make_unique<Connection>();
  connection->handle = curl().easy_init();
  if (connection->handle == nullptr) throw Error("libcurl: out of memory");
  connection->origin = origin;
  return connection;
}

void HttpClient::give_back(std::unique_ptr<Connection> connection) {
  curl().easy_reset(connection->handle);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(connection));
}

void HttpClient::wait(double seconds) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (canceled()) throw HttpFailure(HttpFailure::Kind::canceled, "canceled");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

HttpResponse HttpClient::exchange(const HttpRequest& request) {
  const CurlLibrary& c = curl();
  auto connection = take(request.url.origin());
  CURL* h = connection->handle;
  Exchange x{request, *this, {}, 0, false, false, 0, {}};
  char detail[CURL_ERROR_SIZE] = "";

  curl_slist* lines = nullptr;
  const auto add_line = [&](const std::string& line) {
    lines = c.slist_append(lines, line.c_str());
  };
  for (const std::string& line : request.headers) add_line(line);
  if (!request.authorization.empty()) add_line("Authorization: " + request.authorization.reveal());
  // Waiting a second for "100 Continue" of servers that never say it is worse than sending a body
  // in vain now and then.
  if (request.upload) add_line("Expect:");
  const std::unique_ptr<curl_slist, decltype(c.slist_free_all)> keep(lines, c.slist_free_all);

  c.easy_setopt(h, CURLOPT_URL, request.url.text.c_str());
  c.easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
  c.easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
  c.easy_setopt(h, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});
  c.easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
  c.easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  c.easy_setopt(h, CURLOPT_NETRC, long{CURL_NETRC_IGNORED});
  c.easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
  c.easy_setopt(h, CURLOPT_BUFFERSIZE, receive_buffer);
  c.easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, send_buffer);
  c.easy_setopt(h, CURLOPT_CONNECTTIMEOUT, limits_.connect);
  c.easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, limits_.stall_rate);
  c.easy_setopt(h, CURLOPT_LOW_SPEED_TIME, request.upload ? limits_.upload_stall : limits_.stall);
  c.easy_setopt(h, CURLOPT_TIMEOUT, request.deadline);
  c.easy_setopt(h, CURLOPT_USERAGENT, "kiln");
  c.easy_setopt(h, CURLOPT_HTTPHEADER, lines);
  c.easy_setopt(h, CURLOPT_ERRORBUFFER, detail);
  c.easy_setopt(h, CURLOPT_HEADERFUNCTION, &take_header);
  c.easy_setopt(h, CURLOPT_HEADERDATA, &x);
  c.easy_setopt(h, CURLOPT_WRITEFUNCTION, &take_body);
  c.easy_setopt(h, CURLOPT_WRITEDATA, &x);
  c.easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
  c.easy_setopt(h, CURLOPT_XFERINFOFUNCTION, &look_up);
  c.easy_setopt(h, CURLOPT_XFERINFODATA, &x);
  // As Go's programs: this machine is never reached through a proxy; HTTP_PROXY counts too, except
  // in a CGI program, where a client's header would set it.
  if (is_loopback(request.url.host)) {
    c.easy_setopt(h, CURLOPT_PROXY, "");
  } else if (request.url.scheme == "http" && getenv("http_proxy") == nullptr &&
             getenv("REQUEST_METHOD") == nullptr) {
    if (const char* proxy = getenv("HTTP_PROXY")) c.easy_setopt(h, CURLOPT_PROXY, proxy);
  }

  if (request.method == "HEAD") {
    c.easy_setopt(h, CURLOPT_NOBODY, 1L);
  } else if (request.upload) {
    c.easy_setopt(h, CURLOPT_UPLOAD, 1L);
    c.easy_setopt(h, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload->size));
    c.easy_setopt(h, CURLOPT_READFUNCTION, &give_body);
    c.easy_setopt(h, CURLOPT_READDATA, &x);
    c.easy_setopt(h, CURLOPT_SEEKFUNCTION, &seek_body);
    c.easy_setopt(h, CURLOPT_SEEKDATA, &x);
  }
  if (request.method != "HEAD" && request.method != "GET")
    c.easy_setopt(h, CURLOPT_CUSTOMREQUEST, request.method.c_str());

  const TlsSettings& tls = request.tls;
  if (!tls.verify) {
    c.easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
    c.easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (const char* file = getenv("SSL_CERT_FILE")) c.easy_setopt(h, CURLOPT_CAINFO, file);
  if (const char* directory = getenv("SSL_CERT_DIR")) c.easy_setopt(h, CURLOPT_CAPATH, directory);
  if (!tls.authorities.empty()) {
    // Beside the system's directory of authorities (CURLOPT_CAPATH), which stays.
    curl_blob blob{const_cast<char*>(tls.authorities.data()), tls.authorities.size(),
                   CURL_BLOB_NOCOPY};
    if (c.easy_setopt(h, CURLOPT_CAINFO_BLOB, &blob) != CURLE_OK)
      throw Error("this libcurl cannot take further authorities; install libcurl4 (OpenSSL)");
  }
  if (!tls.certificate.empty()) {
    c.easy_setopt(h, CURLOPT_SSLCERT, tls.certificate.c_str());
    c.easy_setopt(h, CURLOPT_SSLKEY, tls.key.c_str());
  }

  const CURLcode code = c.easy_perform(h);
  give_back(std::move(connection));
  if (x.failure) std::rethrow_exception(x.failure);
  if (x.too_large && !x.good() && x.header_bytes <= header_limit)
    return std::move(x.response);  // enough of an error page to say what it is
  if (x.too_large)
    throw HttpFailure(
        HttpFailure::Kind::too_large,
        request.url.authority() + " sends more than the " +
            std::to_string(x.header_bytes > header_limit ? header_limit : request.body_limit) +
            " bytes that are taken");
  if (code == CURLE_OPERATION_TIMEDOUT && !x.head_seen && x.response.status == 0 &&
      x.header_bytes == 0 && std::string_view(detail).find("onnect") != std::string_view::npos)
    throw HttpFailure(HttpFailure::Kind::unreachable,
                      "cannot reach " + request.url.authority() + ": " + detail);
  // An upload that the server answered and then closed on is answered.
  const bool answered = x.response.status >= 300 && request.upload &&
                        (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR);
  if (code != CURLE_OK && !answered) throw failure_of(code, request.url, detail);
  if (x.good() && !x.head_seen && request.on_head) request.on_head(x.response);
  return std::move(x.response);
}

}  // namespace kiln
