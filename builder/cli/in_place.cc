#include "builder/cli/in_place.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "builder/layer/archive_library.hh"
#include "builder/registry/credentials.hh"
#include "builder/registry/curl_library.hh"
#include "builder/solve/work_directory.hh"
#include "builder/steps/placed_mounts.hh"
#include "builder/sys/container.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

namespace fs = std::filesystem;

constexpr size_t maps_limit = size_t{16} << 20;
constexpr const char* journals = "in-place";
constexpr const char* kept_file = "kept";
constexpr const char* authorities_file = "/etc/ssl/certs/ca-certificates.crt";

// Links resolved as far as something is there.
std::string real(const std::string& path) {
  std::error_code ec;
  const fs::path found = fs::weakly_canonical(fs::absolute(path), ec);
  if (ec) throw SysError("resolve " + path, ec.value());
  std::string text = found.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool is_below(const std::string& path, const std::string& place) {
  return path == place || path.starts_with(place + "/");
}

struct Mapping {
  uintptr_t start = 0, end = 0;
  std::string path;
};

// The files that this process executes from: itself, its loader, its libraries.
std::vector<Mapping> executed_files() {
  const std::string text = read_file_at(AT_FDCWD, "/proc/self/maps", maps_limit);
  std::vector<Mapping> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const size_t path = line.find('/');
    const size_t dash = line.find('-'), space = line.find(' ');
    if (path == line.npos || dash == line.npos || space == line.npos || line[space + 3] != 'x')
      continue;
    out.push_back({std::strtoul(line.c_str(), nullptr, 16),
                   std::strtoul(line.c_str() + dash + 1, nullptr, 16), line.substr(path)});
  }
  return out;
}

// /proc/self/exe is the loader where kiln was started by that.
std::string own_executable(const std::vector<Mapping>& files) {
  const auto here = reinterpret_cast<uintptr_t>(&executed_files);
  for (const Mapping& m : files)
    if (m.start <= here && here < m.end) return m.path;
  throw Error("cannot tell kiln's own executable from /proc/self/maps");
}

// The directory that is kiln's alone, or "" when it shares one with the system.
std::string own_directory(const std::string& executable) {
  fs::path directory = fs::path(executable).parent_path();
  if (directory.filename() == "bin") directory = directory.parent_path();
  static constexpr std::string_view shared[] = {"",      "bin", "sbin", "lib", "lib32",
                                                "lib64", "usr", "etc",  "var", "boot",
                                                "run",   "tmp", "root", "home"};
  const std::string text = directory.string();
  const std::string top = text.substr(1, text.find('/', 1) - 1);
  return std::ranges::find(shared, top) != std::end(shared) ? "" : text;
}

std::string directory_context(std::string text) {
  constexpr std::string_view layout = "oci-layout://";
  if (text.starts_with(layout)) {
    text = text.substr(layout.size());
    if (const size_t at = text.find('@'); at != text.npos) text.resize(at);
    if (const size_t colon = text.rfind(':');
        colon != text.npos && text.find('/', colon) == text.npos)
      text.resize(colon);
  }
  std::error_code ec;
  return fs::is_directory(text, ec) ? real(text) : "";
}

std::vector<KeptPath> kept_paths(const Arguments& arguments, const solve::BuildRequest& request,
                                 const std::vector<BuildOutput>& outputs, const Store& store,
                                 const std::string& home) {
  std::vector<KeptPath> kept = {{real(store.path()), "kiln's store"}};
  const auto keep = [&](const std::string& path, const std::string& what) {
    if (!path.empty()) kept.push_back({path, what});
  };
  keep(home, "kiln's own directory");
  keep(directory_context(arguments.operands().back()), "the build context");
  if (const std::string file = arguments.text("file"); !file.empty() && file != "-")
    keep(real(file), "the Dockerfile");
  for (const auto& [name, where] : request.build_contexts)
    keep(directory_context(where), "build context " + name);
  for (const auto& [id, source] : request.mount_sources.secrets)
    if (!source.file.empty()) keep(real(source.file), "secret " + id);
  for (const auto& [id, socket] : request.mount_sources.ssh_sockets)
    keep(real(socket), "the socket of ssh agent " + id);
  for (const BuildOutput& output : outputs)
    if (!output.destination.empty() && output.destination != "-")
      keep(real(output.destination), "an output");
  for (const char* option : {"iidfile", "metadata-file"})
    if (const auto file = arguments.value(option)) keep(real(*file), "an output");
  for (const std::string& file : credential_files())
    if (access(file.c_str(), F_OK) == 0) keep(real(file), "the credentials of registries");
  for (const KeptPath& k : kept)
    if (k.path == "/") throw Error("--isolation in-place: " + k.what + " cannot be /");
  return kept;
}

void require_container() {
  if (geteuid() != 0)
    throw Error("--isolation in-place needs the root user of the container that kiln runs in");
  if (const auto container = find_container(); !container)
    throw Error(
        "--isolation in-place takes over the root directory of the container that kiln runs in, "
        "and this is none: " +
        container.error() +
        ". Use --isolation oci or chroot, or run kiln in a container of its own");
}

