#include <algorithm>
#include <nlohmann/json.hpp>

#include "builder/cli/output.hh"
#include "builder/cli/template.hh"
#include "builder/cli/verb.hh"
#include "builder/layer/decompress.hh"
#include "builder/store/image.hh"

namespace kiln::cli {

namespace {

constexpr Option options[] = {
    {.name = "format",
     .argument = "KIND",
     .help = "of the output",
     .initial = "text",
     .choices = "text|json"},
};

LayerIndex index_of(Store& store, const Image& image, size_t i) {
  if (auto index = store.layer_index(image.config.diff_ids[i])) return std::move(*index);
  const Fd file = store.open_blob(image.manifest.layers[i].digest);
  FdSource raw(file.get());
  const auto plain = decompress(raw);
  LayerIndex index = LayerIndex::from_tar(*plain);
  store.put_layer_index(image.config.diff_ids[i], index);
  return index;
}

// What differs, in words: "mode 644 → 755, content".
std::string difference(const IndexEntry& a, const IndexEntry& b) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  const auto octal = [](uint32_t mode) {
    char buffer[16];
    snprintf(buffer, sizeof buffer, "%o", mode);
    return std::string(buffer);
  };
  if (a.type != b.type) add("type");
  if (a.mode != b.mode) add("mode " + octal(a.mode) + " -> " + octal(b.mode));
  if (a.uid != b.uid || a.gid != b.gid)
    add("owner " + std::to_string(a.uid) + ":" + std::to_string(a.gid) + " -> " +
        std::to_string(b.uid) + ":" + std::to_string(b.gid));
  if (a.size != b.size)
    add("size " + std::to_string(a.size) + " -> " + std::to_string(b.size));
  else if (a.content_digest != b.content_digest)
    add("content");
  if (a.link != b.link) add("link " + a.link + " -> " + b.link);
  if (a.mtime != b.mtime) add("time");
  return text;
}

struct Change {
  char kind;  // A added, D removed (from the layer), M modified
  std::string path, what;
};

std::vector<Change> compare(const LayerIndex& a, const LayerIndex& b) {
  std::vector<Change> changes;
  const auto before = a.entries(), after = b.entries();
  size_t i = 0, j = 0;
  const auto label = [](const IndexEntry& e) {
    return e.type == FileType::whiteout ? "deletes what is below"
           : e.type == FileType::opaque ? "hides what is below"
                                        : "";
  };
  while (i < before.size() || j < after.size()) {
    const int order = i == before.size()  ? 1
                      : j == after.size() ? -1
                                          : before[i].path.compare(after[j].path);
    if (order < 0) {
      changes.push_back({'D', before[i].path, label(before[i])});
      ++i;
    } else if (order > 0) {
      changes.push_back({'A', after[j].path, label(after[j])});
      ++j;
    } else {
      if (const std::string what = difference(before[i], after[j]); !what.empty())
        changes.push_back({'M', after[j].path, what});
      ++i, ++j;
    }
  }
  return changes;
}

int diff(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  const Image a = load_image(store, arguments.operands()[0]);
  const Image b = load_image(store, arguments.operands()[1]);
  const bool json = arguments.text("format") == "json";
  auto list = nlohmann::ordered_json::array();
  const size_t layers = std::max(a.config.diff_ids.size(), b.config.diff_ids.size());
  bool differs = false;
  for (size_t i = 0; i < layers; ++i) {
    const bool in_a = i < a.config.diff_ids.size(), in_b = i < b.config.diff_ids.size();
    if (in_a && in_b && a.config.diff_ids[i] == b.config.diff_ids[i]) continue;
    differs = true;
    const auto changes = compare(in_a ? index_of(store, a, i) : LayerIndex(),
                                 in_b ? index_of(store, b, i) : LayerIndex());
    if (!json) {
      print("layer " + std::to_string(i + 1) + ": " +
            (in_a ? short_id(a.config.diff_ids[i].text()) : "none") + " -> " +
            (in_b ? short_id(b.config.diff_ids[i].text()) : "none") +
            (changes.empty() ? " (same files, other order or encoding)" : "") + "\n");
      for (const Change& c : changes)
        print(std::string("  ") + c.kind + " " + printable("/" + c.path) +
              (c.what.empty() ? "" : "  (" + printable(c.what) + ")") + "\n");
      continue;
    }
    auto files = nlohmann::ordered_json::array();
    for (const Change& c : changes)
      files.push_back({{"Kind", std::string(1, c.kind)}, {"Path", "/" + c.path}, {"What", c.what}});
    list.push_back({{"Layer", i + 1}, {"Files", std::move(files)}});
  }
  if (json) print(json_text(list, 2) + "\n");
  return differs ? 1 : 0;
}

}  // namespace

extern const Verb diff_verb;
const Verb diff_verb{
    .name = "diff",
    .operands = "IMAGE IMAGE",
    .summary =
        "Show the files that differ between two images, layer by layer; exits with 1 when "
        "there are any.",
    .options = options,
    .examples = "kiln diff my-app:1.0 my-app:1.1",
    .least = 2,
    .most = 2,
    .completes = Completes::image,
    .run = diff,
};

}  // namespace kiln::cli
