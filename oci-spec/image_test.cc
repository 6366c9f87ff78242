#include "oci-spec/image.hh"

#include <doctest/doctest.h>

#include "oci-spec/format_error.hh"

using namespace oci;

namespace {

const std::string hex_a(64, 'a');
const std::string layer_json = R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",)"
                               R"("digest":"sha256:)" +
                               hex_a + R"(","size":7})";
const std::string manifest_json =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
    layer_json + R"(,"layers":[)" + layer_json + "]}";

// Paths of the problems, one a line.
template <class F>
std::string paths(F&& read) {
  try {
    read();
  } catch (const FormatError& error) {
    std::string out;
    for (const Problem& p : error.problems()) out += p.path + "\n";
    return out;
  }
  return "none";
}

}  // namespace

TEST_CASE("manifest: read and written back to the same bytes") {
  const Manifest m = read_manifest(manifest_json, "m");
  CHECK(m.layers.size() == 1);
  CHECK(m.layers[0].size == 7);
  CHECK(m.layers[0].digest.hex() == hex_a);
  CHECK(write(m) == manifest_json);
}

TEST_CASE("manifest: all problems at once, each with its path") {
  const std::string bad =
      R"({"schemaVersion":1,"mediaType":"text/html","config":{"mediaType":"x","digest":"sha256:1",)"
      R"("size":-1},"layers":[{"mediaType":"a/b","digest":"md5:aa","size":"7"},5],"manifests":[]})";
  CHECK(paths([&] { read_manifest(bad, "m"); }) ==
        "schemaVersion\nmediaType\nmanifests\nconfig.mediaType\nconfig.digest\nconfig.size\n"
        "layers[0].digest\nlayers[0].size\nlayers[1]\n");
  CHECK(paths([&] { read_manifest("{}", "m"); }) == "schemaVersion\nconfig\nlayers\n");
}

TEST_CASE("documents that are no documents") {
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{"), std::string("<html>"),
        std::string("\"\""), std::string("{\"a\":\"\xff\"}"),
        "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", std::string(100'000, '['),
        std::string(5 << 20, ' ')}) {
    CHECK_THROWS_AS(read_manifest(bad, "m"), FormatError);
    CHECK_THROWS_AS(read_index(bad, "m"), FormatError);
    CHECK_THROWS_AS(read_image_config(bad, "m"), FormatError);
    CHECK_THROWS_AS(read_descriptor(bad, "m"), FormatError);
  }
}

TEST_CASE("manifest: the number of reported problems is bounded") {
  std::string bad = R"({"schemaVersion":2,"config":)" + layer_json + R"(,"layers":[)";
  for (int i = 0; i < 5000; ++i) bad += "1,";
  bad += "1]}";
  try {
    read_manifest(bad, "m");
    CHECK(false);
  } catch (const FormatError& error) {
    CHECK(error.problems().size() == 51);
  }
}

TEST_CASE("descriptor: embedded data must be what the digest says") {
  const auto with = [](const std::string& data, const std::string& content) {
    return R"({"mediaType":"a/b","digest":")" + Digest::sha256(content).text() + R"(","size":)" +
           std::to_string(content.size()) + R"(,"data":")" + data + "\"}";
  };
  const Descriptor d = read_descriptor(with("e30=", "{}"), "d");
  CHECK(d.data == "{}");
  CHECK(write(d) == with("e30=", "{}"));
  CHECK(paths([&] { read_descriptor(with("e30=", "[]"), "d"); }) == "data\n");
  CHECK(paths([&] { read_descriptor(with("e30", "{}"), "d"); }) == "data\n");
  CHECK(paths([&] { read_descriptor(with("====", "{}"), "d"); }) == "data\n");
}

TEST_CASE("index: platforms and annotations survive") {
  Index index;
  Descriptor d;
  d.media_type = media::manifest;
  d.digest = Digest::sha256("x");
  d.size = 1;
  d.annotations["org.opencontainers.image.ref.name"] = "docker.io/library/a:b";
  d.platform = Platform{.architecture = "arm", .os = "linux", .variant = "v7"};
  index.manifests = {d, d};
  const std::string text = write(index);
  const Index again = read_index(text, "i");
  CHECK(again.manifests == index.manifests);
  CHECK(write(again) == text);
  CHECK(read_index(R"({"schemaVersion":2,"manifests":null})", "i").manifests.empty());
  CHECK(paths([&] { read_index(R"({"schemaVersion":2,"manifests":[],"layers":[]})", "i"); }) ==
        "layers\n");
}

