// Owns: how often and when a request that failed is made again. Does not own: which failures
// deserve it.
#pragma once

#include <optional>
#include <string>

#include "builder/registry/http.hh"

namespace kiln {

// For documents and answers that have no contents to speak of, in seconds.
inline constexpr long document_deadline = 60;

class Patience {
 public:
  // Waits before the next attempt, twice as long each time (a quarter of a second at first, with
  // some chance in it so that many clients do not come back together), or as long as the server
  // asked. False when there have been enough attempts, or it asks for more than a minute.
  bool wait(const HttpClient& http, const std::optional<double>& asked = {});
  // After progress: the count starts anew.
  void renew() { attempt_ = 0; }

 private:
  int attempt_ = 0;
};

// Seconds that a Retry-After header asks for (RFC 9110 section 10.2.3), as number or date.
std::optional<double> retry_after(const HttpResponse& response);
// 429 and those 5xx that may pass.
bool may_pass(long status);
// Failures of the network that may pass; not refusals, and never a certificate.
bool may_pass(HttpFailure::Kind kind);

}  // namespace kiln
