#include <nlohmann/json.hpp>

#include "builder/cli/image_difference.hh"
#include "builder/cli/output.hh"
#include "builder/cli/template.hh"
#include "builder/cli/verb.hh"
#include "builder/store/image.hh"

namespace kiln::cli {

namespace {

constexpr Option diff_options[] = {
    {.name = "format",
     .argument = "KIND",
     .help = "of the output",
     .initial = "text",
     .choices = "text|json"},
};

int diff(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  const Image a = load_image(store, arguments.operands()[0]);
  const Image b = load_image(store, arguments.operands()[1]);
  const bool json = arguments.text("format") == "json";
  auto list = nlohmann::ordered_json::array();
  const std::vector<LayerDifference> layers = compare_layers(store, a, b);
  for (const LayerDifference& layer : layers) {
    if (!json) {
      print(difference_text(layer));
      continue;
    }
    auto files = nlohmann::ordered_json::array();
    for (const FileDifference& f : layer.files)
      files.push_back({{"Kind", std::string(1, f.kind)}, {"Path", "/" + f.path}, {"What", f.what}});
    list.push_back({{"Layer", layer.number}, {"Files", std::move(files)}});
  }
  if (json) print(json_text(list, 2) + "\n");
  return layers.empty() ? 0 : 1;
}

}  // namespace

extern const Verb diff_verb;
const Verb diff_verb{
    .name = "diff",
    .operands = "IMAGE IMAGE",
    .summary =
        "Show the files that differ between two images, layer by layer; exits with 1 when "
        "there are any.",
    .options = diff_options,
    .examples = "kiln diff my-app:1.0 my-app:1.1",
    .least = 2,
    .most = 2,
    .completes = Completes::image,
    .run = diff,
};

}  // namespace kiln::cli
