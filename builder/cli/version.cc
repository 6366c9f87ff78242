#include <libdeflate.h>
#include <zstd.h>

#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/cli/version.hh"

namespace kiln::cli {

namespace {

int version(const Arguments&) {
  print("kiln version " KILN_VERSION
        "\nimage-spec: 1.1.1\nruntime-spec: 1.3.0\ndistribution-spec: 1.1\n"
        "libdeflate: " LIBDEFLATE_VERSION_STRING "\nlibzstd: " ZSTD_VERSION_STRING "\n");
  flush_output();
  return 0;
}

}  // namespace

extern const Verb version_verb;
const Verb version_verb{
    .name = "version",
    .summary =
        "Print kiln's version, the levels of the specifications, and of the compressors "
        "that decide the bytes of a layer.",
    .examples = "kiln version",
    .most = 0,
    .run = version,
};

}  // namespace kiln::cli
