#include "builder/context/content_digest.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <latch>
#include <mutex>
#include <tuple>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/sha256.hh"

namespace kiln {

namespace {

// Sixteen bytes, so that the records behind it are aligned.
constexpr std::string_view magic("kiln memo 1\n\0\0\0\0", 16);
constexpr int64_t settled_ns = 2'000'000'000;

struct Record {
  uint64_t device, inode, size;
  int64_t mtime_ns, ctime_ns;
  uint64_t mode;
  DigestMemo::Raw digest;

  auto key() const { return std::tie(device, inode); }
};
static_assert(sizeof(Record) == 80 && magic.size() % alignof(Record) == 0);

Record record_of(const ContextEntry& file) {
  return {file.device,     file.inode, file.entry.size, file.mtime_ns, file.ctime_ns,
          file.entry.mode, {}};
}

}  // namespace

struct DigestMemo::State {
  void* map = MAP_FAILED;
  size_t map_size = 0;
  std::span<const Record> old;
  std::vector<std::atomic<bool>> used;
  std::mutex mutex;
  // Many, and never moved while they grow.
  std::deque<Record> fresh;
  // What this build read a moment ago and no other may believe.
  std::deque<Record> noted;
  size_t fresh_sorted = 0, noted_sorted = 0;
  bool at_once = false;  // `fresh` is searched too

  ~State() {
    if (map != MAP_FAILED) ::munmap(map, map_size);
  }

  void open(int directory, const std::string& name) {
    const Fd fd(::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    const auto size = static_cast<size_t>(status.st_size);
    constexpr size_t around = magic.size() + sizeof(DigestMemo::Raw);
    if (size < around || (size - around) % sizeof(Record) != 0) return;
    map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd.get(), 0);
    if (map == MAP_FAILED) return;
    map_size = size;
    const auto* bytes = static_cast<const char*>(map);
    Sha256 hash;
    hash.update(std::string_view(bytes, size - sizeof(DigestMemo::Raw)));
    const Sha256::Raw sum = hash.finish();
    if (std::memcmp(bytes, magic.data(), magic.size()) != 0 ||
        std::memcmp(bytes + size - sum.size(), sum.data(), sum.size()) != 0)
      return;
    old = std::span(static_cast<const Record*>(static_cast<const void*>(bytes + magic.size())),
                    (size - around) / sizeof(Record));
    used = std::vector<std::atomic<bool>>(old.size());
  }
};

DigestMemo::DigestMemo() : state_(std::make_unique<State>()) {}
DigestMemo::~DigestMemo() = default;
DigestMemo::DigestMemo(DigestMemo&&) noexcept = default;
DigestMemo& DigestMemo::operator=(DigestMemo&&) noexcept = default;

DigestMemo DigestMemo::load(int directory, const std::string& name) {
  DigestMemo memo;
  memo.state_->open(directory, name);
  return memo;
}

std::optional<DigestMemo::Raw> DigestMemo::find(const ContextEntry& file) const {
  const Record wanted = record_of(file);
  const auto before = [](const Record& a, const Record& b) { return a.key() < b.key(); };
  const auto matches = [&](const Record& r) {
    return std::memcmp(&r, &wanted, offsetof(Record, digest)) == 0;
  };
  const auto at = std::lower_bound(state_->old.begin(), state_->old.end(), wanted, before);
  if (at != state_->old.end() && matches(*at)) {
    state_->used[static_cast<size_t>(at - state_->old.begin())].store(true,
                                                                      std::memory_order_relaxed);
    return at->digest;
  }
  const std::lock_guard lock(state_->mutex);
  if (!state_->at_once) return std::nullopt;
  const auto among = [&](std::deque<Record>& records, size_t& sorted) -> std::optional<Raw> {
    if (sorted != records.size()) std::ranges::stable_sort(records, before);
    sorted = records.size();
    for (auto r = std::ranges::lower_bound(records, wanted, before);
         r != records.end() && r->key() == wanted.key(); ++r)
      if (matches(*r)) return r->digest;
    return std::nullopt;
  };
  if (auto found = among(state_->fresh, state_->fresh_sorted)) return found;
  return among(state_->noted, state_->noted_sorted);
}

void DigestMemo::note(const ContextEntry& file, int fd, const Raw& digest, int64_t began,
                      bool at_once) {
  // A write through a shared mapping, or within the clock tick of old kernels, changes no field:
  // only files that have been left alone for a while are believed next time.
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw SysError("stat " + file.entry.path);
  const auto ns = [](const struct timespec& t) {
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  };
  const bool same = status.st_dev == file.device && status.st_ino == file.inode &&
                    ns(status.st_mtim) == file.mtime_ns && ns(status.st_ctim) == file.ctime_ns &&
                    static_cast<uint64_t>(status.st_size) == file.entry.size;
  if (!same) return;
  Record record = record_of(file);
  record.digest = digest;
  const bool settled = file.mtime_ns <= began - settled_ns && file.ctime_ns <= began - settled_ns;
  const std::lock_guard lock(state_->mutex);
  state_->at_once = state_->at_once || at_once;
  if (settled)
    state_->fresh.push_back(record);
  else if (at_once)
    state_->noted.push_back(record);
}

void DigestMemo::remember(const ContextEntry& file, const Raw& digest) {
  Record record = record_of(file);
  record.digest = digest;
  const std::lock_guard lock(state_->mutex);
  state_->fresh.push_back(record);
}

void DigestMemo::save(int directory, const std::string& name, size_t limit) {
  std::deque<Record>& all = state_->fresh;
  if (all.empty()) return;
  const bool crowded = all.size() + state_->old.size() > limit;
  for (size_t i = 0; i < state_->old.size(); ++i)
    if (!crowded || state_->used[i]) all.push_back(state_->old[i]);
  // Of two for the same file the fresh one, which stands first, stays.
  std::ranges::stable_sort(all, [](const Record& a, const Record& b) { return a.key() < b.key(); });
  const auto twice =
      std::ranges::unique(all, [](const Record& a, const Record& b) { return a.key() == b.key(); });
  all.erase(twice.begin(), twice.end());
  std::string file(magic);
  file.reserve(magic.size() + all.size() * sizeof(Record) + sizeof(Raw));
  for (const Record& record : all)
    file.append(static_cast<const char*>(static_cast<const void*>(&record)), sizeof record);
  Sha256 hash;
  hash.update(file);
  const Sha256::Raw sum = hash.finish();
  file.append(reinterpret_cast<const char*>(sum.data()), sum.size());
  write_file_atomic(directory, name, file, 0600);
  all.clear();
}

namespace {

// Of a file that the memo does not know.
DigestMemo::Raw read_digest(const Context& context, const ContextEntry& file, DigestMemo* memo) {
  static thread_local Sha256 hash;
  static thread_local std::vector<std::byte> buffer(size_t{128} << 10);
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const int64_t start = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  const Fd fd = context.open_file(file.entry.path);
  uint64_t size = 0;
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      hash.finish();
      throw SysError("read " + file.entry.path);
    }
    if (got == 0) break;
    hash.update(std::span<const std::byte>(buffer).first(static_cast<size_t>(got)));
    size += static_cast<uint64_t>(got);
    if (size >= file.entry.size && static_cast<size_t>(got) < buffer.size()) break;
  }
  const DigestMemo::Raw raw = hash.finish();
  if (memo != nullptr && size == file.entry.size) memo->note(file, fd.get(), raw, start, false);
  return raw;
}

}  // namespace

