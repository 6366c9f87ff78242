#include "builder/stage/graph.hh"

#include <doctest/doctest.h>

#include "builder/stage/state.hh"
#include "builder/stage/test_inputs.hh"

using namespace kiln;
using namespace kiln::stage;

namespace {

struct Built {
  Inputs inputs;
  dockerfile::Dockerfile file;
  Graph graph;

  Built(std::string text, Inputs given = amd64(), const BaseConfig& base = {})
      : inputs(std::move(given)),
        file(dockerfile::parse_dockerfile({"Dockerfile", std::move(text)})),
        graph(file, inputs, base) {}
};

// The state of the target after all of its steps, base stages first.
State final_state(const Graph& graph, size_t index) {
  const Stage& stage = graph.stages()[index];
  std::optional<State> base;
  if (stage.base.kind == Origin::Kind::stage) base = final_state(graph, stage.base.stage);
  State state(graph, stage, base ? &*base : nullptr);
  for (const Step& step : stage.steps) state.apply(step);
  return state;
}

State final_state(const Built& built) {
  return final_state(built.graph, built.graph.target().index);
}

std::string refusal(const std::string& text, Inputs inputs = amd64()) {
  try {
    const Built built(text, inputs);
    final_state(built);
  } catch (const Error& error) {
    return error.message();
  }
  return "accepted";
}

using Indices = std::vector<size_t>;

}  // namespace

TEST_CASE("only what the target needs is needed") {
  const std::string text =
      "FROM a AS one\nRUN x\nFROM b AS two\nFROM one AS three\nCOPY --from=0 /x /y\n"
      "FROM scratch\nCOPY --from=three /f /\nRUN --mount=from=one,target=/m x\n";
  CHECK(Built(text).graph.needed() == Indices{0, 2, 3});
  Inputs inputs = amd64();
  inputs.target = "Two";
  CHECK(Built(text, inputs).graph.needed() == Indices{1});
  inputs.target = "2";
  CHECK(Built(text, inputs).graph.needed() == Indices{0, 2});
  CHECK(Built(text).graph.dependencies(3) == Indices{0, 2});
  inputs.target = "tow";
  CHECK(refusal(text, inputs) == "Dockerfile: no stage 'tow' for --target, did you mean two?");
}

TEST_CASE("names of sources") {
  Inputs inputs = amd64();
  inputs.has_context = [](const std::string& name) { return name == "app" || name == "alpine"; };
  const Built built(
      "FROM docker.io/library/alpine:latest AS base\nFROM base AS app\nRUN never\n"
      "FROM scratch\nCOPY --from=debian:12 /a /\nCOPY --from=alpine /a /\nCOPY a /\n",
      inputs);
  const auto& stages = built.graph.stages();
  CHECK(stages[0].base.kind == Origin::Kind::named_context);
  CHECK(stages[0].base.name == "alpine");
  CHECK(stages[1].replaced);
  CHECK(stages[1].base.kind == Origin::Kind::named_context);
  CHECK(stages[2].steps[0].origins[0].kind == Origin::Kind::image);
  CHECK(stages[2].steps[1].origins[0].kind == Origin::Kind::named_context);
  CHECK(stages[2].steps[2].origins[0].kind == Origin::Kind::context);
}

TEST_CASE("what a graph refuses") {
  CHECK(
      refusal("RUN x\n") ==
      "Dockerfile:1: no build stage in current context: the first instruction must be FROM or ARG");
  CHECK(refusal("ARG x\n") == "Dockerfile:1: no FROM: nothing to build");
  CHECK(refusal("FROM $x\n") == "Dockerfile:1: base name ($x) should not be blank");
  CHECK(refusal("FROM a AS x\nCOPY --from=y /a /b\nFROM b AS y\n") ==
        "Dockerfile:2: cannot copy from stage 'y': it needs to be defined before stage 'x'");
  CHECK(refusal("FROM a AS x\nCOPY --from=x /a /b\n") ==
        "Dockerfile:2: cannot copy from stage 'x' into itself");
  CHECK(refusal("FROM a\nCOPY --from=7 /a /b\n") == "Dockerfile:2: invalid stage index 7");
  CHECK(refusal("FROM a\nARG v=x\nCOPY --from=$v /a /b\n") ==
        "Dockerfile:3: variable expansion is not supported for --from");
  CHECK(refusal("FROM --platform=linux/amd64/v2/x a\n").contains("is not of the form"));
}

TEST_CASE("scopes of ARG") {
  Inputs inputs = amd64();
  inputs.build_args = {{"given", "from outside"}, {"tag", "13"}, {"HTTP_PROXY", "p"}};
  const Built built(
      "ARG tag=12\nARG img=debian:${tag}\nARG unseen=u\nFROM ${img} AS a\n"
      "ENV before=${img:-unset}\nARG img\nARG given=default\nARG own=${img}/$given\nARG none\n"
      "ARG TARGETARCH\nENV after=$own-$TARGETARCH-$unseen-$none\nRUN echo\n"
      "FROM a\nENV inherited=$own\n",
      inputs);
  CHECK(built.graph.stages()[0].base.name == "debian:13");
  const State state = final_state(built);
  CHECK(state.variables().get("before") == "unset");
  CHECK(state.variables().get("after") == "debian:13/from outside-amd64--");
  CHECK(state.variables().get("inherited") == "debian:13/from outside");
  CHECK(state.image().config.env.size() == 4);  // PATH, before, after, inherited: no ARG
  CHECK(state.run_environment()[0] == "HTTP_PROXY=p");
  const auto& history = state.image().history;
  CHECK(history[7].created_by ==
        "RUN |5 img=debian:13 given=from outside own=debian:13/from outside none= TARGETARCH=amd64 "
        "/bin/sh -c echo");
  CHECK_FALSE(history[7].empty_layer);
  CHECK(history[6].empty_layer);
}

