#include <ctime>

#include "builder/cli/output.hh"
#include "builder/cli/snapshots.hh"
#include "builder/cli/time.hh"
#include "builder/cli/verb.hh"
#include "builder/solve/work_directory.hh"
#include "builder/steps/bundle.hh"
#include "builder/store/collect.hh"
#include "builder/store/fsck.hh"
#include "builder/sys/number.hh"

namespace kiln::cli {

namespace {

constexpr Option prune_options[] = {
    {.letter = 'a',
     .name = "all",
     .help = "also images that no bundle was made from, and the whole build cache"},
    {.name = "keep-storage",
     .argument = "SIZE",
     .help = "drop the least recently used build cache only until the store is this small"},
    {.name = "filter",
     .argument = "until=TIME",
     .help = "only what was not used since: 24h, 90m, or a date like 2026-01-31T00:00:00Z"},
};

// "24h", "1h30m", "7d", a date, or seconds since the epoch.
int64_t until(std::string_view text, int64_t now) {
  if (const auto date = parse_rfc3339(text)) return *date;
  if (text.size() == 10)
    if (const auto date = parse_rfc3339(std::string(text) + "T00:00:00Z")) return *date;
  if (const auto seconds = kiln::parse_number<int64_t>(text); seconds && *seconds >= 0)
    return *seconds;
  const std::string_view whole = text;
  int64_t age = 0;
  while (!text.empty()) {
    const size_t end = text.find_first_not_of("0123456789");
    const auto n = kiln::parse_number<int32_t>(text.substr(0, end));
    if (end == text.npos || !n) break;
    const char unit = text[end];
    const int64_t length = unit == 's'   ? 1
                           : unit == 'm' ? 60
                           : unit == 'h' ? 3600
                           : unit == 'd' ? 86400
                                         : 0;
    if (length == 0) break;
    age += *n * length;
    text.remove_prefix(end + 1);
    if (text.empty()) return now - age;
  }
  throw UsageError("--filter until: '" + std::string(whole) +
                   "' is neither a duration like 24h nor a date");
}

int run_prune(const Arguments& arguments) {
  PruneOptions wanted;
  wanted.all = arguments.has("all");
  if (const auto size = arguments.value("keep-storage"))
    wanted.keep_storage = static_cast<uint64_t>(parse_size(*size, "--keep-storage"));
  if (const auto filter = arguments.value("filter")) {
    if (!filter->starts_with("until="))
      throw UsageError("--filter: '" + *filter + "' is unknown, expected until=TIME");
    wanted.unused_since = until(std::string_view(*filter).substr(6), time(nullptr));
  }
  Store store(Store::default_directory(arguments.text("store")));
  remove_dead_bundles(store);
  // Before the trees of dead builds go: secrets in them are overwritten first.
  solve::remove_dead_work(store.sub_directory("run"),
                          solve::runtime_state_directory(store.sub_directory("runtime")));
  const auto snapshots = existing_snapshots(store);
  for (const auto& kind : snapshots) wanted.snapshots.push_back(kind.get());
  const Pruned done = prune(store, wanted);
  for (const std::string& image : done.images) print("Deleted: " + printable(image) + "\n");
  print("Freed " + human_size(static_cast<int64_t>(done.bytes)) + ": " +
        std::to_string(done.blobs) + " blobs, " + std::to_string(done.records) +
        " cache records, " + std::to_string(done.snapshots) + " unpacked trees\n");
  return 0;
}

constexpr Option fsck_options[] = {
    {.name = "repair",
     .help = "remove damaged blobs, and the names and records that need them; make damaged indexes "
             "of layers anew"},
};

int run_fsck(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  // Opening them discards the trees of other boots, which were never written for good.
  static_cast<void>(existing_snapshots(store));
  const FsckResult result = fsck(store, arguments.has("repair"));
  bool clean = true;
  for (const Damage& damage : result.damage) {
    print(printable(damage.what) + (damage.repaired ? " (repaired)" : "") + "\n");
    clean = clean && damage.repaired;
  }
  print(std::to_string(result.blobs) + " blobs (" + human_size(static_cast<int64_t>(result.bytes)) +
        "), " + std::to_string(result.images) + " images, " + std::to_string(result.records) +
        " cache records: " +
        (result.damage.empty() ? "clean"
         : clean               ? "repaired"
                               : "damaged") +
        "\n");
  return clean ? 0 : 1;
}

}  // namespace

extern const Verb prune_verb;
const Verb prune_verb{
    .name = "prune",
    .summary =
        "Remove what nothing needs: nameless images, build cache that belongs to no image, "
        "left-overs.",
    .options = prune_options,
    .examples = "kiln prune\nkiln prune --keep-storage 10g --filter until=72h",
    .most = 0,
    .needs_ids = true,
    .run = run_prune,
};

extern const Verb fsck_verb;
const Verb fsck_verb{
    .name = "fsck",
    .summary = "Check every blob, name and cache record of the store.",
    .options = fsck_options,
    .examples = "kiln fsck --repair",
    .most = 0,
    .needs_ids = true,
    .run = run_fsck,
};

}  // namespace kiln::cli
