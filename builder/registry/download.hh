// Owns: fetching one file by http(s) into a file: redirects, time limits, a bound on size.
// Does not own: the registry protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace kiln {

struct DownloadOptions {
  uint64_t limit = uint64_t{1} << 40;  // bytes; more is an Error
  std::function<bool()> canceled;      // asked several times a second
  std::function<void(uint64_t bytes, uint64_t total)> progress;
};

struct Downloaded {
  uint64_t size = 0;
  std::optional<int64_t> modified;  // Last-Modified, seconds since the epoch
};

// Writes the body to `fd`. At most ten redirects, only to http and https. Throws Error with status
// and host; credentials in `url` are never part of a message.
Downloaded download(const std::string& url, int fd, const DownloadOptions& options);

}  // namespace kiln
