#include "oci-spec/runtime_state.hh"

#include <doctest/doctest.h>

#include "oci-spec/format_error.hh"

TEST_CASE("state: the shape of the spec and of runc") {
  oci::ExtendedState e;
  e.state = {"1.3.0", "c1", "stopped", 0, "/b", {}};
  e.rootfs = "/b/rootfs";
  e.created = "2026-01-01T00:00:00Z";
  CHECK(oci::write(e.state) ==
        R"({"ociVersion":"1.3.0","id":"c1","status":"stopped","bundle":"/b"})");
  CHECK(oci::write(e, 2) ==
        "{\n  \"ociVersion\": \"1.3.0\",\n  \"id\": \"c1\",\n  \"pid\": 0,\n"
        "  \"status\": \"stopped\",\n  \"bundle\": \"/b\",\n  \"rootfs\": \"/b/rootfs\",\n"
        "  \"created\": \"2026-01-01T00:00:00Z\",\n  \"owner\": \"\"\n}");
  CHECK(oci::write(std::vector<oci::ExtendedState>{}) == "null");
  CHECK(oci::write(std::vector{e}).front() == '[');
}

TEST_CASE("state: round trip and problems") {
  const oci::State s{"1.3.0", "c1", "running", 42, "/b", {{"k", "v"}}};
  const oci::State back = oci::read_state(oci::write(s), "state.json");
  CHECK(back.pid == 42);
  CHECK(back.annotations == s.annotations);
  CHECK_THROWS_AS(oci::read_state(R"({"id":"c1"})", "state.json"), oci::FormatError);
  CHECK_THROWS_AS(
      oci::read_state(R"({"ociVersion":"1","id":"c","status":"s","bundle":"/","pid":-1})",
                      "state.json"),
      oci::FormatError);
}

TEST_CASE("state: what is sent along with a notify descriptor") {
  oci::ContainerProcessState s{
      "1.3.0", {"seccompFd"}, 7, "m", {"1.3.0", "c", "creating", 7, "/b", {}}};
  CHECK(oci::write(s) ==
        R"({"ociVersion":"1.3.0","fds":["seccompFd"],"pid":7,"metadata":"m","state":)"
        R"({"ociVersion":"1.3.0","id":"c","status":"creating","pid":7,"bundle":"/b"}})");
}
