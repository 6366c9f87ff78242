// The builder's layer, snapshot and context rooms from the command line, for tests and benchmarks.
// Prints what it did as plain words; exits 1 with the message on any error.
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "builder/context/content_digest.hh"
#include "builder/context/context.hh"
#include "builder/layer/apply.hh"
#include "builder/layer/copy_layer.hh"
#include "builder/layer/decompress.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/snapshot/changes.hh"
#include "builder/snapshot/overlay_mount.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"
#include "builder/sys/resolve.hh"
#include "oci-spec/digest.hh"

namespace kiln {

namespace {

using Words = std::vector<std::string>;

struct Options {
  Compression compression = Compression::gzip;
  unsigned threads = 0;
  std::optional<int64_t> epoch;
  bool copy = false;
  bool parents = false;
};

Fd open_read(const std::string& path, int flags = 0) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  if (!fd) throw SysError("open " + path);
  return fd;
}

Fd open_write(const std::string& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) throw SysError("open " + path);
  return fd;
}

template <typename Fill>
void write_layer(const std::string& out, const Options& options, const Fill& fill) {
  WorkerPool pool(options.threads);
  const Fd fd = open_write(out);
  FdSink sink(fd.get());
  LayerWriter writer(sink, options.compression, pool);
  const ChangeStats stats = fill(writer);
  const LayerBlob blob = writer.finish();
  std::printf("%s %s %llu %llu\n", blob.diff_id.text().c_str(), blob.digest.text().c_str(),
              static_cast<unsigned long long>(blob.size),
              static_cast<unsigned long long>(blob.entries));
  for (const auto& [name, count] : stats.dropped_xattrs)
    std::printf("dropped %s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
  if (stats.sockets != 0)
    std::printf("sockets %llu\n", static_cast<unsigned long long>(stats.sockets));
}

void pack(const std::string& directory, const std::string& out, const Options& options) {
  const Fd root = open_read(directory, O_DIRECTORY);
  write_layer(out, options, [&](LayerWriter& writer) {
    ChangeOptions changes;
    changes.clamp_mtime = options.epoch;
    return find_changes({.upper = root.get()}, changes, [&](const Change& change) {
      if (change.content >= 0)
        writer.add(change.entry, change.content);
      else
        writer.add(change.entry);
    });
  });
}

// A tar of whatever compression, and in the end the diff id of what was read of it.
class PlainTar final : public ByteSource {
 public:
  explicit PlainTar(const std::string& file)
      : file_(open_read(file)), raw_(file_.get()), plain_(decompress(raw_)) {}

  size_t read(std::span<std::byte> data) override {
    const size_t n = plain_->read(data);
    hasher_.update(std::span<const std::byte>(data).first(n));
    return n;
  }
  void print_diff_id() { std::printf("%s\n", hasher_.finish().text().c_str()); }

 private:
  Fd file_;
  FdSource raw_;
  std::unique_ptr<ByteSource> plain_;
  oci::Hasher hasher_;
};

void unpack(const std::string& file, const std::string& directory, ApplyOptions::Kind kind) {
  const Fd root = open_read(directory, O_DIRECTORY);
  PlainTar tar(file);
  apply_tar(tar, root.get(), {.kind = kind});
  tar.print_diff_id();
}

const char* type_name(FileType type) {
  static constexpr const char* names[] = {"file",  "dir",  "link",     "hard",  "char",
                                          "block", "fifo", "whiteout", "opaque"};
  return names[static_cast<size_t>(type)];
}

void index(const Words& files) {
  MergedIndex merged;
  for (const std::string& file : files) {
    const Fd tar = open_read(file);
    FdSource source(tar.get());
    const auto plain = decompress(source);
    LayerIndex built = LayerIndex::from_tar(*plain);
    auto again = LayerIndex::parse(built.serialize());
    if (!again) throw Error(again.error());
    merged.push(std::make_shared<const LayerIndex>(std::move(*again)));
  }
  const auto show = [&](const auto& self, const std::string& directory) -> void {
    for (const std::string& name : merged.list(directory)) {
      const std::string path = join_path(directory, name);
      const IndexEntry e = *merged.lookup(path);
      std::printf("%s %s %o %u %u %lld %s %s\n", path.c_str(), type_name(e.type), e.mode, e.uid,
                  e.gid, static_cast<long long>(e.mtime), e.link.c_str(),
                  e.content_digest.substr(0, 12).c_str());
      if (e.type == FileType::directory) self(self, path);
    }
  };
  show(show, "");
}

int run_in(const std::string& root, const Words& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::chdir(root.c_str()) == 0) ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int snapshots(const Words& words, const Options& options) {
  const std::string& directory = words.at(0);
  const std::string& verb = words.at(1);
  const auto store =
      options.copy ? open_copy_snapshotter(directory) : open_overlay_snapshotter(directory);
  const auto key = [&](size_t at) { return words.at(at) == "-" ? std::string() : words.at(at); };
  if (verb == "unpack") {
    PlainTar tar(words.at(4));
    store->unpack(key(2), key(3), tar);
    tar.print_diff_id();
  } else if (verb == "run") {
    auto work = store->prepare(key(3));
    const int status = run_in(work->path(), Words(words.begin() + 4, words.end()));
    if (status != 0) return status;
    store->commit(std::move(work), key(2), {.clamp_mtime = options.epoch});
  } else if (verb == "view") {
    const auto view = store->view(key(2));
    return run_in(view->path(), Words(words.begin() + 3, words.end()));
  } else if (verb == "changes") {
    write_layer(words.at(3), options, [&](LayerWriter& writer) {
      return store->changes(key(2), writer,
                            {.clamp_mtime = options.epoch, .list_parents = options.parents});
    });
  } else if (verb == "keys") {
    for (const std::string& name : store->keys()) std::printf("%s\n", name.c_str());
  } else if (verb == "has") {
    return store->has(key(2)) ? 0 : 1;
  } else if (verb == "remove") {
    store->remove(key(2));
    store->empty_trash();
  } else if (verb == "gc") {
    store->empty_trash();
  } else {
    throw Error("unknown snapshot verb " + verb);
  }
  return 0;
}

void digest(const Words& words, const Options& options) {
  WorkerPool pool(options.threads);
  const Context context = Context::open(words.at(0));
  DigestMemo memo;
  Fd at;
  if (words.size() > 1) {
    at = open_read(words.at(1), O_DIRECTORY);
    memo = DigestMemo::load(at.get(), "memo");
  }
  const std::vector<ContextEntry> entries = context.walk("");
  const oci::Digest result =
      digest_entries(context, entries, "", {.memo = at ? &memo : nullptr, .pool = &pool});
  std::printf("%s %zu\n", result.text().c_str(), entries.size());
  if (at) memo.save(at.get(), "memo");
}

void copy(const Words& words, const Options& options) {
  const Context context = Context::open(words.at(0));
  write_layer(words.at(2), options, [&](LayerWriter& writer) {
    CopyLayer layer;
    layer.add_tree(context, "", context.walk(""), words.at(1), {.mtime = options.epoch}, true);
    layer.write(writer);
    return ChangeStats{};
  });
}

int run(Words words) {
  Options options;
  while (!words.empty() && words.front().starts_with("--")) {
    const std::string word = words.front();
    const std::string value = word.substr(std::min(word.find('=') + 1, word.size()));
    if (word == "--copy") options.copy = true;
    if (word == "--parents") options.parents = true;
    if (word == "--no-fsconfig") forbid_fsconfig(true);
    if (word == "--no-openat2") forbid_openat2(true);
    if (word.starts_with("--threads=")) options.threads = parse_number<unsigned>(value).value();
    if (word.starts_with("--epoch=")) options.epoch = parse_number<int64_t>(value).value();
    if (word == "--compression=zstd") options.compression = Compression::zstd;
    if (word == "--compression=none") options.compression = Compression::none;
    words.erase(words.begin());
  }
  if (words.empty()) throw Error("what to do?");
  const std::string verb = words.front();
  words.erase(words.begin());
  if (verb == "pack") {
    pack(words.at(0), words.at(1), options);
  } else if (verb == "unpack") {
    unpack(words.at(0), words.at(1), ApplyOptions::Kind::layer);
  } else if (verb == "extract") {
    unpack(words.at(0), words.at(1), ApplyOptions::Kind::archive);
  } else if (verb == "index") {
    index(words);
  } else if (verb == "snap") {
    return snapshots(words, options);
  } else if (verb == "digest") {
    digest(words, options);
  } else if (verb == "copy") {
    copy(words, options);
  } else if (verb == "overlay") {
    const std::string why = why_no_overlay(words.at(0));
    std::printf("%s\n", why.c_str());
    return why.empty() ? 0 : 1;
  } else {
    throw Error("unknown verb " + verb);
  }
  return 0;
}

}  // namespace

}  // namespace kiln

int main(int argc, char** argv) {
  try {
    return kiln::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
