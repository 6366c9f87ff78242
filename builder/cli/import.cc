#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/cli/output.hh"
#include "builder/cli/time.hh"
#include "builder/cli/verb.hh"
#include "builder/store/image.hh"
#include "builder/store/import.hh"

namespace kiln::cli {

namespace {

constexpr Option import_options[] = {
    {.name = "platform",
     .argument = "OS/ARCH[/VARIANT]",
     .help = "what the root filesystem is for"},
    {.letter = 'm', .name = "message", .argument = "TEXT", .help = "comment in the history"},
    {.name = "compression",
     .argument = "KIND",
     .help = "of the layer",
     .initial = "gzip",
     .choices = "gzip|zstd|none"},
};

CachedLayer read_layer(Store& store, const std::string& source, Compression compression) {
  if (source == "-") {
    FdSource input(STDIN_FILENO);
    return import_tar(store, input, compression);
  }
  const Fd file(open(source.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0) throw SysError("open " + source);
  if (S_ISDIR(status.st_mode)) return import_directory(store, source, compression);
  FdSource input(file.get());
  return import_tar(store, input, compression);
}

int import(const Arguments& arguments) {
  const std::string& source = arguments.operands()[0];
  const std::string name = arguments.operands().size() > 1
                               ? require_reference(arguments.operands()[1]).text()
                               : std::string();
  if (name.find('@') != name.npos) throw UsageError("a name with a digest cannot be given");
  const std::string kind = arguments.text("compression");
  const Compression compression = kind == "zstd"   ? Compression::zstd
                                  : kind == "none" ? Compression::none
                                                   : Compression::gzip;
  oci::Platform platform = host_platform();
  if (const auto text = arguments.value("platform")) {
    const auto parsed = oci::parse_platform(*text);
    if (!parsed) throw UsageError("--platform: '" + *text + "' is no platform, like linux/arm64");
    platform = *parsed;
  }
  Store store(Store::default_directory(arguments.text("store")));
  CachedLayer layer;
  try {
    layer = read_layer(store, source, compression);
  } catch (Error& error) {
    error.prepend("import " + source);
    throw;
  }
  oci::ImageConfig config;
  config.created = rfc3339(creation_time());
  config.architecture = platform.architecture;
  config.os = platform.os;
  config.variant = platform.variant;
  config.diff_ids = {layer.diff_id};
  oci::History history;
  history.created = config.created;
  history.created_by = "kiln import";
  history.comment = arguments.text("message");
  config.history = {history};
  const oci::Descriptor image = store_image(store, config, {layer.blob});
  store.sync();  // blobs first, then the name
  store.set_name(name, image);
  store.sync();
  print(load_image(store, image).id().text() + "\n");
  return 0;
}

}  // namespace

extern const Verb import_verb;
const Verb import_verb{
    .name = "import",
    .operands = "TAR|DIRECTORY|- [NAME[:TAG]]",
    .summary =
        "Make an image of one layer from a root filesystem: a tar (plain, gzip, zstd, bzip2 "
        "or xz) or a directory.",
    .options = import_options,
    .examples =
        "kiln import rootfs.tar.gz debian:12\n"
        "debootstrap bookworm root && kiln import root debian:12",
    .least = 1,
    .most = 2,
    .completes = Completes::file,
    .needs_ids = true,
    .run = import,
};

}  // namespace kiln::cli
