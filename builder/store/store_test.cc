#include "builder/store/store.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "builder/store/cache.hh"
#include "builder/store/collect.hh"
#include "builder/store/fsck.hh"
#include "builder/store/image.hh"
#include "builder/sys/error.hh"
#include "builder/sys/test_directory.hh"

using namespace kiln;

namespace {

// A minimal image whose layer is just bytes; its diff id is as good as any.
oci::Descriptor make_image(Store& store, const std::string& content) {
  const oci::Descriptor layer = store.put_blob(content, oci::media::layer, Sync::no);
  oci::ImageConfig config;
  config.architecture = host_platform().architecture;
  config.os = "linux";
  config.diff_ids = {layer.digest};
  return store_image(store, config, {layer});
}

void write_path(const std::string& path, std::string_view content) {
  std::filesystem::remove(path);
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  REQUIRE(file);
  write_all(file.get(), content);
}

// Makes a file look `seconds` older.
void age(const std::string& path, int64_t seconds) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  now.tv_sec -= seconds;
  const timespec times[2] = {now, now};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

const std::string a = "docker.io/library/a:1";

}  // namespace

TEST_CASE("store: a new one is an OCI layout") {
  TestDirectory s;
  Store store(s.path + "/x/y");
  CHECK(read_file_at(store.directory(), "oci-layout", 100) == R"({"imageLayoutVersion":"1.0.0"})");
  CHECK(
      oci::read_index(read_file_at(store.directory(), "index.json", 1000), "i").manifests.empty());
  CHECK_THROWS_AS(store.read_blob(oci::Digest::sha256("none")), Error);
}

TEST_CASE("store: a directory that is something else is refused") {
  TestDirectory s;
  write_path(s.path + "/oci-layout", R"({"imageLayoutVersion":"9"})");
  CHECK_THROWS_AS(Store{s.path}, Error);
  std::filesystem::remove(s.path + "/oci-layout");
  write_path(s.path + "/index.json", "{}");
  CHECK_THROWS_AS(Store{s.path}, Error);
}

TEST_CASE("blobs: appear when finished, and only if they are what was expected") {
  TestDirectory s;
  Store store(s.path);
  {
    BlobWriter w = store.new_blob();
    w.write(std::as_bytes(std::span("abc", 3)));
    CHECK_THROWS_AS(w.finish(oci::Digest::sha256("abd")), Error);
  }
  {
    BlobWriter w = store.new_blob();
    w.write(std::as_bytes(std::span("abc", 3)));
    CHECK_THROWS_AS(w.finish({}, 4), Error);
  }
  CHECK(std::filesystem::is_empty(s.path + "/blobs/sha256"));
  CHECK(std::filesystem::is_empty(s.path + "/kiln/ingest"));
  BlobWriter w = store.new_blob();
  w.write(std::as_bytes(std::span("abc", 3)));
  const auto written = w.finish(oci::Digest::sha256("abc"), 3);
  CHECK(store.blob_size(written.digest) == 3);
  CHECK(store.read_blob(written.digest) == "abc");
  CHECK_THROWS_AS(store.read_blob(written.digest, 2), Error);
}

TEST_CASE("blobs: a damaged document is noticed") {
  TestDirectory s;
  Store store(s.path);
  const auto d = store.put_blob("abc", "a/b");
  chmod(store.blob_path(d.digest).c_str(), 0644);
  write_path(store.blob_path(d.digest), "abd");
  CHECK_THROWS_AS(store.read_blob(d.digest), Error);
}

TEST_CASE("names: a moved tag leaves the old image nameless, once") {
  TestDirectory s;
  Store store(s.path);
  const auto first = make_image(store, "one");
  const auto second = make_image(store, "two");
  store.set_name(a, first);
  CHECK(store.find_name("a:1")->digest == first.digest);
  store.set_name(a, second);
  CHECK(store.find_name(a)->digest == second.digest);
  REQUIRE(store.images().size() == 2);
  CHECK(store.images()[0].name.empty());
  store.set_name("docker.io/library/b:1", first);  // named again: not listed twice
  REQUIRE(store.images().size() == 2);
  store.set_name("", first);
  CHECK(store.images().size() == 2);
  CHECK(store.remove_name("a:1"));
  CHECK_FALSE(store.remove_name("a:1"));
  CHECK(store.images().size() == 1);
  CHECK(load_image(store, "b:1").manifest_blob.digest == first.digest);
}

