#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "builder/cli/output.hh"
#include "builder/cli/template.hh"
#include "builder/cli/time.hh"
#include "builder/cli/verb.hh"
#include "builder/store/image.hh"
#include "builder/store/near_names.hh"

namespace kiln::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr Option inspect_options[] = {
    {.letter = 'f',
     .name = "format",
     .argument = "TEMPLATE|json",
     .help = "one field or text with fields: {{.Id}}, {{json .Config.Env}}"},
    {.name = "type",
     .argument = "PART",
     .help = "a summary, or one document as it is stored",
     .initial = "image",
     .choices = "image|config|manifest|index|layers"},
    {.name = "platform", .argument = "OS/ARCH[/VARIANT]", .help = "of an image for several"},
};

std::optional<oci::Platform> platform_option(const Arguments& arguments) {
  const auto text = arguments.value("platform");
  if (!text) return std::nullopt;
  auto parsed = oci::parse_platform(*text);
  if (!parsed) throw UsageError("--platform: '" + *text + "' is no platform, like linux/arm64");
  return parsed;
}

Json layers_of(const Image& image) {
  Json list = Json::array();
  for (size_t i = 0; i < image.manifest.layers.size(); ++i) {
    const oci::Descriptor& blob = image.manifest.layers[i];
    list.push_back({{"Digest", blob.digest.text()},
                    {"DiffId", image.config.diff_ids[i].text()},
                    {"Size", blob.size},
                    {"MediaType", blob.media_type}});
  }
  return list;
}

Json summary(const Store& store, const Image& image) {
  Json names = Json::array(), digests = Json::array();
  for (const NamedImage& entry : store.images()) {
    if (entry.descriptor.digest != image.top.digest || entry.name.empty()) continue;
    const auto r = parse_reference(entry.name);
    names.push_back(r ? r->familiar() : entry.name);
    if (r) digests.push_back(r->familiar_name() + "@" + image.top.digest.text());
  }
  const Json config = Json::parse(oci::write(image.config));
  Json j = Json::object();
  j["Id"] = image.id().text();
  j["RepoTags"] = std::move(names);
  j["RepoDigests"] = std::move(digests);
  j["Digest"] = image.top.digest.text();
  j["ManifestDigest"] = image.manifest_blob.digest.text();
  j["MediaType"] = image.manifest.media_type;
  j["Created"] = image.config.created;
  j["Author"] = image.config.author;
  j["Architecture"] = image.config.architecture;
  j["Variant"] = image.config.variant;
  j["Os"] = image.config.os;
  j["Size"] = image.size();
  j["Config"] = config.at("config");
  j["RootFS"] = {{"Type", "layers"}, {"Layers", config.at("rootfs").at("diff_ids")}};
  j["Layers"] = layers_of(image);
  Json annotations = Json::object();
  for (const auto& [key, value] : image.manifest.annotations) annotations[key] = value;
  j["Annotations"] = std::move(annotations);
  return j;
}

int inspect(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  const std::string type = arguments.text("type");
  const auto platform = platform_option(arguments);
  const auto format = arguments.value("format");
  Json list = Json::array();
  for (const std::string& text : arguments.operands()) {
    if (type == "index") {  // needs no manifest for this platform
      const auto entry = find_image(store, text);
      if (!entry) throw no_such_image(store, text);
      list.push_back(Json::parse(store.read_blob(entry->descriptor.digest)));
      continue;
    }
    const Image image = load_image(store, text, platform);
    if (type == "image")
      list.push_back(summary(store, image));
    else if (type == "layers")
      list.push_back(layers_of(image));
    else
      list.push_back(Json::parse(store.read_blob(type == "config" ? image.manifest.config.digest
                                                                  : image.manifest_blob.digest)));
  }
  if (format) {
    for (const Json& item : list) print(render(*format, item) + "\n");
    return 0;
  }
  // One document is printed as such; summaries are a list, as docker inspect has them.
  const Json& shown = type != "image" && list.size() == 1 ? list[0] : list;
  print(json_text(shown, 2) + "\n");
  return 0;
}

constexpr Option history_options[] = {
    {.name = "no-trunc", .help = "whole commands"},
    {.letter = 'q', .name = "quiet", .help = "layer digests only"},
    {.name = "format",
     .argument = "TEMPLATE|json",
     .help = "each step by fields: {{.Layer}} {{.Created}} {{.CreatedBy}} {{.Size}} {{.Comment}}"},
};

int history(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  const Image image = load_image(store, arguments.operands()[0]);
  std::vector<Json> steps;
  size_t layer = 0;
  for (const oci::History& h : image.config.history) {
    const bool has_layer = !h.empty_layer && layer < image.manifest.layers.size();
    const oci::Descriptor* blob = has_layer ? &image.manifest.layers[layer++] : nullptr;
    steps.push_back({{"Layer", blob ? blob->digest.text() : ""},
                     {"Created", h.created},
                     {"CreatedBy", h.created_by},
                     {"Size", blob ? blob->size : 0},
                     {"Comment", h.comment}});
  }
  // Layers that the history does not explain are still there.
  for (; layer < image.manifest.layers.size(); ++layer)
    steps.push_back({{"Layer", image.manifest.layers[layer].digest.text()},
                     {"Created", ""},
                     {"CreatedBy", "<not in the history>"},
                     {"Size", image.manifest.layers[layer].size},
                     {"Comment", ""}});
  std::ranges::reverse(steps);  // newest first, as docker history

  if (const auto format = arguments.value("format")) {
    for (const Json& step : steps) print(render(*format, step) + "\n");
    return 0;
  }
  std::vector<std::vector<std::string>> table{
      {"LAYER", "CREATED", "CREATED BY", "SIZE", "COMMENT"}};
  const int64_t now = time(nullptr);
  for (const Json& step : steps) {
    const std::string digest = step["Layer"], by = step["CreatedBy"];
    if (arguments.has("quiet")) {
      if (!digest.empty()) print(digest + "\n");
      continue;
    }
    const auto created = parse_rfc3339(step["Created"].get_ref<const std::string&>());
    std::string shown = printable(by);
    if (!arguments.has("no-trunc") && shown.size() > 45) {
      size_t cut = 44;
      while (cut > 0 && (static_cast<unsigned char>(shown[cut]) & 0xc0) == 0x80) --cut;
      shown = shown.substr(0, cut) + "\xe2\x80\xa6";
    }
    table.push_back({digest.empty()              ? "-"
                     : arguments.has("no-trunc") ? digest
                                                 : short_id(digest),
                     created ? human_age(*created, now) : "", shown, human_size(step["Size"]),
                     printable(step["Comment"].get_ref<const std::string&>())});
  }
  if (!arguments.has("quiet")) print(columns(table));
  return 0;
}

}  // namespace

extern const Verb inspect_verb;
const Verb inspect_verb{
    .name = "inspect",
    .operands = "IMAGE...",
    .summary = "Show what an image is: its configuration, manifest and layers.",
    .options = inspect_options,
    .examples =
        "kiln inspect my-app\nkiln inspect --format '{{json .Config.Env}}' my-app\n"
        "kiln inspect --type manifest my-app",
    .least = 1,
    .completes = Completes::image,
    .run = inspect,
};

extern const Verb history_verb;
const Verb history_verb{
    .name = "history",
    .operands = "IMAGE",
    .summary = "Show the steps that made an image, newest first.",
    .options = history_options,
    .examples = "kiln history --no-trunc my-app",
    .least = 1,
    .most = 1,
    .completes = Completes::image,
    .run = history,
};

}  // namespace kiln::cli
