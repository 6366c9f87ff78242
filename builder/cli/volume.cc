#include "builder/store/volumes.hh"

#include <nlohmann/json.hpp>

#include "builder/cli/output.hh"
#include "builder/cli/template.hh"
#include "builder/cli/verb.hh"

namespace kiln::cli {

namespace {

constexpr Option volume_options[] = {
    {.letter = 'q', .name = "quiet", .help = "ls: names only"},
    {.letter = 'a', .name = "all", .help = "prune: named volumes too"},
    {.letter = 'f', .name = "force", .help = "rm: a missing volume is no error; prune never asks"},
};

using Names = std::span<const std::string>;

int list(const Arguments& arguments, Volumes& volumes) {
  std::vector<std::vector<std::string>> rows = {{"VOLUME", "KIND", "CREATED", "USED BY"}};
  for (const Volume& volume : volumes.list()) {
    if (arguments.has("quiet")) {
      print(volume.name + "\n");
      continue;
    }
    std::string users;
    for (const std::string& user : volumes.users(volume.name))
      users += (users.empty() ? "" : ", ") + user;
    rows.push_back({volume.name, volume.anonymous ? "anonymous" : "named", volume.created,
                    users.empty() ? "-" : printable(users)});
  }
  if (!arguments.has("quiet")) print(columns(rows));
  return 0;
}

int create(Names names, Volumes& volumes) {
  for (const std::string& name : names) print(volumes.open_or_create(name).name + "\n");
  return 0;
}

int remove(const Arguments& arguments, Names names, Volumes& volumes) {
  for (const std::string& name : names) {
    if (arguments.has("force") && !volumes.find(name)) continue;
    volumes.remove(name);
    print(name + "\n");
  }
  return 0;
}

int inspect(Names names, Volumes& volumes) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::string& name : names) {
    const auto volume = volumes.find(name);
    if (!volume) throw Error("no volume '" + name + "'; see 'kiln volume ls'");
    all.push_back({{"Name", volume->name},
                   {"Mountpoint", volume->path},
                   {"CreatedAt", volume->created},
                   {"Anonymous", volume->anonymous},
                   {"UsedBy", volumes.users(name)}});
  }
  print(json_text(all, 2) + "\n");
  return 0;
}

int volume(const Arguments& arguments) {
  const std::string& action = arguments.operands()[0];
  const Names names = Names(arguments.operands()).subspan(1);
  Store store(Store::default_directory(arguments.text("store")));
  Volumes volumes(store);
  const bool wants_names = action == "create" || action == "rm" || action == "inspect";
  if (wants_names && names.empty()) throw UsageError("volume " + action + ": expected a NAME");
  if (!wants_names && !names.empty()) throw UsageError("volume " + action + ": takes no arguments");
  if (action == "ls" || action == "list") return list(arguments, volumes);
  if (action == "create") return create(names, volumes);
  if (action == "rm") return remove(arguments, names, volumes);
  if (action == "inspect") return inspect(names, volumes);
  if (action == "prune") {
    for (const std::string& name : volumes.prune(arguments.has("all"))) print(name + "\n");
    return 0;
  }
  throw UsageError("volume: '" + action +
                   "' is unknown, expected ls, create, rm, inspect or prune");
}

}  // namespace

extern const Verb volume_verb;
const Verb volume_verb{
    .name = "volume",
    .operands = "ls|create|rm|inspect|prune [NAME...]",
    .summary = "Manage volumes, directories that outlive containers.",
    .options = volume_options,
    .examples = "kiln volume create data\nkiln run -v data:/var/lib/db my-db",
    .least = 1,
    .run = volume,
};

}  // namespace kiln::cli
