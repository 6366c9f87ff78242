#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/flags.hh"
#include "builder/dockerfile/quantity.hh"
#include "builder/dockerfile/read_body.hh"

namespace kiln::dockerfile {

namespace {

std::chrono::nanoseconds interval(const Flags& flags, std::string_view name) {
  const std::string text = flags.text(name);
  if (text.empty()) return std::chrono::nanoseconds(0);
  const auto value = parse_duration(text);
  if (!value) {
    throw Complaint("invalid duration '" + text + "': must be like 30s, 1m30s or 500ms", text);
  }
  if (value->count() != 0 && *value < std::chrono::milliseconds(1)) {
    throw Complaint("--" + std::string(name) + " cannot be less than 1ms", text);
  }
  return *value;
}

}  // namespace

Healthcheck read_healthcheck(const Node& node) {
  if (node.arguments.empty()) throw Complaint("HEALTHCHECK requires at least one argument");
  Healthcheck check;
  const std::string type = upper(node.arguments[0]);
  const std::vector<std::string> command(node.arguments.begin() + 1, node.arguments.end());
  if (type == "NONE") {
    if (!command.empty()) throw Complaint("HEALTHCHECK NONE takes no arguments", command[0]);
    check.test = {type};
    return check;
  }
  const Flags flags(node.flags,
                    {{"interval"}, {"timeout"}, {"start-period"}, {"start-interval"}, {"retries"}});
  if (type != "CMD") {
    throw Complaint("unknown type '" + type + "' in HEALTHCHECK (try CMD)", node.arguments[0]);
  }
  if (command.empty()) throw Complaint("missing command after HEALTHCHECK CMD");
  check.test = {node.json ? "CMD" : "CMD-SHELL"};
  check.test.insert(check.test.end(), command.begin(), command.end());
  check.interval = interval(flags, "interval");
  check.timeout = interval(flags, "timeout");
  check.start_period = interval(flags, "start-period");
  check.start_interval = interval(flags, "start-interval");
  if (const std::string retries = flags.text("retries"); !retries.empty()) {
    const auto count = parse_number(retries);
    if (!count || *count > INT32_MAX) {
      throw Complaint("--retries must be a number, not negative: '" + retries + "'", retries);
    }
    check.retries = static_cast<int>(*count);
  }
  return check;
}

}  // namespace kiln::dockerfile
