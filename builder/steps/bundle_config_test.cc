#include "builder/steps/bundle_config.hh"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>

#include "builder/steps/seccomp_profile.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"

using namespace kiln;

TEST_CASE("capabilities as docker run makes them") {
  CHECK(container_capabilities({}, {}).size() == 14);
  CHECK(container_capabilities({}, {"all"}).empty());
  CHECK(container_capabilities({"net_admin"}, {"ALL"}) ==
        std::vector<std::string>{"CAP_NET_ADMIN"});
  CHECK(container_capabilities({"ALL"}, {"CAP_SYS_ADMIN"}).size() == 40);
  CHECK(container_capabilities({}, {"chown"}).size() == 13);
  CHECK_THROWS_AS(container_capabilities({"everything"}, {}), Error);
}

TEST_CASE("volumes are typed") {
  const BindVolume v = parse_volume("/a:/b:ro,rslave");
  CHECK(v == BindVolume{.source = "/a",
                        .destination = "/b",
                        .read_only = true,
                        .make_source = true,
                        .propagation = "rslave"});
  CHECK(parse_volume("/data").of_store);
  CHECK(parse_volume("data:/d:nocopy,z").no_copy);
  CHECK(parse_volume("data:/var/lib").source == "data");
  CHECK(parse_volume("./x:/y").source.starts_with('/'));
  for (const char* bad :
       {"", "a", "/a:", ":/b", "/a:b", "/a:/b:", "/a:/b:ro,exec", "a/b:/c", "/a:/b:shared,../x"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_volume(bad), Error);
  }
}

TEST_CASE("config.json follows conversion.md and the options") {
  const Fd nowhere(open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  oci::ImageConfig image;
  image.os = "linux";
  image.architecture = "amd64";
  image.author = "me";
  CHECK_THROWS_AS(container_config(image, {}, nowhere.get()), Error);  // no command
  image.config.entrypoint = {"/entry"};
  image.config.cmd = {"start"};
  image.config.env = {"A=1", "broken", "=x", "B=2"};
  image.config.labels = {{"org.opencontainers.image.author", "label wins"},
                         {"run.oci.hooks.stdout", "/etc/passwd"},
                         {"org.systemd.property.ExecStopPost", "x"}};
  image.config.working_dir = "/w";
  image.config.exposed_ports = {"80/tcp", "90/udp"};
  oci::Config c = container_config(image, {.env = {"B=3"}, .hostname = "h"}, nowhere.get());
  CHECK(c.process->args == std::vector<std::string>{"/entry", "start"});
  CHECK(c.process->env == std::vector<std::string>{
                              "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                              "A=1", "B=3", "HOME=/", "HOSTNAME=h"});
  CHECK(c.annotations["org.opencontainers.image.author"] == "label wins");
  CHECK_FALSE(c.annotations.contains("run.oci.hooks.stdout"));
  CHECK_FALSE(c.annotations.contains("org.systemd.property.ExecStopPost"));
  CHECK(c.annotations["org.opencontainers.image.exposedPorts"] == "80/tcp,90/udp");
  CHECK(c.process->capabilities->inheritable.empty());
  CHECK(c.process->capabilities->ambient.empty());
  c = container_config(image, {.args = {"test"}, .user = "7:8"}, nowhere.get());
  CHECK(c.process->args == std::vector<std::string>{"/entry", "test"});
  CHECK(c.process->user.gid == 8);
  CHECK(c.process->capabilities->effective.empty());
  CHECK_FALSE(c.process->capabilities->bounding.empty());
  c = container_config(image, {.entrypoint = std::vector<std::string>{"sh"}}, nowhere.get());
  CHECK(c.process->args == std::vector<std::string>{"sh"});
  c = container_config(image, {.tmpfs = {"/t:size=1m,exec", "/dev/shm"}}, nowhere.get());
  CHECK(c.mounts[c.mounts.size() - 2].options ==
        std::vector<std::string>{"nosuid", "nodev", "size=1m", "exec"});
  CHECK(std::ranges::count(c.mounts, "/dev/shm", &oci::Mount::destination) == 1);
  CHECK_THROWS_AS(container_config(image, {.tmpfs = {"/t:upperdir=/"}}, nowhere.get()), Error);
  image.config.working_dir = "w";
  CHECK_THROWS_AS(container_config(image, {}, nowhere.get()), Error);
}

TEST_CASE("seccomp: what a capability opens is shut without it") {
  const auto allowed = [](const oci::Seccomp& s, const std::string& name) {
    return std::ranges::any_of(s.syscalls, [&](const oci::SeccompSyscall& rule) {
      return rule.action == "SCMP_ACT_ALLOW" && rule.args.empty() &&
             std::ranges::find(rule.names, name) != rule.names.end();
    });
  };
  const auto plain = default_seccomp(container_capabilities({}, {}));
  CHECK(allowed(plain, "read"));
  CHECK(allowed(plain, "chroot"));
  CHECK_FALSE(allowed(plain, "mount"));
  CHECK_FALSE(allowed(plain, "clone3"));
  CHECK_FALSE(allowed(plain, "keyctl"));
  CHECK_FALSE(allowed(plain, "socket"));
  CHECK(allowed(default_seccomp({"CAP_SYS_ADMIN"}), "mount"));
  CHECK(allowed(default_seccomp({"CAP_SYS_ADMIN"}), "clone3"));
}
