#include "builder/cli/build_sources.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "builder/dockerfile/ignore.hh"
#include "builder/layer/decompress.hh"
#include "builder/solve/ignore_rule.hh"
#include "builder/steps/remote_source.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln::cli {

namespace {

// A directory of this build's own, removed at its end.
struct Unpacked {
  Fd parent;
  std::string name;
  explicit Unpacked(const std::string& where)
      : parent(open(where.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        name("context-" + random_name()) {
    if (!parent) throw SysError("open " + where);
    make_dir_at(parent.get(), name, 0700);
  }
  ~Unpacked() {
    try {
      remove_tree_at(parent.get(), name);
    } catch (const Error&) {
      return;  // prune removes it
    }
  }
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;
};

// Standard input, seen from its start although some of it was read to look at.
class StandardInput final : public ByteSource {
 public:
  StandardInput() {
    head_.resize(512);
    head_.resize(read_full(rest_, head_));
  }
  std::span<const std::byte> head() const { return head_; }
  size_t read(std::span<std::byte> data) override {
    if (at_ < head_.size()) {
      const size_t n = std::min(data.size(), head_.size() - at_);
      std::copy_n(head_.begin() + static_cast<ptrdiff_t>(at_), n, data.begin());
      at_ += n;
      return n;
    }
    return rest_.read(data);
  }

 private:
  FdSource rest_{STDIN_FILENO};
  std::vector<std::byte> head_;
  size_t at_ = 0;
};

bool looks_like_tar(std::span<const std::byte> head) {
  if (detect_magic(head) != Magic::plain) return true;
  static constexpr std::string_view magic = "ustar";
  return head.size() >= 262 &&
         std::equal(magic.begin(), magic.end(), head.begin() + 257, [](char a, std::byte b) {
           return std::byte(static_cast<unsigned char>(a)) == b;
         });
}

std::string read_all(ByteSource& source) {
  std::string text;
  std::vector<std::byte> buffer(65536);
  while (const size_t n = source.read(buffer)) {
    text.append(reinterpret_cast<const char*>(buffer.data()), n);
    if (text.size() > dockerfile::most_bytes)
      throw Error("standard input: more than 16 MiB is no Dockerfile");
  }
  return text;
}

// The ignore file of a Dockerfile: its own first (Dockerfile reference, ".dockerignore file").
std::optional<std::string> ignore_text(int context, const std::string& inside) {
  if (!inside.empty())
    if (auto own = read_file_in_root(context, inside + ".dockerignore", dockerfile::most_bytes))
      return own;
  return read_file_in_root(context, ".dockerignore", dockerfile::most_bytes);
}

// -f that names something below the context: the context's author may have made it a link to a file
// of this machine, which errors would then show.
std::optional<std::string> path_below(const std::string& context, const std::string& file) {
  if (file.empty()) return std::nullopt;
  const auto absolute = [](const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal();
  };
  const std::filesystem::path relative =
      absolute(file).lexically_relative(absolute(context + "/.").parent_path());
  if (relative.empty() || *relative.begin() == "..") return std::nullopt;
  return relative.string();
}

// Opens the Dockerfile of a context that stands as a directory.
void finish(BuildSources& sources, Fd root, const std::string& name, const std::string& file,
            bool own_directory) {
  std::optional<std::string> ignore;
  if (file == "-") {
    sources.dockerfile = {"-", read_fd(STDIN_FILENO, dockerfile::most_bytes, "standard input")};
    ignore = ignore_text(root.get(), "");
  } else if (const auto below = own_directory ? std::nullopt : path_below(name, file)) {
    auto text = read_file_in_root(root.get(), *below, dockerfile::most_bytes);
    if (!text)
      throw Error("no " + *below + " in " + name + " (a link is followed inside the context only)");
    sources.dockerfile = {file, std::move(*text)};
    ignore = ignore_text(root.get(), *below);
  } else if (!file.empty() && !own_directory) {
    // -f with a directory: a path of the user's, as docker build takes it.
    sources.dockerfile = {file, read_file_at(AT_FDCWD, file, dockerfile::most_bytes)};
    ignore = try_read_file_at(AT_FDCWD, file + ".dockerignore", dockerfile::most_bytes);
    if (!ignore) ignore = ignore_text(root.get(), "");
  } else {
    const std::string inside = file.empty() ? "Dockerfile" : file;
    auto text = read_file_in_root(root.get(), inside, dockerfile::most_bytes);
    if (!text && file.empty())
      text = read_file_in_root(root.get(), "dockerfile", dockerfile::most_bytes);
    if (!text)
      throw Error("no " + inside + " in " + name + (file.empty() ? "; name one with --file" : ""));
    const bool here = own_directory || name == ".";
    sources.dockerfile = {here ? inside : name + "/" + inside, std::move(*text)};
    ignore = ignore_text(root.get(), inside);
  }
  sources.ignore = solve::matcher_of(ignore);
  sources.context =
      std::make_shared<const Context>(std::move(root), name, solve::rule_of(sources.ignore));
}

}  // namespace

BuildSources open_build_sources(const std::string& operand, const std::string& file,
                                const std::string& work_directory, Progress& progress,
                                const Cancellation& cancel) {
  BuildSources sources;
  sources.project = file + "\n" + without_credentials(operand);  // kept in cache records
  const auto unpack = [&](ByteSource& tar, const std::string& name) {
    const auto directory = std::make_shared<Unpacked>(work_directory);
    sources.keep = directory;
    Context whole =
        context_from_tar(tar, open_dir_at(directory->parent.get(), directory->name), name);
    Fd root(fcntl(whole.root(), F_DUPFD_CLOEXEC, 0));
    if (!root) throw SysError("open the unpacked context");
    finish(sources, std::move(root), name, file, true);
  };
  if (operand == "-") {
    if (file == "-") throw Error("context and Dockerfile cannot both come from standard input");
    StandardInput input;
    if (looks_like_tar(input.head())) {
      unpack(input, "standard input");
    } else {
      sources.dockerfile = {"-", read_all(input)};
    }
    return sources;
  }
  if (auto remote = remote_source(operand)) {
    const StepId step = progress.begin("load context from " + without_credentials(operand));
    try {
      FetchedSource fetched = fetch(*remote, work_directory, progress, step, cancel);
      Fd root(fcntl(fetched.context->root(), F_DUPFD_CLOEXEC, 0));
      if (!root) throw SysError("open the fetched context");
      if (fetched.directory) {
        sources.keep = fetched.keep;
        finish(sources, std::move(root), without_credentials(operand), file, true);
      } else {
        const Fd tar = fetched.context->open_file(fetched.name);
        FdSource raw(tar.get());
        std::vector<std::byte> head(512);
        head.resize(read_full(raw, head));
        if (lseek(tar.get(), 0, SEEK_SET) != 0) throw SysError("seek");
        if (looks_like_tar(head)) {
          unpack(raw, without_credentials(operand));
        } else {
          sources.dockerfile = {without_credentials(operand), read_all(raw)};
        }
      }
    } catch (...) {
      progress.end(step, Outcome::failed);
      throw;
    }
    progress.end(step, Outcome::done);
    return sources;
  }
  Fd root(open(operand.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open build context " + operand);
  finish(sources, std::move(root), operand, file, false);
  sources.project = file + "\n" + std::filesystem::absolute(operand).lexically_normal().string();
  // The memo of file digests goes by the context's name: the same directory by any spelling.
  sources.context = std::make_shared<const Context>(
      Fd(fcntl(sources.context->root(), F_DUPFD_CLOEXEC, 0)),
      std::filesystem::absolute(operand).lexically_normal().string(), sources.context->ignore());
  return sources;
}

}  // namespace kiln::cli
