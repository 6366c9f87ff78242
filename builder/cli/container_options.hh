// Owns: the options that `bundle` and `run` share, and what they make of them.
// Does not own: either verb.
#pragma once

#include <array>

#include "builder/cli/verb.hh"
#include "builder/steps/bundle_config.hh"

namespace kiln::cli {

inline constexpr std::array container_rows = {
    Option{.letter = 'e',
           .name = "env",
           .argument = "NAME[=VALUE]",
           .help = "environment; without a value, kiln's own",
           .repeated = true},
    Option{.name = "env-file",
           .argument = "FILE",
           .help = "lines of NAME=VALUE",
           .repeated = true,
           .completes = Completes::file},
    Option{.name = "entrypoint",
           .argument = "COMMAND",
           .help = "instead of the image's; empty for none"},
    Option{.letter = 'u',
           .name = "user",
           .argument = "USER[:GROUP]",
           .help = "names of the image, or numbers"},
    Option{.letter = 'w',
           .name = "workdir",
           .argument = "DIR",
           .help = "working directory in the container"},
    Option{.letter = 'v',
           .name = "volume",
           .argument = "[SOURCE:]DIR[:ro]",
           .help = "a host path (with a slash) or a volume by name",
           .repeated = true,
           .completes = Completes::file},
    Option{.name = "mount",
           .argument = "KEY=VALUE,...",
           .help = "type=bind|volume|tmpfs,source=,target=,ro",
           .repeated = true},
    Option{.name = "tmpfs",
           .argument = "DIR[:OPTION,...]",
           .help = "size=, mode=, exec ...",
           .repeated = true},
    Option{.name = "read-only", .help = "the root filesystem cannot be written to"},
    Option{.letter = 'm', .name = "memory", .argument = "SIZE", .help = "limit"},
    Option{.name = "cpus", .argument = "NUMBER", .help = "limit, like 1.5"},
    Option{.name = "pids-limit", .argument = "NUMBER", .help = "-1 for none"},
    Option{.name = "cap-add", .argument = "CAPABILITY", .help = "or ALL", .repeated = true},
    Option{.name = "cap-drop", .argument = "CAPABILITY", .help = "or ALL", .repeated = true},
    Option{.name = "security-opt",
           .argument = "OPTION",
           .help = "no-new-privileges, seccomp=unconfined, apparmor=PROFILE",
           .repeated = true},
    Option{.name = "hostname", .argument = "NAME", .help = "[random]"},
    Option{.name = "stop-signal", .argument = "SIGNAL", .help = "instead of the image's"},
    Option{.name = "init", .help = "an init as process 1: tini or catatonit of the host"},
    Option{.letter = 't', .name = "tty", .help = "a terminal"},
    Option{.name = "network",
           .argument = "KIND",
           .help = "default (pasta), host, none (a loopback), ns:PATH"},
    Option{.letter = 'p',
           .name = "publish",
           .argument = "[IP:]HOST:PORT[/udp]",
           .help = "a port of the container on the host",
           .repeated = true},
    Option{.name = "rootfs",
           .argument = "KIND",
           .help = "how the root filesystem is made",
           .initial = "auto",
           .choices = "auto|overlay|copy"},
};

// A verb's own rows followed by the shared ones.
template <size_t N>
constexpr std::array<Option, N + container_rows.size()> with_container_rows(
    const std::array<Option, N>& own) {
  std::array<Option, N + container_rows.size()> all{};
  for (size_t i = 0; i < N; ++i) all[i] = own[i];
  for (size_t i = 0; i < container_rows.size(); ++i) all[N + i] = container_rows[i];
  return all;
}

// Throws UsageError and Error. `args` replace the image's CMD; `network` is what --network means
// when neither it nor -p is given. Looks for pasta where the container needs it.
ContainerOptions container_options(const Arguments& arguments, std::vector<std::string> args,
                                   std::string_view network);

}  // namespace kiln::cli
