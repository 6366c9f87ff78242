#include "builder/dockerfile/file.hh"

#include <doctest/doctest.h>

#include "builder/dockerfile/quantity.hh"

using namespace kiln;
using namespace kiln::dockerfile;
using namespace std::chrono_literals;

namespace {

Instruction one(std::string text) {
  return parse_dockerfile({"Dockerfile", std::move(text)}).instructions.at(0);
}

template <class Body>
Body body(std::string text) {
  return *one(std::move(text)).as<Body>();
}

// The part of the line that the carets stand below, and the message.
std::pair<std::string, std::string> refusal(const std::string& text) {
  try {
    one(text);
  } catch (const DockerfileError& error) {
    return {text.substr(error.range().begin, error.range().end - error.range().begin),
            error.reason() + (error.hint().empty() ? "" : " | " + error.hint())};
  }
  return {"", "accepted"};
}

using Refusal = std::pair<std::string, std::string>;
using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("every instruction with every flag") {
  const From from = body<From>("FROM --platform=$BUILDPLATFORM a/b:1@sha256:x AS Some-Name.1");
  CHECK(from.base == "a/b:1@sha256:x");
  CHECK(from.name == "some-name.1");
  CHECK(from.platform == "$BUILDPLATFORM");

  const Run run = body<Run>(
      "RUN --network=none --security=insecure --mount=type=cache,target=/c "
      "--mount=from=x,target=/m "
      "make");
  CHECK(run.network == Run::Network::none);
  CHECK(run.security == Run::Security::insecure);
  REQUIRE(run.mounts.size() == 2);
  CHECK(run.mounts[1].from == "x");
  CHECK(run.command == CommandLine{{"make"}, true});
  CHECK(body<Run>("RUN --network=pasta make").network == Run::Network::pasta);

  const Copy copy = body<Copy>(
      "COPY --from=x --chown=1:2 --chmod=u+x --link --parents --exclude=*.o --exclude=t a b c/");
  CHECK(copy.sources == Words{"a", "b"});
  CHECK(copy.destination == "c/");
  CHECK(copy.from + copy.chown + copy.chmod == "x1:2u+x");
  CHECK(copy.excludes == Words{"*.o", "t"});
  CHECK((copy.link && copy.parents));

  const Add add = body<Add>(
      "ADD --checksum=sha256:0 --keep-git-dir=true --unpack=false --link=false https://x/y /z");
  CHECK(add.checksum == "sha256:0");
  CHECK(add.keep_git_dir == true);
  CHECK(add.unpack == false);
  CHECK_FALSE(body<Add>("ADD a b").unpack.has_value());

  const Copy inlined = body<Copy>("COPY <<-A <<'B' x /d/\n\t1\n\tA\n$2\nB\n");
  REQUIRE(inlined.files.size() == 2);
  CHECK(inlined.files[0].data == "1\n");
  CHECK(inlined.files[0].expand);
  CHECK(inlined.files[1].data == "$2\n");
  CHECK_FALSE(inlined.files[1].expand);
  CHECK(inlined.sources == Words{"x"});

  const Healthcheck health = body<Healthcheck>(
      "HEALTHCHECK --interval=1h2m3.5s --timeout=1500ms --start-period=0s --start-interval=2s "
      "--retries=4 CMD [\"a\", \"b\"]");
  CHECK(health.test == Words{"CMD", "a", "b"});
  CHECK(health.interval == 1h + 2min + 3500ms);
  CHECK(health.timeout == 1500ms);
  CHECK(health.start_interval == 2s);
  CHECK(health.retries == 4);
  CHECK(body<Healthcheck>("HEALTHCHECK NONE").test == Words{"NONE"});

  const Arg arg = body<Arg>("# a the first\nARG a=1 b c='x y'");
  CHECK(arg.definitions[0].description == "the first");
  CHECK_FALSE(arg.definitions[1].value.has_value());
  CHECK(arg.definitions[2].value == "'x y'");

  CHECK(body<Expose>("EXPOSE 9 80/udp").ports == Words{"80/udp", "9"});
  CHECK(body<Volume>("VOLUME [\"/a b\"]").paths == Words{"/a b"});
  CHECK(body<Shell>("SHELL [\"sh\"]").words == Words{"sh"});
  CHECK(body<Entrypoint>("ENTRYPOINT []").command == CommandLine{{}, false});
  CHECK(body<Onbuild>("onbuild  RUN <<E\nx\nE\n").trigger == "RUN <<E\nx\nE");
  CHECK(body<User>("USER a b").user == "a b");
  CHECK(body<Env>("ENV a b c").variables[0].spaced);
  CHECK(keyword_of(one("cmd x").body) == "CMD");
}

TEST_CASE("refusals point at the place") {
  CHECK(refusal("FORM a") == Refusal{"FORM", "unknown instruction: FORM | did you mean FROM?"});
  CHECK(refusal("CPY --from=a b c").second == "unknown instruction: CPY | did you mean COPY?");
  CHECK(refusal("XYZZY a").second == "unknown instruction: XYZZY");
  CHECK(refusal("COPY --form=a b c") ==
        Refusal{"--form", "unknown flag: --form | did you mean --from?"});
  CHECK(refusal("COPY --link --link a b").second == "flag given twice: --link");
  CHECK(refusal("COPY --link=maybe a b").first == "--link=maybe");
  CHECK(refusal("COPY --chown a b").second == "missing a value on flag: --chown");
  CHECK(refusal("COPY a").second.contains("at least two arguments"));
  CHECK(refusal("COPY a <<X\nX\n").second.contains("heredoc as its destination"));
  CHECK(refusal("FROM a b").second.starts_with("FROM requires either one or three"));
  CHECK(refusal("FROM a AS 1x").first == "1x");
  CHECK(refusal("RUN --network=bridge x") ==
        Refusal{"bridge", "invalid network mode 'bridge': must be default, none, host or pasta"});
  CHECK(refusal("SHELL sh -c").second.starts_with("SHELL requires the arguments to be in JSON"));
  CHECK(refusal("HEALTHCHECK CMD").second == "missing command after HEALTHCHECK CMD");
  CHECK(refusal("HEALTHCHECK --interval=5 CMD x").first == "5");
  CHECK(refusal("HEALTHCHECK --interval=10us CMD x").second.contains("less than 1ms"));
  CHECK(refusal("HEALTHCHECK --retries=-1 CMD x").second.contains("--retries"));
  CHECK(refusal("ONBUILD ONBUILD RUN x").second.contains("isn't allowed as an ONBUILD trigger"));
  CHECK(refusal("ONBUILD COPY a").second.contains("at least two arguments"));
  CHECK(refusal("WORKDIR").second == "WORKDIR requires exactly one argument");
  CHECK(refusal("ENV =x").second == "ENV names can not be blank");
  CHECK(refusal("RUN --mount=from=$x,target=/y z").second.contains("define alias stage"));
}

TEST_CASE("mounts") {
  const auto same = [](std::string_view text) { return std::string(text); };
  const auto mount = [&](std::string_view text) { return parse_mount(text, same); };
  const auto wrong = [&](std::string_view text) {
    try {
      mount(text);
    } catch (const Error& error) {
      return error.message();
    }
    return std::string("accepted");
  };
  CHECK(mount("target=/a").type == Mount::Type::bind);
  CHECK(mount("target=/a").read_only);
  CHECK_FALSE(mount("target=/a,rw").read_only);
  CHECK_FALSE(mount("type=cache,target=/a").read_only);
  CHECK(mount("type=cache,dst=/a,ro,id=x,sharing=locked,mode=0755,uid=1,gid=2").mode == 0755U);
  CHECK(mount("type=cache,dst=/a,sharing=private").sharing == Mount::Sharing::private_);
  CHECK(mount("type=tmpfs,target=/t,size=1.5m").size == 1572864);
  const Mount secret = mount("type=secret,id=s,env=TOKEN,required=true");
  CHECK(secret.env == "TOKEN");
  CHECK(secret.required);
  CHECK(mount("\"type=bind\",\"target=/a,b\"").target == "/a,b");
  CHECK(mount("type=ssh,required").required);
  CHECK(wrong("type=secret") == "invalid secret mount: one of id, source, target required");
  CHECK(wrong("type=secret,id=a,source=b").contains("can't both be set"));
  CHECK(wrong("type=bind,target=/a,mode=0700") == "mode not allowed for 'bind' mounts");
  CHECK(wrong("type=bind,target=/a,sharing=shared").contains("sharing is not allowed"));
  CHECK(wrong("type=bind,size=1").contains("unexpected key 'size'"));
  CHECK(wrong("type=cache,uid=-1") == "invalid value for uid: -1");
  CHECK(wrong("type=cache,mode=99") == "invalid value for mode: 99");
  CHECK(wrong("tagret=/a").starts_with("unexpected key 'tagret'"));
  CHECK(wrong("bind-propagation=shared").starts_with("unexpected key"));
  CHECK(wrong("readonly=perhaps").contains("invalid value for readonly"));
  CHECK(wrong("target").contains("must be a key=value pair"));
}

TEST_CASE("exactly the listed instructions expand") {
  const Expansion mark{[](std::string_view w) { return "<" + std::string(w) + ">"; },
                       [](std::string_view w) {
                         return Words{std::string(w), "more"};
                       },
                       [](std::string_view w) { return "{" + std::string(w) + "}"; }};
  const auto after = [&](std::string text) { return expand(one(std::move(text)).body, mark); };
  CHECK(std::get<Run>(after("RUN x")).command.words == Words{"x"});
  CHECK(std::get<Run>(after("RUN --mount=target=b x")).mounts.at(0).target == "<b>");
  CHECK(std::get<Cmd>(after("CMD x")).command.words == Words{"x"});
  CHECK(std::get<Onbuild>(after("ONBUILD RUN $x")).trigger == "RUN $x");
  CHECK(std::get<Shell>(after("SHELL [\"$x\"]")).words == Words{"$x"});
  const Copy copy =
      std::get<Copy>(after("COPY --from=f --chown=o --exclude=e <<A <<'B' s d\n1\nA\n2\nB\n"));
  CHECK(copy.sources == Words{"<s>"});
  CHECK(copy.destination == "<d>");
  CHECK(copy.chown == "<o>");
  CHECK(copy.from == "f");
  CHECK(copy.excludes == Words{"e"});
  CHECK(copy.files[0].data == "{1\n}");
  CHECK(copy.files[1].data == "2\n");
  CHECK(std::get<Expose>(after("EXPOSE a")).ports == Words{"a", "more"});
  CHECK(std::get<Label>(after("LABEL a=b")).labels[0] == KeyValue{"<a>", "<b>", false});
  CHECK(std::get<Stopsignal>(after("STOPSIGNAL s")).signal == "<s>");
  CHECK(std::get<Workdir>(after("WORKDIR w")).path == "<w>");
}

TEST_CASE("what is no text") {
  const auto refused = [](std::string text) {
    try {
      parse_dockerfile({"Dockerfile", std::move(text)});
    } catch (const DockerfileError& error) {
      return error.message();
    }
    return std::string("nothing");
  };
  using namespace std::string_literals;
  CHECK(refused("FROM a\nRUN b\0c\n"s) == "Dockerfile:2: a NUL character");
  CHECK(refused("\xff\xfe"s + "F\0R\0"s) == "Dockerfile:1: the file is UTF-16: save it as UTF-8");
  CHECK(refused("FROM a\nRUN []\n") == "Dockerfile:2: RUN [] names no command");
}

TEST_CASE("quantities") {
  CHECK(parse_duration("1m") == 60s);
  CHECK(parse_duration("0") == 0s);
  CHECK(parse_duration("-1.5h") == -90min);
  for (const char* bad : {"", "1", "s", "1x", "1s ", ".s", "1..5s", "99999999999h"}) {
    CHECK_FALSE(parse_duration(bad).has_value());
  }
  CHECK(parse_size("10") == 10);
  CHECK(parse_size("1KiB") == 1024);
  CHECK(parse_size("2 gb") == int64_t{2} << 30);
  for (const char* bad : {"", "-1", "1x", "b", "9999999p", "1 k b"}) {
    CHECK_FALSE(parse_size(bad).has_value());
  }
  CHECK(parse_number("0755", 8) == 0755U);
  for (const char* bad : {"", "+1", "1 ", "4294967296", "0x1"}) {
    CHECK_FALSE(parse_number(bad).has_value());
  }
}
