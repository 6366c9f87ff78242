#include "builder/registry/curl_library.hh"

#include <dlfcn.h>

#include <string>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

template <class F>
void load(void* library, const char* name, F& function) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) throw Error(std::string("libcurl has no function ") + name);
  function = reinterpret_cast<F>(symbol);
}

CurlLibrary open_library() {
  // Both names are the same library: Debian's default and its GnuTLS build.
  void* library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error("no network without libcurl: install Debian's package libcurl4");
  CurlLibrary c{};
  load(library, "curl_global_init", c.global_init);
  load(library, "curl_easy_init", c.easy_init);
  load(library, "curl_easy_cleanup", c.easy_cleanup);
  load(library, "curl_easy_reset", c.easy_reset);
  load(library, "curl_easy_setopt", c.easy_setopt);
  load(library, "curl_easy_getinfo", c.easy_getinfo);
  load(library, "curl_easy_perform", c.easy_perform);
  load(library, "curl_easy_pause", c.easy_pause);
  load(library, "curl_easy_strerror", c.easy_strerror);
  load(library, "curl_slist_append", c.slist_append);
  load(library, "curl_slist_free_all", c.slist_free_all);
  load(library, "curl_url", c.url);
  load(library, "curl_url_cleanup", c.url_cleanup);
  load(library, "curl_url_set", c.url_set);
  load(library, "curl_url_get", c.url_get);
  load(library, "curl_free", c.free);
  load(library, "curl_multi_init", c.multi_init);
  load(library, "curl_multi_cleanup", c.multi_cleanup);
  load(library, "curl_multi_add_handle", c.multi_add_handle);
  load(library, "curl_multi_remove_handle", c.multi_remove_handle);
  load(library, "curl_multi_perform", c.multi_perform);
  load(library, "curl_multi_poll", c.multi_poll);
  load(library, "curl_multi_wakeup", c.multi_wakeup);
  load(library, "curl_multi_info_read", c.multi_info_read);
  load(library, "curl_multi_setopt", c.multi_setopt);
  load(library, "curl_multi_strerror", c.multi_strerror);
  if (c.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw Error("libcurl cannot be initialised");
  return c;
}

}  // namespace

const CurlLibrary& curl() {
  static const CurlLibrary library = open_library();
  return library;
}

}  // namespace kiln
