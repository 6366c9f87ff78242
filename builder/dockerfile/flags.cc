#include "builder/dockerfile/flags.hh"

#include <algorithm>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"

namespace kiln::dockerfile {

Flags::Flags(const std::vector<std::string>& flags, std::initializer_list<FlagSpec> known) {
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    const std::string spelled = flag.substr(0, equals);
    const std::string name = spelled.substr(2);
    const auto spec = std::ranges::find(known, std::string_view(name), &FlagSpec::name);
    if (spec == known.end()) {
      std::vector<std::string> names;
      for (const FlagSpec& k : known) names.push_back("--" + std::string(k.name));
      throw Complaint("unknown flag: " + spelled, spelled, did_you_mean(spelled, names));
    }
    if (values_.contains(name) && spec->kind != FlagSpec::Kind::list) {
      throw Complaint("flag given twice: " + spelled, flag);
    }
    std::string value = equals == std::string::npos ? "" : flag.substr(equals + 1);
    if (spec->kind == FlagSpec::Kind::boolean) {
      if (equals == std::string::npos) value = "true";
      value = lower(value);
      if (value != "true" && value != "false") {
        throw Complaint("flag " + spelled + " is either true or false, not '" + value + "'", flag);
      }
    } else if (equals == std::string::npos) {
      throw Complaint("missing a value on flag: " + spelled, spelled);
    }
    values_[name].push_back(std::move(value));
  }
}

std::string Flags::text(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string() : found->second.back();
}

std::optional<bool> Flags::boolean(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  return found->second.back() == "true";
}

std::vector<std::string> Flags::list(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

}  // namespace kiln::dockerfile