TEST_CASE("config: what Docker writes is read, and the writer is canonical") {
  const std::string docker =
      R"({"architecture":"amd64","config":{"Hostname":"","Domainname":"","User":"app","AttachStdin":false,
      "ExposedPorts":{"80/tcp":{},"443/tcp":{}},"Env":["PATH=/bin"],"Cmd":null,"Entrypoint":[],"Image":"",
      "Volumes":null,"WorkingDir":"/w","OnBuild":null,"Labels":{"a":"b"},"StopSignal":"SIGQUIT",
      "Healthcheck":{"Test":["CMD","true"],"Interval":5000000000}},"created":"2021-11-12T17:20:08.442217528Z",
      "docker_version":"20","history":[{"created":"2021-11-12T17:20:08.442217528Z","created_by":"x","empty_layer":true}],
      "os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:)" +
      hex_a + R"("]}})";
  const ImageConfig c = read_image_config(docker, "c");
  CHECK(c.config.exposed_ports == std::vector<std::string>{"443/tcp", "80/tcp"});
  CHECK_FALSE(c.config.cmd.has_value());
  CHECK(c.config.entrypoint.has_value());
  CHECK(c.config.entrypoint->empty());
  CHECK(c.config.healthcheck->interval == 5'000'000'000);
  CHECK(c.history[0].empty_layer);
  const std::string text = write(c);
  CHECK(write(read_image_config(text, "c")) == text);
  CHECK(
      text ==
      R"({"created":"2021-11-12T17:20:08.442217528Z","architecture":"amd64","os":"linux",)"
      R"("config":{"User":"app","ExposedPorts":{"443/tcp":{},"80/tcp":{}},"Env":["PATH=/bin"],)"
      R"("Entrypoint":[],"WorkingDir":"/w","Labels":{"a":"b"},"StopSignal":"SIGQUIT",)"
      R"("Healthcheck":{"Test":["CMD","true"],"Interval":5000000000}},)"
      R"("rootfs":{"type":"layers","diff_ids":["sha256:)" +
          hex_a +
          R"("]},"history":[{"created":"2021-11-12T17:20:08.442217528Z","created_by":"x","empty_layer":true}]})");
}

TEST_CASE("config: hostile values are refused") {
  const auto with = [](const std::string& config) {
    return R"({"architecture":"a","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":)" +
           config + "}";
  };
  CHECK(paths([&] { read_image_config(with("{}"), "c"); }) == "none");
  CHECK(paths([&] { read_image_config(with(R"({"User":"a\nroot"})"), "c"); }) == "config.User\n");
  CHECK(paths([&] { read_image_config(with(R"({"Env":["A=\u0000"]})"), "c"); }) ==
        "config.Env[0]\n");
  CHECK(paths([&] { read_image_config(with(R"({"Env":"A=1"})"), "c"); }) == "config.Env\n");
  CHECK(paths([&] { read_image_config(with(R"({"Volumes":{"/a\u001b[2J":{}}})"), "c"); }) ==
        "config.Volumes\n");
  CHECK(paths([&] { read_image_config(with(R"({"Labels":{"a":1}})"), "c"); }) ==
        "config.Labels[\"a\"]\n");
  CHECK(paths([&] { read_image_config(with(R"({"Cmd":"sh"})"), "c"); }) == "config.Cmd\n");
  CHECK(paths([&] {
          read_image_config(R"({"created":"yesterday","architecture":"","rootfs":{"type":"x"}})",
                            "c");
        }) == "created\narchitecture\nos\nrootfs.type\n");
}

TEST_CASE("config: text that is no UTF-8 is written as something that is") {
  ImageConfig c;
  c.architecture = "amd64";
  c.os = "linux";
  c.config.labels["a"] = "\xff";
  CHECK(read_image_config(write(c), "c").config.labels["a"] == "\xef\xbf\xbd");
}

TEST_CASE("platforms in containerd's notation") {
  CHECK(platform_text(*parse_platform("linux/amd64")) == "linux/amd64");
  CHECK(platform_text(*parse_platform("Linux/x86_64")) == "linux/amd64");
  CHECK(platform_text(*parse_platform("linux/arm64/v8")) == "linux/arm64");
  CHECK(platform_text(*parse_platform("linux/arm/7")) == "linux/arm/v7");
  CHECK(platform_text(*parse_platform("linux/arm")) == "linux/arm/v7");
  CHECK(platform_text(*parse_platform("armhf")) == "linux/arm/v7");
  CHECK(parse_platform("linux")->os == "linux");
  for (const char* bad : {"", "/", "linux/", "a/b/c/d", "li nux/a", "linux/amd64\n", "../x"})
    CHECK_FALSE(parse_platform(bad).has_value());
}
