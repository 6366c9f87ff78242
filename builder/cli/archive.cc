#include <fcntl.h>
#include <unistd.h>

#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/store/archive.hh"
#include "builder/store/near_names.hh"

namespace kiln::cli {

namespace {

constexpr Option save_options[] = {
    {.letter = 'o',
     .name = "output",
     .argument = "FILE",
     .help = "instead of standard output",
     .completes = Completes::file},
    {.name = "format",
     .argument = "FORMAT",
     .help = "docker: an OCI archive that docker load reads too",
     .initial = "docker",
     .choices = "oci|docker"},
};

// Written beside its place and renamed: a failed save leaves no half archive.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path)
      : path_(path), temporary_(path + "." + random_name()) {
    file_ = Fd(open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file_) throw SysError("create " + temporary_);
  }
  ~OutputFile() {
    if (!done_) unlink(temporary_.c_str());
  }
  int fd() const { return file_.get(); }
  void finish() {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) throw SysError("rename to " + path_);
    done_ = true;
  }

 private:
  std::string path_, temporary_;
  Fd file_;
  bool done_ = false;
};

int save(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  std::vector<NamedImage> images;
  for (const std::string& text : arguments.operands()) {
    auto entry = find_image(store, text);
    if (!entry) throw no_such_image(store, text);
    images.push_back(std::move(*entry));
  }
  const ArchiveFormat format =
      arguments.text("format") == "oci" ? ArchiveFormat::oci : ArchiveFormat::docker;
  if (const auto path = arguments.value("output"); path && *path != "-") {
    OutputFile file(*path);
    FdSink sink(file.fd());
    save_images(store, images, format, sink);
    file.finish();
    return 0;
  }
  if (isatty(STDOUT_FILENO))
    throw UsageError("an archive is not written to a terminal; use --output FILE or redirect");
  FdSink sink(STDOUT_FILENO);
  save_images(store, images, format, sink);
  return 0;
}

constexpr Option load_options[] = {
    {.letter = 'i',
     .name = "input",
     .argument = "FILE",
     .help = "instead of standard input",
     .completes = Completes::file},
    {.letter = 'q', .name = "quiet", .help = "do not print what was loaded"},
};

int load(const Arguments& arguments) {
  Fd file;
  int input = STDIN_FILENO;
  if (const auto path = arguments.value("input"); path && *path != "-") {
    file = Fd(open(path->c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw SysError("open " + *path);
    input = file.get();
  }
  Store store(Store::default_directory(arguments.text("store")));
  FdSource source(input);
  const auto loaded = load_images(store, source);
  store.sync();
  for (const std::string& name : loaded) {
    const auto r = parse_reference(name);
    if (!arguments.has("quiet"))
      print("Loaded image: " + printable(r ? r->familiar() : name) + "\n");
  }
  return 0;
}

}  // namespace

extern const Verb save_verb;
const Verb save_verb{
    .name = "save",
    .operands = "IMAGE...",
    .summary = "Write images as one archive.",
    .options = save_options,
    .examples = "kiln save -o app.tar my-app\nkiln save my-app | docker load",
    .least = 1,
    .completes = Completes::image,
    .run = save,
};

extern const Verb load_verb;
const Verb load_verb{
    .name = "load",
    .summary = "Read images from an OCI or Docker archive, compressed or not.",
    .options = load_options,
    .examples = "kiln load -i app.tar\nssh host docker save app | kiln load",
    .most = 0,
    .run = load,
};

}  // namespace kiln::cli