// kiln's own directory; "" when it lies in a mount point, which stays anyway.
std::string require_safe_place() {
  const std::vector<Mapping> files = executed_files();
  const std::vector<std::string> mounts = mount_points();
  const auto in_mount = [&](const std::string& path) {
    return std::ranges::any_of(mounts, [&](const std::string& m) { return is_below(path, m); });
  };
  const std::string executable = own_executable(files);
  const std::string home = in_mount(executable) ? "" : own_directory(executable);
  for (const Mapping& m : files) {
    if (in_mount(m.path) || (!home.empty() && is_below(m.path, home))) continue;
    throw Error("--isolation in-place would take away " + m.path +
                ", which kiln runs from: put kiln with its libraries and their loader into a "
                "directory of its own, like /kiln, and start it from there (kiln(1), IN PLACE)");
  }
  return home;
}

std::string root_name() {
  struct stat status {};
  if (stat("/", &status) != 0) throw SysError("stat /");
  return std::to_string(status.st_ino);
}

Fd open_journal(const std::string& store) {
  const std::string path = store + "/kiln/" + journals + "/" + root_name();
  return Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Fd lock_root() {
  Fd root(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open /");
  if (flock(root.get(), LOCK_EX | LOCK_NB) != 0) root.reset();
  return root;
}

// The authorities of this container go with its root, and registries are asked until the end.
void save_authorities(int journal, const std::string& store) {
  if (getenv("SSL_CERT_DIR") != nullptr) return;
  const char* given = getenv("SSL_CERT_FILE");
  const auto text =
      try_read_file_at(AT_FDCWD, given == nullptr ? authorities_file : given, size_t{16} << 20);
  if (!text) return;
  write_file_atomic(journal, "authorities.crt", *text);
  const std::string copy = store + "/kiln/" + journals + "/" + root_name() + "/authorities.crt";
  setenv("SSL_CERT_FILE", copy.c_str(), 1);
}

// Libraries that are loaded when first needed. Base images are compressed: without that one all
// would end with the root already empty.
void load_libraries() {
  archive_library();
  try {
    curl();
  } catch (const Error&) {
    return;  // whoever needs one says that it is missing
  }
}

void write_kept(int journal, const std::vector<KeptPath>& kept) {
  std::string text;
  for (const KeptPath& k : kept) {
    text += k.path;
    text += '\0';
  }
  write_file_atomic(journal, kept_file, text);
}

std::vector<KeptPath> read_kept(int journal) {
  const std::string text = try_read_file_at(journal, kept_file, size_t{1} << 20).value_or("");
  std::vector<KeptPath> kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    kept.push_back({text.substr(at, end - at), "kept"});
    at = end + 1;
  }
  return kept;
}

void recover(int journal, const std::string& store) {
  const std::set<FileId> lost = recover_placed_mounts(journal);
  if (!lost.empty()) InPlaceRoot("/", read_kept(journal)).remove_left_files(lost);
  // Of the dead process: what it had copied in place came from there.
  const std::string run = store + "/kiln/run", state = store + "/kiln/runtime";
  if (access(run.c_str(), F_OK) == 0) solve::WorkDirectory(run, state);
}

}  // namespace

InPlaceBuild::InPlaceBuild(const Arguments& arguments, const solve::BuildRequest& request,
                           const std::vector<BuildOutput>& outputs, const Store& store) {
  require_container();
  const std::string home = require_safe_place();
  std::vector<KeptPath> kept = kept_paths(arguments, request, outputs, store, home);
  lock_ = lock_root();
  if (!lock_)
    throw Error("--isolation in-place: another build has the root directory of this container");
  make_dir_at(AT_FDCWD, store.sub_directory(journals) + "/" + root_name(), 0700);
  const std::string path = real(store.path());
  journal_ = open_journal(path);
  if (!journal_) throw SysError("open the journal in " + path);
  write_kept(journal_.get(), kept);
  save_authorities(journal_.get(), path);
  load_libraries();
  root_ = std::make_unique<InPlaceRoot>("/", std::move(kept));
  server_ = std::make_unique<InPlaceServer>(journal_.get());
  parts_ = std::make_unique<solve::InPlace>(*root_, *server_);
}

InPlaceBuild::~InPlaceBuild() {
  parts_.reset();
  server_.reset();  // has put everything back
  unlinkat(journal_.get(), kept_file, 0);
}

void recover_in_place(const std::string& store) {
  const Fd journal = open_journal(store);
  // Written when a build begins; the other file while something is put down.
  if (!journal || faccessat(journal.get(), kept_file, F_OK, 0) != 0) return;
  const Fd lock = lock_root();
  if (!lock) return;
  recover(journal.get(), store);
  unlinkat(journal.get(), kept_file, 0);
}

}  // namespace kiln::cli
