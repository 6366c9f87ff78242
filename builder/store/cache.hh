// Owns: records of the build cache: from the key of a step to what the step made.
// Does not own: how keys are computed or what a record's patch means (solve/), or blobs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "builder/store/store.hh"

namespace kiln {

struct CachedLayer {
  oci::Descriptor blob;
  oci::Digest diff_id;
  bool operator==(const CachedLayer&) const = default;
};

struct CacheRecord {
  oci::Digest key;
  std::string slot;  // which step of which file this is, whatever its key: for --explain
  std::vector<CachedLayer> layers;
  std::string patch;  // the solver's own text (what the step did to the config …)
  // Named parts of the key in order, each with a digest or short text: "files", "env" …
  std::vector<std::pair<std::string, std::string>> parts;
  int64_t created = 0;  // seconds since the epoch; set by put()

  bool operator==(const CacheRecord&) const = default;
};

class BuildCache {
 public:
  explicit BuildCache(Store& store) : store_(store) {}

  // The record of `key` if all its blobs are there; they are then held, and the use is noted. A
  // damaged record, or one that lost a blob, is a miss.
  std::optional<CacheRecord> find(const oci::Digest& key);
  // Writes the record last, after its blobs, and remembers it as the newest of its slot. A record
  // that a power failure lost or damaged is a miss, no more: syncing it is for who wants to keep
  // it.
  void put(CacheRecord record, Sync sync = Sync::no);
  // Also remembers it as the newest of a further slot.
  void note(const std::string& slot, const oci::Digest& key);
  // The newest record of a slot, however its key differs; its blobs may be gone.
  std::optional<CacheRecord> newest(const std::string& slot) const;

  struct Stored {
    oci::Digest key;
    int64_t used = 0;                   // seconds since the epoch
    std::optional<CacheRecord> record;  // nullopt: damaged
  };
  std::vector<Stored> all() const;
  void remove(const oci::Digest& key);

 private:
  Store& store_;
};

// Text form; parse gives nullopt for anything that put() did not write.
std::string write_record(const CacheRecord& record);
std::optional<CacheRecord> read_record(std::string_view text);

}  // namespace kiln
