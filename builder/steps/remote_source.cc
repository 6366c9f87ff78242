#include "builder/steps/remote_source.hh"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "builder/registry/answer.hh"
#include "builder/registry/download.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/secret.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln {

namespace {

// A directory below `parent` that is removed when the last holder lets go.
struct Scratch {
  Fd parent;
  std::string name, path;
  explicit Scratch(const std::string& where)
      : parent(open(where.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        name("fetch-" + random_name()),
        path(where + "/" + name) {
    if (!parent) throw SysError("open " + where);
    make_dir_at(parent.get(), name, 0700);
  }
  ~Scratch() {
    try {
      remove_tree_at(parent.get(), name);
    } catch (const Error&) {
      return;  // prune removes it
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

std::string file_name(std::string_view url) {
  std::string_view path = url.substr(0, url.find_first_of("?#"));
  path.remove_prefix(path.find("://") + 3);
  const size_t slash = path.find('/');
  path = slash == std::string_view::npos ? "" : path.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.empty() || name == "." || name == ".." ? "__unnamed__" : std::string(name);
}

bool is_commit(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = text[i] == '%' && i + 2 < text.size()
                          ? parse_number<uint8_t>(text.substr(i + 1, 2), 16)
                          : std::nullopt;
    out += byte ? static_cast<char>(*byte) : text[i];
    if (byte) i += 2;
  }
  return out;
}

// A repository's address as git may have it: the arguments of git and of its helpers can be read by
// every user of the machine (ps), and its configuration may become part of the image.
struct GitAddress {
  std::string url;      // without user and password, if it is http(s)
  std::string service;  // "https://host:port/", for which the header is meant
  Secret header;        // "Authorization: Basic …", or empty
};

GitAddress git_address(const std::string& location) {
  GitAddress address{location, {}, {}};
  const size_t scheme = location.find("://");
  if (!location.starts_with("http") || scheme == std::string::npos) return address;
  const size_t host = scheme + 3, end = std::min(location.find('/', host), location.size());
  const size_t sign = location.substr(0, end).rfind('@');
  if (sign == std::string::npos || sign < host) return address;
  const std::string user = location.substr(host, sign - host);
  const size_t colon = std::min(user.find(':'), user.size());
  const Secret pair(percent_decoded(user.substr(0, colon)) + ":" +
                    percent_decoded(user.substr(std::min(colon + 1, user.size()))));
  address.url = location.substr(0, host) + location.substr(sign + 1);
  address.service = location.substr(0, host) + location.substr(sign + 1, end - sign - 1) + "/";
  address.header = Secret("Authorization: Basic " + base64_encoded(pair.reveal()));
  return address;
}

// Runs git with an argument vector, never through a shell (BuildKit CVE-2026-33747), without a
// configuration of the machine, a hook or a prompt. Returns its standard output.
std::string git(const std::vector<std::string>& arguments, std::string_view shown,
                const GitAddress& address = {}) {
  std::vector<std::string> words = {"git",
                                    "-c",
                                    "core.hooksPath=/dev/null",
                                    "-c",
                                    "core.symlinks=true",
                                    "-c",
                                    "advice.detachedHead=false",
                                    "-c",
                                    "init.defaultBranch=main"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  // The protocols hold for submodules too, whose addresses are the repository author's: ext:: runs
  // a command, file:// reads this machine. Configuration would not reach them.
  std::vector<std::string> environment = {"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
                                          "GIT_ALLOW_PROTOCOL=http:https:git:ssh", "LC_ALL=C"};
  if (!address.header.empty()) {
    environment.emplace_back("GIT_CONFIG_COUNT=1");
    environment.push_back("GIT_CONFIG_KEY_0=http." + address.service + ".extraHeader");
    environment.push_back("GIT_CONFIG_VALUE_0=" + address.header.reveal());
  }
  for (const char* keep : {"PATH", "HOME", "SSH_AUTH_SOCK", "http_proxy", "https_proxy", "no_proxy",
                           "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "GIT_SSL_CAINFO"})
    if (const char* value = getenv(keep)) environment.push_back(std::string(keep) + "=" + value);
  std::vector<char*> envp;
  for (std::string& e : environment) envp.push_back(e.data());
  envp.push_back(nullptr);

  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
  Fd read_end(ends[0]), write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  pid_t pid = -1;
  const int failure = posix_spawnp(&pid, "git", &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failure == ENOENT) throw Error("git sources need git: install Debian's package git");
  if (failure != 0) throw SysError("run git", failure);
  write_end.reset();
  std::string output;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = read(read_end.get(), buffer.data(), buffer.size())) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    if (output.size() < 65536) output.append(buffer.data(), static_cast<size_t>(n));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw SysError("wait for git");
  while (output.ends_with('\n')) output.pop_back();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error("git " + std::string(shown) + ": " + terminal_text(output, 500));
  return output;
}

FetchedSource fetch_git(const RemoteSource& source, const std::shared_ptr<Scratch>& scratch) {
  const std::string shown = without_credentials(source.location);
  const std::string tree = scratch->path + "/tree";
  const std::string wanted = source.reference.empty() ? "HEAD" : source.reference;
  if (wanted.starts_with('-')) throw Error("git reference " + wanted + " begins with a dash");
  const GitAddress address = git_address(source.location);
  git({"init", "--quiet", "--", tree}, "init");
  // "--" keeps whatever a Dockerfile wrote from being read as an option. The remote is named so
  // that relative addresses of submodules mean its neighbours and not directories of this machine.
  git({"-C", tree, "remote", "add", "--", "origin", address.url}, "remote");
  git({"-C", tree, "fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", wanted},
      "fetch " + shown + " " + wanted, address);
  git({"-C", tree, "checkout", "--quiet", "--detach", "FETCH_HEAD"}, "checkout " + wanted);
  const std::string commit = git({"-C", tree, "rev-parse", "HEAD"}, "rev-parse");
  if (is_commit(source.reference) && commit != source.reference)
    throw Error("git " + shown + ": asked for " + source.reference + ", got " + commit);
  if (!source.checksum.empty() && commit != source.checksum)
    throw Error("git " + shown + ": commit " + commit + ", --checksum says " + source.checksum);
  git({"-C", tree, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"},
      "submodules of " + shown);
  FetchedSource fetched;
  fetched.directory = true;
  fetched.content = oci::Digest::sha256(commit + "\n" + source.subdirectory + "\n" +
                                        (source.keep_git_directory ? "git" : ""));
  Fd root(open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open git work tree");
  if (!source.keep_git_directory) remove_tree_at(root.get(), ".git");
  if (!source.subdirectory.empty()) {
    // The tree is the repository author's: a link in it must not lead out (BuildKit
    // CVE-2026-33748).
    auto inside = try_open_in_root(root.get(), source.subdirectory, O_RDONLY | O_DIRECTORY);
    if (!inside) throw SysError("git " + shown + ": " + source.subdirectory, inside.error());
    root = std::move(*inside);
  }
  fetched.context = std::make_shared<const Context>(std::move(root), "git " + shown);
  fetched.keep = scratch;
  return fetched;
}

FetchedSource fetch_http(const RemoteSource& source, const std::shared_ptr<Scratch>& scratch,
                         Progress& progress, StepId step, const Cancellation& cancel) {
  FetchedSource fetched;
  fetched.name = file_name(source.url);
  Fd root(open(scratch->path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open download directory");
  const Fd file(openat(root.get(), fetched.name.c_str(),
                       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw SysError("create " + fetched.name);
  DownloadOptions options;
  options.canceled = [&] { return cancel.requested(); };
  options.progress = [&](uint64_t bytes, uint64_t total) {
    progress.transfer(step, fetched.name, bytes, total);
  };
  fetched.mtime = download(source.url, file.get(), options).modified;
  if (cancel.requested()) throw Canceled();
  const std::string algorithm = source.checksum.substr(0, source.checksum.find(':'));
  oci::Hasher hasher(algorithm == "sha512" ? "sha512" : "sha256");
  if (lseek(file.get(), 0, SEEK_SET) != 0) throw SysError("seek");
  std::vector<std::byte> buffer(size_t{1} << 20);
  for (ssize_t n; (n = read(file.get(), buffer.data(), buffer.size())) != 0;) {
    if (n < 0) throw SysError("read " + fetched.name);
    hasher.update(std::span<const std::byte>(buffer.data(), static_cast<size_t>(n)));
  }
  fetched.content = hasher.finish();
  if (!source.checksum.empty()) {
    const auto wanted = oci::Digest::parse(source.checksum);
    if (!wanted) throw Error("--checksum: " + wanted.error());
    if (*wanted != fetched.content)
      throw Error(without_credentials(source.url) + ": digest is " + fetched.content.text() +
                  ", --checksum says " + wanted->text());
  }
  fetched.context =
      std::make_shared<const Context>(std::move(root), without_credentials(source.url));
  fetched.keep = scratch;
  return fetched;
}

}  // namespace

std::optional<RemoteSource> remote_source(std::string_view text) {
  const bool http = text.starts_with("http://") || text.starts_with("https://");
  const bool scheme = text.starts_with("git://") || text.starts_with("ssh://");
  const bool scp = !http && !scheme && text.find("@") != std::string_view::npos &&
                   text.find(':') != std::string_view::npos && text.find('@') < text.find(':') &&
                   text.find('/') > text.find('@');
  const std::string_view before = text.substr(0, text.find('#'));
  const bool git = scheme || scp || (http && before.ends_with(".git"));
  RemoteSource source;
  source.url = std::string(text);
  if (git) {
    source.kind = RemoteSource::Kind::git;
    source.location = std::string(before);
    if (before.size() < text.size()) {
      const std::string_view fragment = text.substr(before.size() + 1);
      const size_t colon = fragment.find(':');
      source.reference = std::string(fragment.substr(0, colon));
      if (colon != std::string_view::npos)
        source.subdirectory = std::string(fragment.substr(colon + 1));
    }
    return source;
  }
  if (!http) return std::nullopt;
  return source;
}

FetchedSource fetch(const RemoteSource& source, const std::string& parent_directory,
                    Progress& progress, StepId step, const Cancellation& cancel) {
  const auto scratch = std::make_shared<Scratch>(parent_directory);
  return source.kind == RemoteSource::Kind::git
             ? fetch_git(source, scratch)
             : fetch_http(source, scratch, progress, step, cancel);
}

}  // namespace kiln
