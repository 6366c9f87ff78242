#include <unistd.h>

#include "runtime/cli/inspect.hh"
#include "runtime/cli/launch_options.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/cli/version.hh"
#include "runtime/sys/file.hh"

namespace vessel::cli {

namespace {

// As create would be called for this bundle.
PlanOptions options_of(const Globals& globals, const Arguments& arguments) {
  PlanOptions options;
  options.id = arguments.operands().empty() ? "container" : arguments.operand(0);
  options.bundle = absolute_path(arguments.value("bundle"));
  options.systemd_cgroup = globals.systemd_cgroup;
  options.rootless = globals.rootless;
  options.no_pivot = arguments.flag("no-pivot");
  options.no_new_keyring = arguments.flag("no-new-keyring");
  options.preserve_fds = count_of(arguments, "preserve-fds");
  return options;
}

int plan(const Globals& globals, const Arguments& arguments) {
  std::string format = arguments.value("format");
  if (format != "table" && format != "json") throw Error("invalid format option");
  print(plan_text(options_of(globals, arguments), format == "json"));
  return 0;
}

int check(const Globals& globals, const Arguments& arguments) {
  CheckReport report = check_bundle(options_of(globals, arguments));
  print(report.text);
  return report.problems == 0 ? 0 : 1;
}

int spec(const Globals&, const Arguments& arguments) {
  write_example(absolute_path(arguments.value("bundle")), probe_host(), arguments.flag("rootless"));
  return 0;
}

int features(const Globals&, const Arguments&) {
  print(features_text(version));
  return 0;
}

}  // namespace

Verb plan_verb() {
  return {.name = "plan",
          .usage = "print what a bundle would do here, changing nothing",
          .operands = "[container-id]",
          .description = "Prints every decision that create would make, step by step.",
          .options = {bundle_option,
                      {.name = "format",
                       .short_name = 'f',
                       .value = "FORMAT",
                       .help = "table or json",
                       .default_value = "table"},
                      no_pivot_option,
                      no_new_keyring_option,
                      preserve_fds_option},
          .most_operands = 1,
          .run = plan};
}

Verb check_verb() {
  return {.name = "check",
          .usage = "name every problem of a bundle on this host",
          .operands = "[container-id]",
          .description =
              "Reads config.json and looks at this host; prints what is wrong with the "
              "config and what cannot be honoured here. Exits with 1 if there is any.",
          .options = {bundle_option, no_pivot_option, no_new_keyring_option, preserve_fds_option},
          .most_operands = 1,
          .run = check};
}

Verb spec_verb() {
  return {.name = "spec",
          .usage = "write an example config.json",
          .operands = "",
          .description = "Writes config.json for a shell in the directory rootfs, to be edited.",
          .options = {bundle_option,
                      {.name = "rootless", .help = "for an unprivileged caller's own ids"}},
          .run = spec};
}

Verb features_verb() {
  return {.name = "features",
          .usage = "print what this vessel supports",
          .operands = "",
          .description = "Prints the features document of the specification as JSON.",
          .options = {},
          .run = features};
}

}  // namespace vessel::cli
