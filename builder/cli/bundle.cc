#include "builder/steps/bundle.hh"

#include "builder/cli/container_options.hh"
#include "builder/cli/output.hh"
#include "builder/cli/snapshots.hh"

namespace kiln::cli {

namespace {

constexpr auto bundle_options = with_container_rows(std::array{
    Option{.name = "rm", .help = "remove the bundle DIR that kiln made"},
    Option{.name = "platform", .argument = "OS/ARCH[/VARIANT]", .help = "of an image for several"},
});

int bundle(const Arguments& arguments) {
  const auto& operands = arguments.operands();
  Store store(Store::default_directory(arguments.text("store")));
  if (arguments.has("rm")) {
    for (const std::string& directory : operands) remove_bundle(store, directory);
    return 0;
  }
  const size_t named = operands.size() - arguments.after_dashes().size();
  if (named != 2)
    throw UsageError("expected IMAGE and DIR, and the command after --; see 'kiln bundle --help'");
  std::optional<oci::Platform> platform;
  if (const auto text = arguments.value("platform")) {
    platform = oci::parse_platform(*text);
    if (!platform) throw UsageError("--platform: '" + *text + "' is no platform");
  }
  const Image image = load_image(store, operands[0], platform);
  BundleOptions wanted;
  const auto after = arguments.after_dashes();
  wanted.container = container_options(arguments, {after.begin(), after.end()}, "none");
  const auto snapshots = snapshots_for_bundle(store, arguments.text("rootfs"));
  wanted.snapshots = snapshots.get();
  make_bundle(store, image, operands[1], wanted);
  return 0;
}

}  // namespace

extern const Verb bundle_verb;
const Verb bundle_verb{
    .name = "bundle",
    .operands = "IMAGE DIR [-- ARG...] | --rm DIR...",
    .summary = "Make a runtime bundle (config.json and root filesystem) of an image.",
    .options = bundle_options,
    .examples =
        "kiln bundle my-app /tmp/b && vessel run --bundle /tmp/b app"
        "\nkiln bundle --rm /tmp/b",
    .least = 1,
    .completes = Completes::image,
    .needs_ids = true,
    .run = bundle,
};

}  // namespace kiln::cli
