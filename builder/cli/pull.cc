#include "builder/cli/output.hh"
#include "builder/cli/registry_command.hh"
#include "builder/registry/store_image.hh"

namespace kiln::cli {

namespace {

constexpr Option pull_options[] = {
    {.name = "platform",
     .argument = "OS/ARCH[/VARIANT]",
     .help = "of an index what fits this (else this machine)"},
    {.name = "all-platforms", .help = "of an index everything"},
    {.letter = 'a', .name = "all-tags", .help = "every tag of the repository"},
    authfile_option,
    insecure_option,
    progress_option,
    quiet_option,
};

void report(const Arguments& arguments, const Reference& name, const Pulled& pulled) {
  if (arguments.has("quiet")) {
    print(name.familiar() + "\n");
    return;
  }
  print("Digest: " + pulled.top.digest.text() + "\n");
  print(std::string(pulled.was_there ? "Up to date: " : "Pulled: ") + name.familiar() + "\n");
}

int pull(const Arguments& arguments) {
  const std::string& text = arguments.operands()[0];
  PullOptions how;
  how.platform = platform_argument(arguments);
  how.all_platforms = arguments.has("all-platforms");
  if (how.platform && how.all_platforms)
    throw UsageError("--platform and --all-platforms exclude each other");
  std::vector<Reference> names;
  Reference name = require_reference(text);
  if (arguments.has("all-tags")) {
    const auto bare = parse_reference(text);
    if (!bare->tag.empty() || !bare->digest.empty())
      throw UsageError("--all-tags wants a repository without tag or digest");
  }
  Store store(Store::default_directory(arguments.text("store")));
  RegistryCommand command(arguments);
  if (arguments.has("all-tags")) {
    for (const std::string& tag : RegistrySource(command.access(), name).tags()) {
      name.tag = tag;
      names.push_back(name);
    }
    if (names.empty()) throw Error("repository " + name.familiar_name() + " has no tags");
  } else {
    names.push_back(name);
  }
  for (const Reference& each : names) {
    const Pulled pulled = command.step("pull " + each.familiar(), [&](StepId step) {
      return pull_image(store, command.access(), each, how, command.progress(), step);
    });
    report(arguments, each, pulled);
  }
  return 0;
}

}  // namespace

extern const Verb pull_verb;
const Verb pull_verb{
    .name = "pull",
    .operands = "NAME[:TAG|@DIGEST]",
    .summary = "Fetch an image from a registry into the store.",
    .options = pull_options,
    .examples =
        "kiln pull node:20-alpine\n"
        "kiln pull --platform linux/arm64 registry.example/team/app:1.0",
    .least = 1,
    .most = 1,
    .run = pull,
};

}  // namespace kiln::cli
