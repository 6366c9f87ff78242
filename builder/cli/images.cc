#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "builder/cli/output.hh"
#include "builder/cli/template.hh"
#include "builder/cli/time.hh"
#include "builder/cli/verb.hh"
#include "builder/store/image.hh"

namespace kiln::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr Option images_options[] = {
    {.letter = 'a', .name = "all", .help = "also images that have lost their name"},
    {.letter = 'q', .name = "quiet", .help = "ids only"},
    {.name = "no-trunc", .help = "whole ids"},
    {.name = "digests", .help = "also the digest of the manifest"},
    {.name = "format",
     .argument = "TEMPLATE|json",
     .help = "each image by fields: {{.ID}} "
             "{{.Name}} {{.Repository}} {{.Tag}} {{.Digest}} {{.Created}} {{.Size}} {{.Platform}}"},
};

struct Row {
  std::string name, repository = "<none>", tag = "<none>", id, digest, created, platform;
  int64_t seconds = 0, size = 0;
};

Row row_of(Store& store, const NamedImage& entry) {
  Row row;
  row.digest = entry.descriptor.digest.text();
  row.name = entry.name;
  if (const auto r = parse_reference(entry.name); r && entry.name.find('/') != std::string::npos) {
    row.repository = r->familiar_name();
    row.tag = r->tag.empty() ? "<none>" : r->tag;
    row.name = r->familiar();
  } else if (!entry.name.empty()) {
    row.tag = entry.name;  // a foreign tool's bare tag
  }
  try {
    const Image image = load_image(store, entry.descriptor, entry.name);
    row.id = image.id().text();
    row.created = image.config.created;
    row.size = image.size();
    row.platform = oci::platform_text({.architecture = image.config.architecture,
                                       .os = image.config.os,
                                       .variant = image.config.variant});
  } catch (const std::exception&) {
    // For another platform, or damaged: still listed, by its digest.
    row.id = entry.descriptor.digest.text();
    row.platform = "?";
  }
  row.seconds = parse_rfc3339(row.created).value_or(0);
  return row;
}

int images(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  std::optional<Reference> wanted;
  if (!arguments.operands().empty()) {
    auto parsed = parse_reference(arguments.operands()[0]);
    if (!parsed) throw UsageError("reference '" + arguments.operands()[0] + "' " + parsed.error());
    wanted = std::move(*parsed);
  }
  std::vector<Row> rows;
  for (const NamedImage& entry : store.images()) {
    if (entry.name.empty() && !arguments.has("all")) continue;
    if (wanted) {
      const auto r = parse_reference(entry.name);
      if (!r || r->name() != wanted->name() || (!wanted->tag.empty() && r->tag != wanted->tag))
        continue;
    }
    rows.push_back(row_of(store, entry));
  }
  std::ranges::stable_sort(rows, std::greater(), &Row::seconds);

  const auto shown_id = [&](const std::string& id) {
    return arguments.has("no-trunc") ? id : short_id(id);
  };
  if (const auto format = arguments.value("format")) {
    for (const Row& row : rows) {
      const Json data = {
          {"ID", shown_id(row.id)}, {"Name", row.name},        {"Repository", row.repository},
          {"Tag", row.tag},         {"Digest", row.digest},    {"Created", row.created},
          {"Size", row.size},       {"Platform", row.platform}};
      print(render(*format, data) + "\n");
    }
    return 0;
  }
  if (arguments.has("quiet")) {
    for (const Row& row : rows) print(shown_id(row.id) + "\n");
    return 0;
  }
  std::vector<std::vector<std::string>> table{{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"}};
  if (arguments.has("digests")) table[0].insert(table[0].begin() + 2, "DIGEST");
  const int64_t now = time(nullptr);
  for (const Row& row : rows) {
    std::vector<std::string> line{printable(row.repository), printable(row.tag), shown_id(row.id),
                                  row.created.empty() ? "" : human_age(row.seconds, now),
                                  human_size(row.size)};
    if (arguments.has("digests")) line.insert(line.begin() + 2, row.digest);
    table.push_back(std::move(line));
  }
  print(columns(table));
  return 0;
}

}  // namespace

extern const Verb images_verb;
const Verb images_verb{
    .name = "images",
    .operands = "[NAME[:TAG]]",
    .summary = "List the images of the store.",
    .options = images_options,
    .examples = "kiln images\nkiln images --format '{{.Name}} {{.Size}}'",
    .most = 1,
    .completes = Completes::image,
    .run = images,
};

}  // namespace kiln::cli