DigestMemo::Raw digest_file(const Context& context, const ContextEntry& file, DigestMemo* memo) {
  if (memo != nullptr)
    if (const auto known = memo->find(file)) return *known;
  return read_digest(context, file, memo);
}

namespace {

// Digests of the files that the memo does not know, spread over the pool.
std::vector<DigestMemo::Raw> digest_files(const Context& context,
                                          std::span<const ContextEntry> entries,
                                          const DigestOptions& options) {
  std::vector<DigestMemo::Raw> out(entries.size());
  std::vector<size_t> missing;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].entry.type != FileType::file) continue;
    const auto known = options.memo != nullptr ? options.memo->find(entries[i]) : std::nullopt;
    if (known)
      out[i] = *known;
    else
      missing.push_back(i);
  }
  const size_t tasks =
      options.pool == nullptr ? 1 : std::min<size_t>(options.pool->size(), missing.size() / 16 + 1);
  if (missing.empty()) return out;
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failed;
  const auto work = [&] {
    try {
      for (size_t i = next++; i < missing.size(); i = next++)
        out[missing[i]] = read_digest(context, entries[missing[i]], options.memo);
    } catch (...) {
      next = missing.size();
      const std::lock_guard lock(mutex);
      if (!failed) failed = std::current_exception();
    }
  };
  // The caller works too, so that it never waits for a pool that is busy with something else.
  if (tasks > 1) {
    auto done = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(tasks - 1));
    for (size_t t = 1; t < tasks; ++t)
      options.pool->submit([&work, done] {
        work();
        done->count_down();
      });
    work();
    done->wait();
  } else {
    work();
  }
  if (failed) std::rethrow_exception(failed);
  return out;
}

}  // namespace

oci::Digest digest_entries(const Context& context, std::span<const ContextEntry> entries,
                           std::string_view base, const DigestOptions& options) {
  const std::vector<DigestMemo::Raw> files = digest_files(context, entries, options);
  oci::Hasher hash;
  std::string record;
  const auto number = [&record](uint64_t value) {
    for (int i = 0; i < 8; ++i) record += static_cast<char>(value >> (8 * i) & 0xff);
  };
  const auto text = [&](std::string_view value) {
    number(value.size());
    record += value;
  };
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& e = entries[i].entry;
    std::string_view path = e.path;
    if (!base.empty() && path.starts_with(base)) {
      path.remove_prefix(base.size());
      if (path.starts_with('/')) path.remove_prefix(1);
    }
    text(path);
    number(static_cast<uint64_t>(e.type));
    if (options.modes) number(e.mode);
    if (options.owners) number(e.uid), number(e.gid);
    if (e.type == FileType::symlink) text(e.link);
    if (e.type == FileType::char_device || e.type == FileType::block_device)
      number(e.dev_major), number(e.dev_minor);
    if (e.type == FileType::file)
      record.append(reinterpret_cast<const char*>(files[i].data()), files[i].size());
    if (record.size() > 60000) hash.update(record), record.clear();
  }
  hash.update(record);
  return hash.finish();
}

}  // namespace kiln
