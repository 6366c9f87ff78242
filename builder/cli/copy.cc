// `kiln copy`: an image from one place to another, past the store.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "builder/cli/output.hh"
#include "builder/cli/registry_command.hh"
#include "builder/registry/layout_image.hh"
#include "builder/registry/store_image.hh"
#include "builder/store/archive.hh"

namespace kiln::cli {

namespace {

constexpr Option copy_options[] = {
    {.name = "platform",
     .argument = "OS/ARCH[/VARIANT]",
     .help = "of an index only what fits this, without the index"},
    {.letter = 'a', .name = "all-tags", .help = "every tag, from one repository to another"},
    {.name = "referrers", .help = "what refers to it, too (signatures, SBOMs), between registries"},
    authfile_option,
    insecure_option,
    progress_option,
    quiet_option,
};

struct Where {
  enum class Kind : uint8_t { registry, layout, oci_archive, docker_archive };
  Kind kind = Kind::registry;
  Reference reference;  // registry
  std::string path;     // of the layout or archive
  std::string tag;      // there; "" for the only one
};

Where parse_where(const std::string& text) {
  Where where;
  const std::pair<std::string_view, Where::Kind> schemes[] = {
      {"oci:", Where::Kind::layout},
      {"oci-archive:", Where::Kind::oci_archive},
      {"docker-archive:", Where::Kind::docker_archive},
  };
  for (const auto& [scheme, kind] : schemes) {
    if (!text.starts_with(scheme)) continue;
    where.kind = kind;
    where.path = text.substr(scheme.size());
    // A tag follows the first colon behind the last slash before it, as skopeo splits them: a name
    // of a docker-archive has slashes and colons of its own.
    if (const size_t colon = where.path.find(':'); colon != std::string::npos) {
      where.tag = where.path.substr(colon + 1);
      where.path.resize(colon);
    }
    if (where.path.empty()) throw UsageError("'" + text + "' names no path");
    return where;
  }
  std::string_view name = text;
  if (name.starts_with("docker://")) name.remove_prefix(9);
  where.reference = require_reference(name);
  return where;
}

// A store that goes away with the command: archives are read and written through it.
class TemporaryStore {
 public:
  TemporaryStore() {
    const char* parent = getenv("TMPDIR");
    path_ = std::string(parent != nullptr && *parent == '/' ? parent : "/var/tmp") + "/kiln.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw SysError("create a directory in " + path_);
    store_.emplace(path_ + "/store");
  }
  ~TemporaryStore() {
    store_.reset();
    try {
      remove_tree_at(AT_FDCWD, path_);
    } catch (const Error&) {
      return;  // nothing of it is needed, and a destructor has nobody to tell
    }
  }
  Store& store() { return *store_; }

 private:
  std::string path_;
  std::optional<Store> store_;
};

class Copy {
 public:
  Copy(const Arguments& arguments, RegistryCommand& command)
      : platform_(platform_argument(arguments)),
        referrers_(arguments.has("referrers")),
        command_(command) {}

  Document run(const Where& from, const Where& to) {
    return command_.step("copy to " + name_of(to), [&](StepId step) {
      const Document top = open_source(from);
      put(top, from, to, step);
      return top;
    });
  }

 private:
  static std::string name_of(const Where& where) {
    return where.kind == Where::Kind::registry ? where.reference.familiar() : where.path;
  }

  Document open_source(const Where& from) {
    Document top;
    if (from.kind == Where::Kind::registry) {
      auto source = std::make_unique<RegistrySource>(command_.access(), from.reference);
      auto found = source->top();
      if (!found) throw Error("no such image " + from.reference.familiar());
      top = std::move(*found);
      registry_ = source.get();
      source_ = std::move(source);
    } else if (from.kind == Where::Kind::layout) {
      auto source = std::make_unique<LayoutSource>(from.path);
      top = source->top(from.tag);
      source_ = std::move(source);
    } else {
      top = load_archive(from);
    }
    return platform_ ? narrowed(top) : top;
  }

