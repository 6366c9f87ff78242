#include "builder/registry/session.hh"

#include <algorithm>
#include <cstring>

#include "builder/progress/progress.hh"
#include "builder/registry/answer.hh"
#include "builder/registry/certificates.hh"
#include "builder/registry/patience.hh"

namespace kiln {

namespace {

constexpr int redirect_limit = 10;

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Url require_url(const std::string& text) {
  auto url = parse_url(text);
  if (!url) throw Error("URL " + url.error());
  return *url;
}

}  // namespace

std::string pull_scope(std::string_view path) {
  return "repository:" + std::string(path) + ":pull";
}

std::string push_scope(std::string_view path) {
  return "repository:" + std::string(path) + ":pull,push";
}

Session::Session(HttpClient& http, Endpoint endpoint, std::string credentials_file)
    : http_(http), endpoint_(std::move(endpoint)), credentials_file_(std::move(credentials_file)) {}

void Session::set_credentials(Credentials credentials) {
  const std::lock_guard lock(mutex_);
  credentials_ = std::move(credentials);
  credentials_known_ = true;
}

std::string Session::user() const {
  const std::lock_guard lock(mutex_);
  if (!credentials_ || !challenge_) return {};
  return credentials_->user.empty() ? "<token>" : credentials_->user;
}

// https first. Plain http only where it was allowed by name, or on this machine, where nobody
// listens in between.
void Session::settle() {
  const std::lock_guard lock(mutex_);
  if (base_) return;
  const bool plain_allowed = endpoint_.insecure || is_loopback(endpoint_.host);
  std::vector<std::string> schemes = {"https://"};
  if (endpoint_.plain_first)
    schemes = {"http://"};
  else if (plain_allowed)
    schemes.emplace_back("http://");
  for (const std::string& scheme : schemes) {
    HttpRequest ping;
    ping.url = require_url(scheme + endpoint_.host + "/v2/");
    ping.tls = endpoint_.tls;
    ping.deadline = document_deadline;
    ping.body_limit = 64 << 10;
    Patience patience;
    while (true) {
      try {
        const HttpResponse answer = http_.exchange(ping);
        if (may_pass(answer.status) && patience.wait(http_, retry_after(answer))) continue;
        learn(answer);
        base_ = ping.url;
        return;
      } catch (const HttpFailure& failure) {
        using Kind = HttpFailure::Kind;
        const bool other_scheme =
            (failure.kind() == Kind::no_tls || (failure.kind() == Kind::unreachable &&
                                                endpoint_.host.find(':') == std::string::npos));
        if (other_scheme && &scheme != &schemes.back()) break;
        if (failure.kind() == Kind::no_tls)
          throw Error(std::string(failure.what()) + "; if it speaks plain http, allow that with " +
                      "'insecure " + endpoint_.host + "' in kiln-registries(5) or --insecure");
        if (!may_pass(failure.kind()) || !patience.wait(http_)) throw;
      }
    }
  }
}

// Of several challenges the strongest that is understood.
void Session::learn(const HttpResponse& response) {
  if (response.status != 401) return;
  std::optional<Challenge> best;
  for (const std::string& value : response.headers.all("www-authenticate"))
    for (Challenge& c : parse_challenges(value)) {
      if (c.scheme == "bearer" && c.parameters.contains("realm"))
        best = std::move(c);
      else if (c.scheme == "basic" && !best)
        best = std::move(c);
    }
  if (best) challenge_ = std::move(best);
}

const std::optional<Credentials>& Session::credentials() {
  if (!credentials_known_) {
    credentials_ = find_credentials(endpoint_.host, endpoint_.path, credentials_file_);
    credentials_known_ = true;
  }
  return credentials_;
}

Secret Session::authorization(const std::string& scopes) {
  const std::lock_guard lock(mutex_);
  if (!challenge_) return {};
  if (challenge_->scheme == "basic") {
    const auto& own = credentials();
    if (!own || own->password.empty()) return {};
    return basic_authorization(*own);
  }
  const auto now = std::chrono::steady_clock::now();
  auto it = tokens_.find(scopes);
  if (it == tokens_.end() || it->second.end <= now)
    // Under the lock: of many requests that need the same token one asks, the others wait.
    it = tokens_.insert_or_assign(scopes, fetch_token(scopes)).first;
  return Secret("Bearer " + it->second.text.reveal());
}

// distribution-spec leaves tokens to Docker's "Token Authentication Specification" (GET) and its
// OAuth2 form (POST), which is the one that takes an identity token.
HttpResponse Session::ask_token(const Url& realm, const std::string& service,
                                const std::string& scopes) {
  const auto& own = credentials();
  HttpRequest request;
  request.url = realm;
  request.deadline = document_deadline;
  request.tls =
      realm.authority() == endpoint_.host ? endpoint_.tls : find_certificates(realm.authority());
  request.tls.verify = !endpoint_.insecure;
  std::string form;  // holds the identity token
  if (own && !own->identity_token.empty()) {
    request.method = "POST";
    request.headers.emplace_back("Content-Type: application/x-www-form-urlencoded");
    form = "grant_type=refresh_token&client_id=kiln&service=" + url_encoded(service) +
           "&refresh_token=" + url_encoded(own->identity_token.reveal());
    if (!scopes.empty()) form += "&scope=" + url_encoded(scopes);
    request.upload = text_upload(form);
    return http_.exchange(request);
  }
  std::string text = realm.text;
  if (!service.empty()) add_query(text, "service", service);
  for (std::string_view rest = scopes; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    add_query(text, "scope", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (own) {
    add_query(text, "account", own->user);
    request.authorization = basic_authorization(*own);
  }
  request.url = require_url(text);
  return http_.exchange(request);
}

Session::Token Session::fetch_token(const std::string& scopes) {
  const auto realm = parse_url(challenge_->parameters["realm"]);
  if (!realm) throw Error(host() + " names a token server whose URL " + realm.error());
  if (base_ && base_->scheme == "https" && realm->scheme != "https" && !endpoint_.insecure)
    throw Error(host() + " sends credentials to a token server over plain http (" +
                realm->authority() + "); refused");
  Patience patience;
  while (true) {
    try {
      const HttpResponse answer = ask_token(*realm, challenge_->parameters["service"], scopes);
      if (may_pass(answer.status) && patience.wait(http_, retry_after(answer))) continue;
      if (answer.status == 401 || answer.status == 403 || answer.status == 400) {
        const auto& own = credentials();
        throw Error("token server " + realm->authority() +
                    (own ? " refuses the credentials of " +
                               terminal_text(own->user.empty() ? "<token>" : own->user) + " for "
                         : " gives no token without credentials for ") +
                    host() + error_detail(answer) + "; see 'kiln login " + host() + "'");
      }
      if (answer.status != 200) throw_answer(answer, "token server " + realm->authority());
      TokenAnswer token = read_token(answer.body, realm->authority());
      // Renewed a little early: it must still count when the request arrives.
      const auto life = std::chrono::seconds(std::max<int64_t>(token.expires_in * 4 / 5, 1));
      return {std::move(token.token), std::chrono::steady_clock::now() + life};
    } catch (const HttpFailure& failure) {
      if (!may_pass(failure.kind()) || !patience.wait(http_)) throw;
    }
  }
}

// Where a redirect or a Location may lead: never from https to plain http.
void Session::check_way(const Url& from, const Url& to) const {
  if (from.scheme == "https" && to.scheme == "http" && !endpoint_.insecure)
    throw Error(from.authority() + " redirects from https to plain http at " + to.authority() +
                "; refused");
}

std::string Session::resolve(const std::string& target, const std::string& location) {
  settle();
  const Url from = target.starts_with('/') ? *resolve_url(*base_, target) : require_url(target);
  const auto to = resolve_url(from, location);
  if (!to) throw Error(host() + " gives a Location that " + to.error());
  check_way(from, *to);
  return to->text;
}

HttpResponse Session::send(HttpRequest request, const std::string& target,
                           const std::string& scopes, Retry retry) {
  settle();
  const auto url = target.starts_with('/') ? resolve_url(*base_, target) : parse_url(target);
  if (!url) throw Error(host() + ": a URL " + url.error());
  request.url = *url;
  bool challenged = false;
  for (int redirects = 0; redirects <= redirect_limit;) {
    HttpResponse answer = exchange(request, scopes, retry);
    const bool ours = request.url.origin() == base_->origin();
    if (answer.status == 401 && ours && !challenged) {
      challenged = true;  // a second time would say the same
      const std::lock_guard lock(mutex_);
      learn(answer);
      tokens_.erase(scopes);
      if (challenge_) continue;
    }
    const auto location = answer.headers.find("location");
    if (!is_redirect(answer.status) || !location) return answer;
    const auto next = resolve_url(request.url, *location);
    if (!next) throw Error(request.url.authority() + " redirects to a URL that " + next.error());
    check_way(request.url, *next);
    request.url = *next;
    if (answer.status == 303 && request.method != "HEAD") {
      request.method = "GET";
      request.upload.reset();
    }
    ++redirects;
  }
  throw Error(host() + " redirects without end (" + std::to_string(redirect_limit) + " times)");
}

HttpResponse Session::exchange(HttpRequest& request, const std::string& scopes, Retry retry) {
  // Credentials go to the registry's own origin only: the same scheme, host and port.
  const bool ours = request.url.origin() == base_->origin();
  request.authorization = ours ? authorization(scopes) : Secret();
  if (ours) {
    request.tls = endpoint_.tls;
  } else {
    request.tls = find_certificates(request.url.authority());
    request.tls.verify = !endpoint_.insecure;
  }
  bool began = false;
  HttpRequest watched = request;
  if (request.on_body)
    watched.on_body = [&](std::span<const std::byte> data) {
      began = true;
      request.on_body(data);
    };
  Patience patience;
  while (true) {
    try {
      HttpResponse answer = http_.exchange(watched);
      if (retry == Retry::yes && may_pass(answer.status) &&
          patience.wait(http_, retry_after(answer)))
        continue;
      return answer;
    } catch (const HttpFailure& failure) {
      if (retry == Retry::no || began || !may_pass(failure.kind()) || !patience.wait(http_)) throw;
    }
  }
}

void Session::log_in() {
  settle();
  HttpRequest request;
  request.deadline = document_deadline;
  const HttpResponse answer = send(request, "/v2/", "");
  if (answer.status == 200) return;
  if (answer.status == 401 || answer.status == 403)
    throw Error(host() + " refuses these credentials" + error_detail(answer));
  throw_answer(answer, host());
}

}  // namespace kiln
