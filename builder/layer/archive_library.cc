#include "builder/layer/archive_library.hh"

#include <dlfcn.h>

#include <string>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

template <class F>
void load(void* library, const char* name, F& function) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) throw Error(std::string("libarchive has no function ") + name);
  function = reinterpret_cast<F>(symbol);
}

ArchiveLibrary open_library() {
  void* library = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error(
        "compressed layers and archives need libarchive: install Debian's package libarchive13");
  ArchiveLibrary a{};
  load(library, "archive_read_new", a.read_new);
  load(library, "archive_read_free", a.read_free);
  load(library, "archive_read_support_format_raw", a.read_support_format_raw);
  load(library, "archive_read_append_filter", a.read_append_filter);
  load(library, "archive_read_open", a.read_open);
  load(library, "archive_read_next_header", a.read_next_header);
  load(library, "archive_read_data", a.read_data);
  load(library, "archive_error_string", a.error_string);
  load(library, "archive_set_error", a.set_error);
  return a;
}

}  // namespace

const ArchiveLibrary& archive_library() {
  static const ArchiveLibrary library = open_library();
  return library;
}

}  // namespace kiln
