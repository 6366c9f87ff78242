#include <algorithm>
#include <set>

#include "builder/steps/bundle_config.hh"
#include "builder/steps/container_defaults.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

// "net_admin" → "CAP_NET_ADMIN"; "ALL" stays.
std::string capability_name(std::string_view text) {
  std::string name(text);
  for (char& c : name)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (name == "ALL" || name == "CAP_ALL") return "ALL";
  if (!name.starts_with("CAP_")) name.insert(0, "CAP_");
  if (std::ranges::find(all_capabilities(), name) == all_capabilities().end())
    throw Error("no capability '" + std::string(text) + "'; capabilities(7) lists them");
  return name;
}

}  // namespace

std::vector<std::string> container_capabilities(const std::vector<std::string>& add,
                                                const std::vector<std::string>& drop) {
  std::set<std::string> added, dropped, result;
  for (const auto& text : add) added.insert(capability_name(text));
  for (const auto& text : drop) dropped.insert(capability_name(text));
  // As Docker: ALL is the base, single names are taken out of it or put into it.
  if (added.contains("ALL"))
    result.insert(all_capabilities().begin(), all_capabilities().end());
  else if (!dropped.contains("ALL"))
    result.insert(default_capabilities().begin(), default_capabilities().end());
  for (const std::string& name : dropped) result.erase(name);
  added.erase("ALL");
  result.insert(added.begin(), added.end());
  return {result.begin(), result.end()};
}

}  // namespace kiln
