#include "builder/steps/image_user.hh"

#include <doctest/doctest.h>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

const UserDatabase database = {
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"
    "broken\n12:x:77:78::/odd:/bin/sh\nbad:x:9999999999:1::/:/bin/sh\n",
    "root:x:0:\nstaff:x:50:app,root\nwheel:x:10:root,app\napp:x:1001:app\n"};

}  // namespace

TEST_CASE("users by name and number") {
  CHECK(look_up_user("", database).uid == 0);
  const ImageUser app = look_up_user("app", database);
  CHECK(app.uid == 1000);
  CHECK(app.gid == 1001);
  CHECK(app.home == "/home/app");
  CHECK(app.additional_gids == std::vector<uint32_t>{1001, 50, 10});
  CHECK(look_up_user("1000", database).gid == 1001);
  CHECK(look_up_user("4242", database).gid == 0);
  CHECK(look_up_user("12", database).uid == 77);  // a user of that name
  const ImageUser pair = look_up_user("app:staff", database);
  CHECK(pair.gid == 50);
  CHECK(pair.additional_gids == std::vector<uint32_t>{50});
  CHECK(look_up_user("5:6", {}).gid == 6);
  CHECK(look_up_user("5:6", {}).additional_gids == std::vector<uint32_t>{6});
  CHECK(look_up_user("", {}).additional_gids == std::vector<uint32_t>{0});
}

TEST_CASE("what no user is") {
  for (const char* text : {"nobody", "1x", "-1", "4294967296", " 1", "bad", "app:none"})
    CHECK_THROWS_AS(look_up_user(text, database), Error);
  CHECK_THROWS_WITH(look_up_user("app", {}),
                    "user app: the image has no /etc/passwd, use a number");
}

TEST_CASE("owners") {
  CHECK(look_up_owner("55", database).gid == 55);
  CHECK(look_up_owner("55:mail", {std::nullopt, "mail:x:8:"}).gid == 8);
  CHECK(look_up_owner("app", database).gid == 1001);
  CHECK(look_up_owner("app:root", database).gid == 0);
  CHECK_THROWS_AS(look_up_owner("ghost", database), Error);
}

}  // namespace kiln
