#include "builder/store/lease.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr const char* lease_directory = "leases";
constexpr std::string_view bundle_prefix = "bundle-";
constexpr size_t lease_limit = size_t{16} << 20;
// A bundle names its lease in this file, so that a directory reused for something else is no
// bundle.
constexpr const char* bundle_marker = ".kiln-bundle";

void lock(int fd, int how, const char* what) {
  while (flock(fd, how) != 0)
    if (errno != EINTR) throw SysError(std::string("lock ") + what);
}

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  Fd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) throw SysError("open leases");
  DIR* stream = fdopendir(copy.get());
  if (stream == nullptr) throw SysError("read leases");
  copy.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);
  while (const dirent* entry = readdir(stream))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  return names;
}

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> result;
  while (true) {
    const size_t end = text.find('\n');
    if (end == text.npos) return result;  // a line cut by a crash holds nothing
    if (end > 0) result.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

Fd leases(int kiln_directory) {
  make_dir_at(kiln_directory, lease_directory);
  return open_dir_at(kiln_directory, lease_directory);
}

}  // namespace

CollectLock::CollectLock(int kiln_directory, Mode mode)
    : file_(
          openat(kiln_directory, "collect.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) {
  if (!file_) throw SysError("open collect.lock");
  lock(file_.get(), mode == Mode::shared ? LOCK_SH : LOCK_EX, "collect.lock");
}

Lease::Lease(int kiln_directory, std::string_view purpose) : directory_(leases(kiln_directory)) {
  // Under the shared lock: collection must not see the file before it is locked.
  const CollectLock guard(kiln_directory, CollectLock::Mode::shared);
  name_ = std::string(purpose) + "-" + random_name();
  file_ = Fd(openat(directory_.get(), name_.c_str(),
                    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!file_) throw SysError("create lease " + name_);
  lock(file_.get(), LOCK_EX, name_.c_str());
}

Lease::Lease(Lease&&) noexcept = default;

Lease::~Lease() {
  if (file_) unlinkat(directory_.get(), name_.c_str(), 0);
}

void Lease::hold(std::string_view thing) {
  if (held_.contains(thing)) return;
  write_all(file_.get(), std::string(thing) + "\n");
  held_.emplace(thing);
}

void write_bundle_lease(int kiln_directory, const BundleLease& lease) {
  const Fd directory = leases(kiln_directory);
  const nlohmann::json document = {{"directory", lease.directory}, {"image", lease.image},
                                   {"container", lease.container}, {"held", lease.held},
                                   {"boot", lease.boot},           {"pid", lease.pid},
                                   {"start", lease.start}};
  write_file_atomic(directory.get(), std::string(bundle_prefix) + lease.name,
                    document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void remove_bundle_lease(int kiln_directory, const std::string& name) {
  if (name.empty() || name.find('/') != name.npos) return;
  const Fd directory = leases(kiln_directory);
  unlinkat(directory.get(), (std::string(bundle_prefix) + name).c_str(), 0);
}

namespace {

std::optional<BundleLease> read_bundle_lease(int directory, const std::string& file) {
  const auto text = try_read_file_at(directory, file, lease_limit);
  if (!text) return std::nullopt;
  const auto document = nlohmann::json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  try {
    BundleLease lease;
    lease.name = file.substr(bundle_prefix.size());
    lease.directory = document.at("directory");
    lease.image = document.at("image");
    lease.container = document.at("container");
    lease.held = document.at("held");
    lease.boot = document.at("boot");
    lease.pid = document.at("pid");
    lease.start = document.at("start");
    return lease;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

bool is_live(const BundleLease& lease) {
  if (!lease.boot.empty() && lease.boot != boot_id()) return false;
  if (lease.pid != 0) {
    const uint64_t start = process_start(lease.pid);
    if (start == 0 || start != lease.start) return false;
  }
  const Fd bundle(open(lease.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!bundle) return false;
  const auto marker = try_read_file_at(bundle.get(), bundle_marker, 4096);
  return marker && *marker == lease.name + "\n";
}

}  // namespace

std::vector<BundleLease> bundle_leases(int kiln_directory) {
  std::vector<BundleLease> result;
  const Fd directory = leases(kiln_directory);
  for (const std::string& name : names_in(directory.get())) {
    if (!name.starts_with(bundle_prefix)) continue;
    auto lease = read_bundle_lease(directory.get(), name);
    if (lease && is_live(*lease)) result.push_back(std::move(*lease));
  }
  return result;
}

std::set<std::string, std::less<>> held_things(int kiln_directory) {
  std::set<std::string, std::less<>> held;
  const Fd directory = leases(kiln_directory);
  for (const std::string& name : names_in(directory.get())) {
    if (name.starts_with(bundle_prefix)) {
      const auto lease = read_bundle_lease(directory.get(), name);
      if (lease && is_live(*lease))
        held.insert(lease->held.begin(), lease->held.end());
      else
        unlinkat(directory.get(), name.c_str(), 0);
      continue;
    }
    const Fd file(openat(directory.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) continue;                              // ended meanwhile
    if (flock(file.get(), LOCK_SH | LOCK_NB) == 0) {  // its process is gone
      unlinkat(directory.get(), name.c_str(), 0);
      continue;
    }
    for (std::string& line : lines(read_fd(file.get(), lease_limit, name)))
      held.insert(std::move(line));
  }
  return held;
}

std::string boot_id() {
  std::string text = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

uint64_t process_start(int64_t pid) {
  const auto text = try_read_file_at(AT_FDCWD, "/proc/" + std::to_string(pid) + "/stat", 8192);
  if (!text) return 0;
  // The name in parentheses may hold anything; fields are counted from its end (field 2).
  size_t at = text->rfind(')');
  if (at == text->npos) return 0;
  // One that nobody has waited for yet does nothing any more.
  const char state = at + 2 < text->size() ? (*text)[at + 2] : 'X';
  if (state == 'Z' || state == 'X') return 0;
  for (int field = 2; field < 22; ++field) {
    at = text->find(' ', at + 1);
    if (at == text->npos) return 0;
  }
  const std::string_view rest = std::string_view(*text).substr(at + 1);
  return parse_number<uint64_t>(rest.substr(0, rest.find(' '))).value_or(0);
}

}  // namespace kiln