TEST_CASE("ONBUILD fires from a stage of the same file, once, and may need more stages") {
  const Built built(
      "FROM scratch AS tools\nFROM scratch AS unneeded\nFROM scratch AS base\nENV n=0\n"
      "ONBUILD ENV n=${n}1\nONBUILD COPY --from=tools /t /t\nFROM base AS app\nFROM app\n");
  CHECK(built.graph.needed() == Indices{0, 2, 3, 4});
  CHECK(built.graph.stages()[3].steps.size() == 2);
  CHECK(built.graph.stages()[3].steps[0].from_trigger);
  CHECK(built.graph.stages()[4].steps.empty());
  const State state = final_state(built);
  CHECK(state.variables().get("n") == "01");
  CHECK(state.image().config.on_build.empty());
}

TEST_CASE("ONBUILD of a base image") {
  int asked = 0;
  const auto base = [&](const Origin& origin) {
    ++asked;
    CHECK(origin.name == "onb");
    oci::ImageConfig config;
    config.config.on_build = {"RUN <<EOF\nmake\nEOF", "USER 3"};
    config.config.env = {"A=1"};
    return std::optional(config);
  };
  const Built built("FROM other AS unneeded\nFROM onb\nENV B=$A\n", amd64(), base);
  CHECK(asked == 1);
  const auto& steps = built.graph.target().steps;
  REQUIRE(steps.size() == 3);
  CHECK(steps[0].instruction.as<dockerfile::Run>()->heredocs[0].content == "make\n");
  CHECK(steps[0].instruction.range.first_line == 2);
  const State state = final_state(built);
  CHECK(state.variables().get("B") == "1");
  CHECK(state.user() == "3");
  CHECK_THROWS_AS(Built("FROM onb\n", amd64(),
                        [](const Origin&) {
                          oci::ImageConfig config;
                          config.config.on_build = {"ONBUILD RUN x"};
                          return std::optional(config);
                        }),
                  dockerfile::DockerfileError);
}

TEST_CASE("the image that a stage builds") {
  const Built built(
      "FROM scratch AS base\nCMD [\"base\"]\nSHELL [\"/bin/bash\", \"-lc\"]\nWORKDIR /a\n"
      "FROM base\nWORKDIR b/../c\nENTRYPOINT run $it\nEXPOSE 90 80/UDP 8000-8001\n"
      "VOLUME [\"/v\", \"/d ata\"]\nLABEL a=1 b=\"x y\"\nSTOPSIGNAL SIGRTMIN+3\nUSER me:us\n"
      "HEALTHCHECK --interval=1m30s --retries=2 CMD curl x\nMAINTAINER Jo <jo@x>\n"
      "ENV PATH=/x:$PATH\n");
  const oci::ImageConfig image = final_state(built).image();
  CHECK_FALSE(image.config.cmd.has_value());
  CHECK(*image.config.entrypoint == std::vector<std::string>{"/bin/bash", "-lc", "run $it"});
  CHECK(image.config.working_dir == "/a/c");
  CHECK(image.config.exposed_ports ==
        std::vector<std::string>{"80/udp", "8000/tcp", "8001/tcp", "90/tcp"});
  CHECK(image.config.volumes == std::vector<std::string>{"/d ata", "/v"});
  CHECK(image.config.labels.at("b") == "x y");
  CHECK(image.config.stop_signal == "SIGRTMIN+3");
  CHECK(image.config.user == "me:us");
  CHECK(image.config.healthcheck->interval == 90'000'000'000);
  CHECK(image.config.healthcheck->test == std::vector<std::string>{"CMD-SHELL", "curl x"});
  CHECK(image.author == "Jo <jo@x>");
  CHECK(image.config.env[0].starts_with("PATH=/x:/usr/local/sbin"));
  CHECK(refusal("FROM a\nSTOPSIGNAL SIGNOPE\n") ==
        "Dockerfile:2: invalid signal 'SIGNOPE': must be a name like SIGTERM or a number");
  CHECK(refusal("FROM a\nEXPOSE 70000\n").contains("invalid port '70000'"));
  CHECK(refusal("FROM a\nUSER ${who:?is needed}\n").contains("who: is needed"));
}

TEST_CASE("destinations are absolute and keep what says directory") {
  const Built built("FROM scratch\nWORKDIR /w\n");
  const State state = final_state(built);
  CHECK(state.absolute("x") == "/w/x");
  CHECK(state.absolute("x/") == "/w/x/");
  CHECK(state.absolute(".") == "/w/");
  CHECK(state.absolute("") == "/w/");
  CHECK(state.absolute("/a/../..") == "/");
}

TEST_CASE("invocations") {
  const auto run = [](const std::string& text) {
    const auto file = dockerfile::parse_dockerfile({"Dockerfile", text});
    return invocation_of(*file.instructions[0].as<dockerfile::Run>(), {});
  };
  CHECK(run("RUN echo \"a  b\"").argv ==
        std::vector<std::string>{"/bin/sh", "-c", "echo \"a  b\""});
  CHECK(run("RUN [\"a\", \"b c\"]").argv == std::vector<std::string>{"a", "b c"});
  CHECK(run("RUN <<-E\n\ta\n\tb\n\tE\n").argv[2] == "a\nb\n");
  const Invocation script = run("RUN <<'a/b'\n#!/bin/python\nx\na/b\n");
  CHECK(script.argv == std::vector<std::string>{"/dev/pipes/a_b"});
  CHECK(script.script->data == "#!/bin/python\nx\n");
  CHECK(run("RUN cat <<A 3<<B\n1\nA\n2\nB\n").argv[2] == "cat <<A 3<<B\n1\nA\n2\nB");
}