TEST_CASE("names: what foreign tools write is understood") {
  TestDirectory s;
  Store store(s.path);
  oci::Descriptor d = make_image(store, "one");
  oci::Index index;
  d.annotations[ref_name_annotation] = "latest";
  index.manifests.push_back(d);
  d.annotations[ref_name_annotation] = "v2";
  d.annotations[containerd_name_annotation] = "host:5000/app:v2";
  index.manifests.push_back(d);
  d.annotations.clear();
  d.annotations[ref_name_annotation] = "\x1b[31m!";
  index.manifests.push_back(d);
  write_file_atomic(store.directory(), "index.json", oci::write(index));
  CHECK(store.find_name("latest").has_value());
  CHECK(store.find_name("host:5000/app:v2").has_value());
  CHECK_FALSE(store.find_name("v2").has_value());
  CHECK(store.images().size() == 3);
}

TEST_CASE("images: found by name, id and digest") {
  TestDirectory s;
  Store store(s.path);
  const auto one = make_image(store, "one");
  store.set_name(a, one);
  const Image image = load_image(store, "a:1");
  CHECK(load_image(store, image.id().text()).name == a);
  CHECK(load_image(store, image.id().hex().substr(0, 12)).name == a);
  CHECK(load_image(store, one.digest.hex().substr(0, 8)).name == a);
  CHECK(load_image(store, "a@" + one.digest.text()).name == a);
  CHECK_FALSE(try_load_image(store, "a:2").has_value());
  CHECK_FALSE(try_load_image(store, "b@" + one.digest.text()).has_value());
  CHECK_THROWS_AS(load_image(store, "NO/such"), Error);
  CHECK_THROWS_AS(load_image(store, "a:1", oci::parse_platform("linux/mips64le")), Error);
}

TEST_CASE("images: an index gives the manifest of the platform, nested ones have a bound") {
  TestDirectory s;
  Store store(s.path);
  oci::Index index;
  for (const char* platform : {"linux/arm/v6", "linux/arm/v7", "linux/amd64"}) {
    oci::ImageConfig config;
    const auto p = *oci::parse_platform(platform);
    config.architecture = p.architecture;
    config.os = p.os;
    config.variant = p.variant;
    index.manifests.push_back(store_image(store, config, {}));
  }
  const auto top = store.put_blob(oci::write(index), oci::media::index);
  store.set_name(a, top);
  CHECK(load_image(store, a, oci::parse_platform("linux/arm/v7")).config.variant == "v7");
  CHECK(load_image(store, a, oci::parse_platform("linux/arm/v6")).config.variant == "v6");
  CHECK(load_image(store, a, oci::parse_platform("amd64")).config.architecture == "amd64");
  CHECK_THROWS_AS(load_image(store, a, oci::parse_platform("linux/s390x")), Error);
  oci::Descriptor deep = top;
  for (int i = 0; i < 5; ++i) {
    oci::Index outer;
    outer.manifests = {deep};
    deep = store.put_blob(oci::write(outer), oci::media::index);
  }
  CHECK_THROWS_AS(load_image(store, deep), Error);
}

TEST_CASE("images: layers and diff ids must agree") {
  TestDirectory s;
  Store store(s.path);
  oci::ImageConfig config;
  config.architecture = "amd64";
  config.os = "linux";
  const auto layer = store.put_blob("x", oci::media::layer);
  CHECK_THROWS_AS(load_image(store, store_image(store, config, {layer})), Error);
}

TEST_CASE("chain ids follow config.md") {
  const auto one = oci::Digest::sha256("1"), two = oci::Digest::sha256("2");
  const auto chain = chain_ids({one, two});
  CHECK(chain[0] == one.text());
  CHECK(chain[1] == oci::Digest::sha256(one.text() + " " + two.text()).text());
}

TEST_CASE("cache: records come back while their blobs are there") {
  TestDirectory s;
  Store store(s.path);
  BuildCache cache(store);
  CacheRecord record;
  record.key = oci::Digest::sha256("key");
  record.slot = "Dockerfile 3";
  const auto blob = store.put_blob("layer", oci::media::layer_gzip);
  record.layers = {{blob, oci::Digest::sha256("tar")}};
  record.patch = "{\"a\":1}\n\xff";
  record.parts = {{"files", "sha256:1"}, {"env", "A=1"}};
  CHECK_FALSE(cache.find(record.key).has_value());
  cache.put(record);
  auto found = cache.find(record.key);
  REQUIRE(found.has_value());
  CHECK(found->layers == record.layers);
  CHECK(found->parts == record.parts);
  CHECK(cache.newest("Dockerfile 3")->key == record.key);
  CHECK_FALSE(cache.newest("Dockerfile 4").has_value());
  CHECK(cache.all().size() == 1);
  std::string text = write_record(record);
  CHECK(read_record(text).has_value());
  for (size_t i = 0; i < text.size(); i += 7) {
    std::string bad = text;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    CHECK_FALSE(read_record(bad).has_value());
    CHECK_FALSE(read_record(text.substr(0, i)).has_value());
  }
  std::filesystem::remove(store.blob_path(blob.digest));
  CHECK_FALSE(cache.find(record.key).has_value());
}

