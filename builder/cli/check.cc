// `kiln check`: lints a Dockerfile without building it.
#include <fcntl.h>
#include <unistd.h>

#include "builder/cli/known_base.hh"
#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/dockerfile/file.hh"
#include "builder/solve/ignore_rule.hh"
#include "builder/stage/lint.hh"
#include "builder/store/image.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

// The Dockerfile and, where there is one, the text of the ignore file that goes with it.
struct CheckedFiles {
  dockerfile::Source source;
  std::optional<std::string> ignore;
};

// A Dockerfile named by -f is the user's; one found in the context, and the context's ignore file,
// are read inside the context only.
CheckedFiles read_files(const Arguments& arguments) {
  const std::string context = arguments.operands().empty() ? "." : arguments.operands()[0];
  const std::string file = arguments.text("file");
  if (context == "-" || (file == "-" && context == ".")) {
    return {{"-", read_fd(STDIN_FILENO, dockerfile::most_bytes, "standard input")}, std::nullopt};
  }
  const Fd root(open(context.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open " + context);

  std::optional<std::string> ignore;
  if (file.empty()) {
    auto text = read_file_in_root(root.get(), "Dockerfile", dockerfile::most_bytes);
    if (!text) throw Error("no Dockerfile in " + context + "; name one with --file");
    ignore = read_file_in_root(root.get(), "Dockerfile.dockerignore", dockerfile::most_bytes);
    if (!ignore) ignore = read_file_in_root(root.get(), ".dockerignore", dockerfile::most_bytes);
    const std::string name = context == "." ? "Dockerfile" : context + "/Dockerfile";
    return {{name, *std::move(text)}, std::move(ignore)};
  }
  const bool from_stdin = file == "-";
  std::string text = from_stdin ? read_fd(STDIN_FILENO, dockerfile::most_bytes, "standard input")
                                : read_file_at(AT_FDCWD, file, dockerfile::most_bytes);
  if (!from_stdin)
    ignore = try_read_file_at(AT_FDCWD, file + ".dockerignore", dockerfile::most_bytes);
  if (!ignore) ignore = read_file_in_root(root.get(), ".dockerignore", dockerfile::most_bytes);
  return {{file, std::move(text)}, std::move(ignore)};
}

stage::Inputs inputs_of(const Arguments& arguments) {
  stage::Inputs inputs;
  for (const std::string& argument : arguments.values("build-arg")) {
    const size_t equals = argument.find('=');
    if (equals != std::string::npos) {
      inputs.build_args[argument.substr(0, equals)] = argument.substr(equals + 1);
    } else if (const char* value = getenv(argument.c_str())) {
      inputs.build_args[argument] =
          value;  // as docker build: the name alone takes the environment's
    }
  }
  inputs.target = arguments.text("target");
  inputs.build_platform = host_platform();
  inputs.target_platform = inputs.build_platform;
  if (const auto platform = arguments.value("platform")) {
    const auto parsed = oci::parse_platform(*platform);
    if (!parsed) throw UsageError("--platform " + *platform + ": must be like linux/amd64");
    inputs.target_platform = *parsed;
  }
  inputs.has_context = [names = arguments.values("build-context")](const std::string& name) {
    for (const std::string& given : names) {
      if (given.starts_with(name + "=")) return true;
    }
    return false;
  };
  return inputs;
}

// A check neither makes a store nor fails for one.
std::unique_ptr<Store> try_open_store(const std::string& directory) {
  if (access((directory + "/index.json").c_str(), R_OK) != 0) return nullptr;
  try {
    return std::make_unique<Store>(directory);
  } catch (const Error&) {
    return nullptr;
  }
}

int check(const Arguments& arguments) {
  CheckedFiles files = read_files(arguments);
  const dockerfile::Dockerfile file = dockerfile::parse_dockerfile(std::move(files.source));
  const auto ignore = solve::matcher_of(files.ignore);
  const stage::Inputs inputs = inputs_of(arguments);
  const auto store = try_open_store(Store::default_directory(arguments.text("store")));
  const auto base_config = [&](const stage::Origin& origin) {
    return store ? try_known_config(*store, origin, inputs.target_platform) : std::nullopt;
  };
  const stage::LintResult result = stage::lint(file, inputs, base_config, ignore.get());

  if (arguments.text("format") == "json") {
    print(stage::lint_json(file.source, result));
  } else {
    print(stage::lint_text(file.source, result));
    const size_t count = result.findings.size();
    print(count == 0 ? "no findings\n"
                     : std::to_string(count) + (count == 1 ? " finding\n" : " findings\n"));
  }
  return result.findings.empty() ? 0 : 1;
}

constexpr Option check_options[] = {
    {.letter = 'f',
     .name = "file",
     .argument = "FILE",
     .help = "the Dockerfile, - for standard input (else Dockerfile in the context)",
     .completes = Completes::file},
    {.name = "target", .argument = "STAGE", .help = "the stage that would be built"},
    {.name = "build-arg", .argument = "NAME[=VALUE]", .help = "a build argument", .repeated = true},
    {.name = "build-context",
     .argument = "NAME=SOURCE",
     .help = "a named context (its name is all that counts here)",
     .repeated = true},
    {.name = "platform", .argument = "OS/ARCH", .help = "the platform that would be built for"},
    {.name = "format",
     .argument = "FORMAT",
     .help = "how findings are printed",
     .initial = "text",
     .choices = "text|json"},
};

}  // namespace

extern const Verb check_verb;
const Verb check_verb{
    .name = "check",
    .operands = "[CONTEXT]",
    .summary =
        "Look for what is wrong or risky in a Dockerfile. Exits with 1 when there is anything.",
    .options = check_options,
    .examples = "kiln check\nkiln check -f app.Dockerfile --format json .",
    .most = 1,
    .completes = Completes::directory,
    .run = check,
};

}  // namespace kiln::cli
