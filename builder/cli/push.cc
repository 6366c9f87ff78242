#include <fcntl.h>

#include "builder/cli/output.hh"
#include "builder/cli/registry_command.hh"
#include "builder/registry/store_image.hh"
#include "builder/store/near_names.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

constexpr Option push_options[] = {
    {.name = "platform",
     .argument = "OS/ARCH[/VARIANT]",
     .help = "of an index only what fits this, without the index"},
    {.letter = 'a', .name = "all-tags", .help = "every tag of the repository that the store has"},
    {.name = "digestfile",
     .argument = "FILE",
     .help = "write the digest of what was pushed to FILE",
     .completes = Completes::file},
    authfile_option,
    insecure_option,
    progress_option,
    quiet_option,
};

struct Job {
  oci::Descriptor image;
  Reference destination;
};

std::vector<Job> all_tags(const Store& store, const Arguments& arguments) {
  const std::string& text = arguments.operands()[0];
  if (arguments.operands().size() > 1) throw UsageError("--all-tags takes no destination");
  const auto wanted = parse_reference(text);
  if (!wanted) throw Error("reference '" + text + "' " + wanted.error());
  if (!wanted->tag.empty() || !wanted->digest.empty())
    throw UsageError("--all-tags wants a repository without tag or digest");
  std::vector<Job> jobs;
  for (const NamedImage& image : store.images())
    if (const auto own = parse_reference(image.name);
        own && !image.name.empty() && own->name() == wanted->name() && !own->tag.empty())
      jobs.push_back({image.descriptor, *own});
  if (jobs.empty())
    throw Error("no image of " + wanted->familiar_name() + " in store " + store.path());
  return jobs;
}

Job one(const Store& store, const Arguments& arguments) {
  const std::string& text = arguments.operands()[0];
  const auto entry = find_image(store, text);
  if (!entry) throw no_such_image(store, text);
  const bool elsewhere = arguments.operands().size() > 1;
  const auto own = parse_reference(text);
  if (!elsewhere &&
      (!own || (own->digest.empty() && !store.find_name(with_default_tag(*own).text()))))
    throw UsageError("an image given by its id needs a destination");
  std::string_view destination = elsewhere ? arguments.operands()[1] : text;
  if (elsewhere && destination.starts_with("docker://")) destination.remove_prefix(9);
  Reference name = require_reference(destination);
  if (!name.digest.empty() && name.digest != entry->descriptor.digest)
    throw Error("the image has digest " + entry->descriptor.digest.text() + ", not " +
                name.digest.text());
  return {entry->descriptor, std::move(name)};
}

int push(const Arguments& arguments) {
  PushOptions how;
  how.platform = platform_argument(arguments);
  Store store(Store::default_directory(arguments.text("store")));
  const auto jobs = arguments.has("all-tags") ? all_tags(store, arguments)
                                              : std::vector<Job>{one(store, arguments)};
  RegistryCommand command(arguments);
  std::string digests;
  for (const Job& job : jobs) {
    const auto pushed = command.step("push " + job.destination.familiar(), [&](StepId step) {
      return push_image(store, command.access(), job.image, job.destination, how,
                        command.progress(), step);
    });
    digests += pushed.digest.text() + "\n";
    if (arguments.has("quiet"))
      print(job.destination.familiar() + "\n");
    else
      print("Digest: " + pushed.digest.text() + "\nPushed: " + job.destination.familiar() + "\n");
  }
  if (const auto file = arguments.value("digestfile"))
    write_file_atomic(AT_FDCWD, *file,
                      jobs.size() == 1 ? digests.substr(0, digests.size() - 1) : digests);
  return 0;
}

}  // namespace

extern const Verb push_verb;
const Verb push_verb{
    .name = "push",
    .operands = "IMAGE [NAME[:TAG]]",
    .summary = "Send an image of the store to a registry.",
    .options = push_options,
    .examples =
        "kiln push registry.example/team/app:1.0\n"
        "kiln push my-app registry.example/team/app:1.0",
    .least = 1,
    .most = 2,
    .completes = Completes::image,
    .run = push,
};

}  // namespace kiln::cli
