// `kiln verify`: does building the same input again give the same image?
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "builder/cli/build.hh"
#include "builder/cli/build_options.hh"
#include "builder/cli/build_request.hh"
#include "builder/cli/image_difference.hh"
#include "builder/cli/output.hh"
#include "builder/cli/time.hh"

namespace kiln::cli {

namespace {

// Where results go, and what a cache could do, says nothing here.
constexpr std::string_view left_out[] = {"tag",   "output", "iidfile", "metadata-file",
                                         "check", "push",   "load",    "quiet"};

constexpr bool is_left_out(std::string_view name) {
  return std::ranges::find(left_out, name) != std::end(left_out);
}

constexpr auto options = [] {
  std::array<Option, std::size(build_options) - std::size(left_out)> out{};
  size_t n = 0;
  for (const Option& option : build_options)
    if (!is_left_out(option.name)) out[n++] = option;
  return out;
}();

// Members of two documents that differ: "config.Env.0: a -> b".
void compare_json(const nlohmann::json& a, const nlohmann::json& b, const std::string& at,
                  std::string& text) {
  if (a == b) return;
  const auto member = [](const nlohmann::json& of, const auto& key) {
    return of.contains(key) ? of.at(key) : nlohmann::json();
  };
  const std::string prefix = at.empty() ? "" : at + ".";
  if (a.is_object() && b.is_object()) {
    nlohmann::json all = a;
    all.update(b);
    for (const auto& [key, unused] : all.items())
      compare_json(member(a, key), member(b, key), prefix + key, text);
    return;
  }
  if (a.is_array() && b.is_array()) {
    for (size_t i = 0; i < std::max(a.size(), b.size()); ++i)
      compare_json(i < a.size() ? a[i] : nlohmann::json(), i < b.size() ? b[i] : nlohmann::json(),
                   prefix + std::to_string(i), text);
    return;
  }
  const auto shown = [](const nlohmann::json& value) {
    return value.is_null()
               ? std::string("none")
               : printable(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  };
  text += "  " + printable(at) + ": " + shown(a) + " -> " + shown(b) + "\n";
}

std::string config_difference(const Store& store, const Image& a, const Image& b) {
  auto before = nlohmann::json::parse(store.read_blob(a.id()), nullptr, false);
  auto after = nlohmann::json::parse(store.read_blob(b.id()), nullptr, false);
  // Layers are told one by one.
  before.erase("rootfs");
  after.erase("rootfs");
  std::string text;
  compare_json(before, after, "", text);
  return text;
}

// Diff ids and config are what is promised across versions of the compression library.
int compare(Store& store, const Image& was, const Image& now) {
  const std::string again = short_id(now.manifest_blob.digest.text());
  if (was.manifest_blob.digest == now.manifest_blob.digest) {
    print("equal: " + was.manifest_blob.digest.text() + "\n");
    return 0;
  }
  if (was.id() == now.id()) {
    size_t blobs = 0;
    for (size_t i = 0; i < was.manifest.layers.size(); ++i)
      blobs += was.manifest.layers[i].digest != now.manifest.layers[i].digest ? 1U : 0U;
    print("equal: the same files and configuration, " + was.id().text() + "\n");
    if (blobs != 0)
      print("only the compression differs, of " + std::to_string(blobs) + " of " +
            std::to_string(was.manifest.layers.size()) + " layers\n");
    else
      print("only the manifest differs (annotations, media types): " +
            short_id(was.manifest_blob.digest.text()) + " -> " + again + "\n");
    return 0;
  }
  print("different: " + short_id(was.id().text()) + " -> " + short_id(now.id().text()) + "\n");
  if (const std::string text = config_difference(store, was, now); !text.empty())
    print("configuration:\n" + text);
  size_t files = 0, times = 0;
  for (const LayerDifference& layer : compare_layers(store, was, now)) {
    print(difference_text(layer));
    files += layer.files.size();
    times += static_cast<size_t>(std::ranges::count(layer.files, "time", &FileDifference::what));
  }
  if (files != 0)
    print(std::to_string(files) + " files differ, " + std::to_string(times) +
          " of them in nothing but their time" +
          (times != 0 ? " (SOURCE_DATE_EPOCH makes times equal)" : "") + "\n");
  return 1;
}

int verify(const Arguments& arguments) {
  solve::BuildRequest request = build_request(arguments);
  request.no_cache = true;
  request.no_memo = true;
  request.remember = false;
  const std::string wanted = arguments.operands()[0];
  const oci::Platform platform = request.inputs.target_platform;
  {
    // What is not there, or no time, is known before anything is built.
    Store store(Store::default_directory(arguments.text("store")));
    const Image image = load_image(store, wanted, platform);
    if (!request.epoch) request.epoch = parse_rfc3339(image.config.created);
  }
  return build_for(arguments, std::move(request),
                   [&](Store& store, const solve::ResultImage& made) {
                     const Image was = load_image(store, wanted, platform);
                     return compare(store, was, load_image(store, made.manifest));
                   });
}

}  // namespace

extern const Verb verify_verb;
const Verb verify_verb{
    .name = "verify",
    .operands = "IMAGE CONTEXT|-|URL",
    .summary =
        "Build an image's input again, without the cache, and compare: exits with 1 when it "
        "differs.",
    .options = options,
    .examples = "kiln verify app:1.0 .\nkiln verify -f Dockerfile.prod --build-arg V=2 app:1.0 .",
    .least = 2,
    .most = 2,
    .error_exit = 2,
    .completes = Completes::image,
    .run = verify,
};

}  // namespace kiln::cli
