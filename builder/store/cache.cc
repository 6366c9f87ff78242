#include "builder/store/cache.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t record_limit = size_t{16} << 20;
constexpr const char* records = "cache";
constexpr const char* slots = "cache-slots";  // sha256 of a slot → key of its newest record

Fd sub(int kiln_directory, const char* name) {
  make_dir_at(kiln_directory, name);
  return open_dir_at(kiln_directory, name);
}

std::string slot_file(const std::string& slot) {
  return std::string(oci::Digest::sha256(slot).hex());
}

oci::Digest digest_of(const Json& text) {
  auto parsed = oci::Digest::parse(text.get_ref<const std::string&>());
  if (!parsed) throw Error(parsed.error());
  return std::move(*parsed);
}

}  // namespace

std::string write_record(const CacheRecord& record) {
  Json j = Json::object();
  j["key"] = record.key.text();
  j["slot"] = record.slot;
  j["created"] = record.created;
  j["patch"] = record.patch;
  j["layers"] = Json::array();
  for (const CachedLayer& layer : record.layers)
    j["layers"].push_back(
        {{"blob", Json::parse(oci::write(layer.blob))}, {"diff_id", layer.diff_id.text()}});
  j["parts"] = Json::array();
  for (const auto& [name, value] : record.parts) j["parts"].push_back({name, value});
  // The patch and parts are the solver's text; a byte that is no UTF-8 would make the whole build
  // fail here.
  std::string text = j.dump(-1, ' ', false, Json::error_handler_t::replace);
  // A record cut short or touched by a stray write must read as damaged, never as another result.
  return text + "\n" + oci::Digest::sha256(text).text() + "\n";
}

std::optional<CacheRecord> read_record(std::string_view text) {
  const size_t end = text.find('\n');
  if (end == text.npos ||
      text.substr(end + 1) != oci::Digest::sha256(text.substr(0, end)).text() + "\n")
    return std::nullopt;
  const Json j = Json::parse(text.substr(0, end), nullptr, false);
  try {
    CacheRecord r;
    r.key = digest_of(j.at("key"));
    r.slot = j.at("slot");
    r.created = j.at("created");
    r.patch = j.at("patch");
    for (const Json& layer : j.at("layers"))
      r.layers.push_back({oci::read_descriptor(layer.at("blob").dump(), "cache record"),
                          digest_of(layer.at("diff_id"))});
    for (const Json& part : j.at("parts")) r.parts.emplace_back(part.at(0), part.at(1));
    return r;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<CacheRecord> BuildCache::find(const oci::Digest& key) {
  const Fd directory = sub(store_.records(), records);
  const std::string name(key.hex());
  const auto text = try_read_file_at(directory.get(), name, record_limit);
  if (!text) return std::nullopt;
  auto record = read_record(*text);
  if (!record || record->key != key) return std::nullopt;
  for (const CachedLayer& layer : record->layers)
    // A power failure can leave a blob short that was not synced yet.
    if (store_.blob_size(layer.blob.digest) != static_cast<uint64_t>(layer.blob.size) ||
        !store_.hold(layer.blob.digest))
      return std::nullopt;
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  (void)utimensat(directory.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW);
  return record;
}

void BuildCache::put(CacheRecord record, Sync sync) {
  record.created = time(nullptr);
  const Fd directory = sub(store_.records(), records);
  write_file_atomic(directory.get(), std::string(record.key.hex()), write_record(record), 0644,
                    sync);
  if (!record.slot.empty()) note(record.slot, record.key);
}

void BuildCache::note(const std::string& slot, const oci::Digest& key) {
  const Fd by_slot = sub(store_.records(), slots);
  write_file_atomic(by_slot.get(), slot_file(slot), key.text());
}

std::optional<CacheRecord> BuildCache::newest(const std::string& slot) const {
  const Fd by_slot = sub(store_.records(), slots);
  const auto key = try_read_file_at(by_slot.get(), slot_file(slot), 256);
  if (!key) return std::nullopt;
  const auto digest = oci::Digest::parse(*key);
  if (!digest) return std::nullopt;
  const Fd directory = sub(store_.records(), records);
  const auto text = try_read_file_at(directory.get(), std::string(digest->hex()), record_limit);
  return text ? read_record(*text) : std::nullopt;
}

std::vector<BuildCache::Stored> BuildCache::all() const {
  std::vector<Stored> result;
  Fd directory = sub(store_.records(), records);
  Fd listing(openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* stream = listing ? fdopendir(listing.get()) : nullptr;
  if (stream == nullptr) throw SysError("read the build cache");
  listing.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);
  while (const dirent* entry = readdir(stream)) {
    const auto key = oci::Digest::parse(std::string("sha256:") + entry->d_name);
    struct stat status {};
    if (!key || fstatat(directory.get(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    Stored stored{*key, status.st_mtim.tv_sec, std::nullopt};
    if (const auto text = try_read_file_at(directory.get(), entry->d_name, record_limit)) {
      stored.record = read_record(*text);
      if (stored.record && stored.record->key != *key) stored.record.reset();
    }
    result.push_back(std::move(stored));
  }
  return result;
}

void BuildCache::remove(const oci::Digest& key) {
  const Fd directory = sub(store_.records(), records);
  if (unlinkat(directory.get(), std::string(key.hex()).c_str(), 0) != 0 && errno != ENOENT)
    throw SysError("remove cache record " + key.text());
}

}  // namespace kiln