  Document load_archive(const Where& from) {
    Store& store = temporary_.emplace().store();
    const Fd file(open(from.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw SysError("open " + from.path);
    FdSource bytes(file.get());
    load_images(store, bytes);
    auto source = std::make_unique<StoreSource>(store);
    const auto images = store.images();
    std::optional<oci::Descriptor> found;
    if (from.tag.empty() && images.size() == 1) found = images.front().descriptor;
    if (!from.tag.empty())
      for (const NamedImage& image : images) {
        const auto own = parse_reference(image.name);
        if (image.name == from.tag || (own && own->tag == from.tag) ||
            (own && own->familiar() == from.tag))
          found = image.descriptor;
      }
    if (!found)
      throw Error(from.path + " has " + std::to_string(images.size()) + " images" +
                  (from.tag.empty() ? ": name one" : ", none of them " + from.tag));
    found->annotations.clear();
    auto document = source->document(*found);
    if (!document) throw Error(from.path + " lacks " + found->digest.text());
    source_ = std::move(source);
    return std::move(*document);
  }

  // Of an index the manifest that fits.
  Document narrowed(Document top) {
    for (int depth = 0; is_index_type(top.descriptor.media_type); ++depth) {
      if (depth > 4) throw Error("indexes are nested too deeply");
      const oci::Index index = oci::read_index(top.content, top.descriptor.digest.text());
      const oci::Descriptor* chosen = choose_platform(index, *platform_);
      if (chosen == nullptr) throw Error("no image for " + oci::platform_text(*platform_));
      auto found = source_->document(*chosen);
      if (!found) throw Error("manifest " + chosen->digest.text() + " is missing");
      found->descriptor.platform = chosen->platform;
      top = std::move(*found);
    }
    return top;
  }

  void move(ImageTarget& target, const Document& top, const Where& to, StepId step) {
    TransferOptions how;
    how.parallel = command_.access().registries().parallel;
    transfer(*source_, target, top, how, command_.progress(), step, name_of(to));
  }

  void put(const Document& top, const Where& from, const Where& to, StepId step) {
    if (to.kind == Where::Kind::registry) {
      if (!to.reference.digest.empty() && to.reference.digest != top.descriptor.digest)
        throw Error("the image has digest " + top.descriptor.digest.text() + ", not " +
                    to.reference.digest.text());
      UploadOptions upload;
      if (from.kind == Where::Kind::registry && from.reference.domain == to.reference.domain &&
          from.reference.path != to.reference.path)
        upload.siblings.push_back(from.reference.path);
      RegistryTarget target(command_.access(), to.reference, upload);
      move(target, top, to, step);
      if (!to.reference.tag.empty()) target.name_document(to.reference.tag, top);
      if (referrers_) put_referrers(top, target, to, step);
    } else if (to.kind == Where::Kind::layout) {
      LayoutTarget target(to.path);
      move(target, top, to, step);
      target.name_document(to.tag, top);
    } else {
      save_archive(top, from, to, step);
    }
  }

  void put_referrers(const Document& top, ImageTarget& target, const Where& to, StepId step) {
    for (const oci::Descriptor& d : registry_->origin().referrers(top.descriptor.digest)) {
      const auto document = source_->document(d);
      if (!document) throw Error("referrer " + d.digest.text() + " is not there");
      move(target, *document, to, step);
    }
  }

  void save_archive(const Document& top, const Where& from, const Where& to, StepId step) {
    const bool docker = to.kind == Where::Kind::docker_archive;
    TemporaryStore scratch;
    StoreTarget target(scratch.store());
    move(target, top, to, step);
    std::string name = to.tag;
    if (docker && !name.empty()) name = require_reference(name).text();
    if (name.empty() && from.kind == Where::Kind::registry && from.reference.digest.empty())
      name = from.reference.text();
    scratch.store().set_name(name, top.descriptor);
    const std::string temporary = to.path + "." + random_name();
    const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file) throw SysError("create " + temporary);
    try {
      FdSink sink(file.get());
      save_images(scratch.store(), scratch.store().images(),
                  docker ? ArchiveFormat::docker : ArchiveFormat::oci, sink);
      if (rename(temporary.c_str(), to.path.c_str()) != 0) throw SysError("rename to " + to.path);
    } catch (...) {
      unlink(temporary.c_str());
      throw;
    }
  }

  std::optional<oci::Platform> platform_;
  bool referrers_;
  RegistryCommand& command_;
  std::optional<TemporaryStore> temporary_;
  std::unique_ptr<ImageSource> source_;  // may read from temporary_
  RegistrySource* registry_ = nullptr;   // the same, where it is one
};

int copy(const Arguments& arguments) {
  Where from = parse_where(arguments.operands()[0]);
  Where to = parse_where(arguments.operands()[1]);
  RegistryCommand command(arguments);
  std::vector<std::string> tags = {""};
  if (arguments.has("referrers") &&
      (from.kind != Where::Kind::registry || to.kind != Where::Kind::registry))
    throw UsageError("--referrers copies from one registry to another");
  if (arguments.has("all-tags")) {
    if (from.kind != Where::Kind::registry || to.kind != Where::Kind::registry)
      throw UsageError("--all-tags copies from one repository of a registry to another");
    tags = RegistrySource(command.access(), from.reference).tags();
    if (tags.empty()) throw Error(from.reference.familiar_name() + " has no tags");
  }
  for (const std::string& tag : tags) {
    if (!tag.empty()) from.reference.tag = to.reference.tag = tag;
    const Document top = Copy(arguments, command).run(from, to);
    if (!arguments.has("quiet")) print("Digest: ");
    print(top.descriptor.digest.text() + "\n");
  }
  return 0;
}

}  // namespace

extern const Verb copy_verb;
const Verb copy_verb{
    .name = "copy",
    .operands = "FROM TO",
    .summary = "Copy an image between registries, layouts and archives, past the store.",
    .options = copy_options,
    .examples =
        "kiln copy registry.example/app:1 mirror.example:5000/app:1\n"
        "kiln copy registry.example/app:1 oci:./layout:1",
    .least = 2,
    .most = 2,
    .run = copy,
};

}  // namespace kiln::cli
