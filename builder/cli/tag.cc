#include <algorithm>

#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/store/collect.hh"
#include "builder/store/image.hh"
#include "builder/store/near_names.hh"

namespace kiln::cli {

namespace {

int tag(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  const std::string& source = arguments.operands()[0];
  const auto entry = find_image(store, source);
  if (!entry) throw no_such_image(store, source);
  if (!store.hold(entry->descriptor.digest))
    throw Error("image '" + source + "' has lost its manifest; see 'kiln fsck'");
  for (size_t i = 1; i < arguments.operands().size(); ++i) {
    const Reference name = require_reference(arguments.operands()[i]);
    if (!name.digest.empty()) throw UsageError("a name with a digest cannot be given");
    store.set_name(name.text(), entry->descriptor);
  }
  return 0;
}

constexpr Option remove_options[] = {
    {.letter = 'f',
     .name = "force",
     .help = "also an image that a bundle uses, or that has several "
             "names and was given by id; a missing image is no error"},
    {.name = "no-prune", .help = "keep the blobs until the next prune"},
};

// Bundles that were made from the image. Their own files do not depend on its blobs, but what a
// person started from it should not lose it unawares (docker rmi refuses likewise).
std::string used_by(const Store& store, const oci::Digest& manifest) {
  for (const BundleLease& lease : bundle_leases(store.records()))
    if (std::ranges::find(lease.held, manifest.text()) != lease.held.end())
      return lease.container.empty() ? "bundle " + lease.directory : "container " + lease.container;
  return {};
}

void remove_one(Store& store, const std::string& text, bool force,
                std::vector<oci::Descriptor>& freed) {
  const auto entry = find_image(store, text);
  if (!entry) {
    if (force) return;
    throw no_such_image(store, text);
  }
  size_t names = 0;
  for (const NamedImage& other : store.images())
    if (other.descriptor.digest == entry->descriptor.digest) ++names;
  const bool by_name = !entry->name.empty() && store.find_name(text).has_value();
  if (!by_name && names > 1 && !force)
    throw Error("image " + text + " has " + std::to_string(names) +
                " names; remove them one by one, or use --force");
  const bool last = !by_name || names == 1;
  if (last && !force)
    if (const std::string user = used_by(store, entry->descriptor.digest); !user.empty())
      throw Error("image " + text + " is in use by " + user +
                  "; remove that first, or use --force");
  if (last) {
    const auto blobs = reachable(store, entry->descriptor);
    store.remove_images([&](const NamedImage& other) {
      const bool gone = other.descriptor.digest == entry->descriptor.digest;
      if (gone && !other.name.empty()) print("Untagged: " + printable(other.name) + "\n");
      return gone;
    });
    print("Deleted: " + entry->descriptor.digest.text() + "\n");
    freed.insert(freed.end(), blobs.begin(), blobs.end());
  } else {
    store.remove_name(text);
    print("Untagged: " + printable(entry->name) + "\n");
  }
}

int remove(const Arguments& arguments) {
  Store store(Store::default_directory(arguments.text("store")));
  std::vector<oci::Descriptor> freed;
  std::string failed;
  for (const std::string& text : arguments.operands()) {
    try {
      remove_one(store, text, arguments.has("force"), freed);
    } catch (const Error& error) {
      failed += (failed.empty() ? "" : "\nkiln: rmi: ") + error.message();
    }
  }
  if (!arguments.has("no-prune")) collect_blobs(store, freed);
  if (!failed.empty()) throw Error(failed);
  return 0;
}

}  // namespace

extern const Verb tag_verb;
const Verb tag_verb{
    .name = "tag",
    .operands = "IMAGE NAME[:TAG]...",
    .summary = "Give an image further names; one that has the name loses it.",
    .examples = "kiln tag my-app registry.example/team/my-app:1.0",
    .least = 2,
    .completes = Completes::image,
    .run = tag,
};

extern const Verb rmi_verb;
const Verb rmi_verb{
    .name = "rmi",
    .operands = "IMAGE...",
    .summary = "Remove names of images, and with the last name the image.",
    .options = remove_options,
    .examples = "kiln rmi my-app:old",
    .least = 1,
    .completes = Completes::image,
    .needs_ids = true,
    .run = remove,
};

}  // namespace kiln::cli
