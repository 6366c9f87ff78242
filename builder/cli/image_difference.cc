#include "builder/cli/image_difference.hh"

#include <algorithm>

#include "builder/cli/output.hh"
#include "builder/store/layer_blob.hh"

namespace kiln::cli {

namespace {

LayerIndex index_of(Store& store, const Image& image, size_t i) {
  return index_of_layer(store, {image.manifest.layers[i], image.config.diff_ids[i]});
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

std::vector<FileDifference> compare(const LayerIndex& a, const LayerIndex& b) {
  std::vector<FileDifference> changes;
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

}  // namespace

std::vector<LayerDifference> compare_layers(Store& store, const Image& a, const Image& b) {
  std::vector<LayerDifference> out;
  const auto &before = a.config.diff_ids, &after = b.config.diff_ids;
  for (size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
    const bool in_a = i < before.size(), in_b = i < after.size();
    if (in_a && in_b && before[i] == after[i]) continue;
    out.push_back({i + 1, in_a ? before[i].text() : "", in_b ? after[i].text() : "",
                   compare(in_a ? index_of(store, a, i) : LayerIndex(),
                           in_b ? index_of(store, b, i) : LayerIndex())});
  }
  return out;
}

std::string difference_text(const LayerDifference& layer) {
  const auto name = [](const std::string& id) { return id.empty() ? "none" : short_id(id); };
  std::string text = "layer " + std::to_string(layer.number) + ": " + name(layer.before) + " -> " +
                     name(layer.after) +
                     (layer.files.empty() ? " (same files, other order or encoding)" : "") + "\n";
  for (const FileDifference& f : layer.files)
    text += std::string("  ") + f.kind + " " + printable("/" + f.path) +
            (f.what.empty() ? "" : "  (" + printable(f.what) + ")") + "\n";
  return text;
}

}  // namespace kiln::cli
