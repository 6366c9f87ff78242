// Owns: libarchive, opened when something compressed is first read: with it come libxml2 and ICU,
// and loading these costs every start of kiln 3 ms that most verbs need not pay. Does not own: what
// is read with it (decompress.cc).
#pragma once

#include <archive.h>

namespace kiln {

// The functions used here, as libarchive declares them.
struct ArchiveLibrary {
  decltype(&::archive_read_new) read_new;
  decltype(&::archive_read_free) read_free;
  decltype(&::archive_read_support_format_raw) read_support_format_raw;
  decltype(&::archive_read_append_filter) read_append_filter;
  decltype(&::archive_read_open) read_open;
  decltype(&::archive_read_next_header) read_next_header;
  decltype(&::archive_read_data) read_data;
  decltype(&::archive_error_string) error_string;
  void (*set_error)(::archive*, int, const char*, ...);
};

// Thread-safe. Throws Error that names the package when the library is missing.
const ArchiveLibrary& archive_library();

}  // namespace kiln
