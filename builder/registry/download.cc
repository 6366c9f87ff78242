#include "builder/registry/download.hh"

#include <memory>
#include <span>

#include "builder/registry/curl_library.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln {

namespace {

struct Download {
  int fd;
  const DownloadOptions& options;
  uint64_t size = 0;
  std::string failure;
};

size_t receive(char* data, size_t, size_t size, void* user) {
  auto& t = *static_cast<Download*>(user);
  t.size += size;
  if (t.size > t.options.limit) {
    t.failure = "more than " + std::to_string(t.options.limit) + " bytes";
    return 0;
  }
  try {
    write_all(t.fd, std::string_view(data, size));
  } catch (const Error& error) {  // no exception may pass through C
    t.failure = error.message();
    return 0;
  }
  return size;
}

int report(void* user, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
  auto& t = *static_cast<Download*>(user);
  if (t.options.canceled && t.options.canceled()) {
    t.failure = "canceled";
    return 1;
  }
  if (t.options.progress)
    t.options.progress(static_cast<uint64_t>(now), static_cast<uint64_t>(total));
  return 0;
}

}  // namespace

Downloaded download(const std::string& url, int fd, const DownloadOptions& options) {
  const CurlLibrary& c = curl();
  const std::unique_ptr<CURL, decltype(c.easy_cleanup)> easy(c.easy_init(), c.easy_cleanup);
  if (!easy) throw Error("libcurl: out of memory");
  Download transfer{fd, options, 0, {}};
  CURL* h = easy.get();
  c.easy_setopt(h, CURLOPT_URL, url.c_str());
  c.easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
  c.easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  c.easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
  c.easy_setopt(h, CURLOPT_MAXREDIRS, 10L);
  c.easy_setopt(h, CURLOPT_FAILONERROR, 1L);
  c.easy_setopt(h, CURLOPT_FILETIME, 1L);
  c.easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  c.easy_setopt(h, CURLOPT_CONNECTTIMEOUT, 30L);
  // A connection that gives less than a byte a second for a minute is dead.
  c.easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
  c.easy_setopt(h, CURLOPT_LOW_SPEED_TIME, 60L);
  c.easy_setopt(h, CURLOPT_USERAGENT, "kiln");
  c.easy_setopt(h, CURLOPT_WRITEFUNCTION, &receive);
  c.easy_setopt(h, CURLOPT_WRITEDATA, &transfer);
  c.easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
  c.easy_setopt(h, CURLOPT_XFERINFOFUNCTION, &report);
  c.easy_setopt(h, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = c.easy_perform(h);
  if (code != CURLE_OK) {
    long status = 0;
    c.easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    std::string why = transfer.failure;
    if (why.empty() && code == CURLE_HTTP_RETURNED_ERROR) why = "status " + std::to_string(status);
    if (why.empty()) why = c.easy_strerror(code);
    throw Error("download " + without_credentials(url) + ": " + why);
  }
  curl_off_t modified = -1;
  c.easy_getinfo(h, CURLINFO_FILETIME_T, &modified);
  Downloaded done;
  done.size = transfer.size;
  if (modified >= 0) done.modified = modified;
  return done;
}

}  // namespace kiln