TEST_CASE("collection: what is reached, held or young stays; the rest goes") {
  TestDirectory s;
  oci::Digest orphan, young;
  oci::Descriptor named, nameless;
  {
    Store store(s.path);
    named = make_image(store, "named");
    store.set_name(a, named);
    nameless = make_image(store, "nameless");
    store.set_name("", nameless);
    orphan = store.put_blob("orphan", "a/b").digest;
    young = store.put_blob("young", "a/b").digest;
    // While its maker lives all of it is held, old or not.
    age(store.blob_path(orphan), 9999);
    Store other(s.path);
    CHECK(prune(other, {}).blobs == 0);
    CHECK(other.images().size() == 2);
  }
  Store store(s.path);
  const Pruned first = prune(store, {});
  CHECK(first.images.size() == 1);
  CHECK(first.blobs == 3);  // manifest, config and layer; the orphan's ctime is young
  CHECK(store.blob_size(orphan).has_value());
  CHECK(store.blob_size(young).has_value());
  CHECK(load_image(store, a).manifest_blob.digest == named.digest);
  CHECK(fsck(store, false).damage.empty());
}

TEST_CASE("collection: a dead writer's file goes, a live one's stays") {
  TestDirectory s;
  Store store(s.path);
  BlobWriter live = store.new_blob();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    Store mine(s.path);
    BlobWriter dead = mine.new_blob();
    dead.write(std::as_bytes(std::span("abc", 3)));
    _exit(0);  // no destructor runs, as after kill -9
  }
  waitpid(child, nullptr, 0);
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(s.path + "/kiln/ingest"), {});
  };
  CHECK(count() == 2);
  prune(store, {});
  CHECK(count() == 1);
  live.write(std::as_bytes(std::span("x", 1)));
  CHECK(live.finish().digest == oci::Digest::sha256("x"));
}

TEST_CASE("collection: rmi's blobs go at once, those another image shares stay") {
  TestDirectory s;
  std::vector<oci::Descriptor> gone;
  {
    Store store(s.path);
    const auto one = make_image(store, "shared");
    store.set_name(a, one);
    oci::ImageConfig config;
    config.architecture = host_platform().architecture;
    config.os = "linux";
    config.author = "other";
    config.diff_ids = {oci::Digest::sha256("shared")};
    store.set_name("docker.io/library/b:1",
                   store_image(store, config, {store.put_blob("shared", oci::media::layer)}));
    gone = reachable(store, one);
  }
  Store store(s.path);
  store.remove_name(a);
  CHECK(collect_blobs(store, gone) > 0);
  CHECK(load_image(store, "b:1").config.author == "other");
  CHECK_FALSE(store.blob_size(gone[0].digest).has_value());
}

TEST_CASE("collection: keep-storage drops the least recently used records first") {
  TestDirectory s;
  std::vector<oci::Digest> keys;
  {
    Store store(s.path);
    BuildCache cache(store);
    for (int i = 0; i < 4; ++i) {
      CacheRecord record;
      record.key = oci::Digest::sha256("key" + std::to_string(i));
      const std::string content(100'000, static_cast<char>('a' + i));
      record.layers = {
          {store.put_blob(content, oci::media::layer, Sync::no), oci::Digest::sha256(content)}};
      cache.put(record, Sync::no);
      keys.push_back(record.key);
      age(s.path + "/kiln/cache/" + std::string(record.key.hex()), 1000 - 100 * i);
    }
  }
  Store store(s.path);
  CHECK(prune(store, {.keep_storage = 250'000}).records == 2);
  BuildCache cache(store);
  CHECK_FALSE(cache.find(keys[0]).has_value());
  CHECK_FALSE(cache.find(keys[1]).has_value());
  CHECK(cache.all().size() == 2);
}

TEST_CASE("fsck: damage is found, named and mended") {
  TestDirectory s;
  {
    Store store(s.path);
    store.set_name(a, make_image(store, "one"));
    store.set_name("docker.io/library/b:1", make_image(store, "two"));
    CacheRecord record;
    record.key = oci::Digest::sha256("key");
    record.layers = {{store.put_blob("one", oci::media::layer), oci::Digest::sha256("one")}};
    BuildCache(store).put(record);
  }
  Store store(s.path);
  CHECK(fsck(store, false).damage.empty());
  const std::string victim = store.blob_path(oci::Digest::sha256("one"));
  chmod(victim.c_str(), 0644);
  write_path(victim, "onf");
  CHECK(fsck(store, false).damage.size() == 3);  // blob, image, record
  const auto mended = fsck(store, true);
  CHECK(mended.damage.size() == 3);
  for (const Damage& d : mended.damage) CHECK(d.repaired);
  CHECK(fsck(store, false).damage.empty());
  CHECK(store.images().size() == 1);
}
