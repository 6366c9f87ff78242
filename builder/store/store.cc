#include "builder/store/store.hh"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "builder/sys/error.hh"
#include "oci-spec/format_error.hh"

namespace kiln {

namespace {

constexpr std::string_view layout_file = R"({"imageLayoutVersion":"1.0.0"})";

std::string home_directory() {
  if (const char* home = getenv("HOME"); home != nullptr && home[0] == '/') return home;
  passwd entry{};
  passwd* found = nullptr;
  std::string buffer(16384, '\0');
  if (getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return found->pw_dir;
  throw Error("no home directory for the store: set HOME or KILN_STORE, or give --store");
}

// image-layout.md: oci-layout says that this is a layout, and of which version.
void check_layout(int root, const std::string& path) {
  const auto text = try_read_file_at(root, "oci-layout", 4096);
  if (text) {
    // Ours or a foreign tool's: only the version counts.
    if (text->find("\"imageLayoutVersion\"") == text->npos || text->find("\"1.0.0\"") == text->npos)
      throw Error("store " + path + ": oci-layout is of an unknown version, expected 1.0.0");
    return;
  }
  struct stat status {};
  if (fstatat(root, "index.json", &status, AT_SYMLINK_NOFOLLOW) == 0)
    throw Error("store " + path + ": has index.json and no oci-layout: no OCI image layout");
  write_file_atomic(root, "oci-layout", layout_file);
}

}  // namespace

std::string Store::default_directory(std::string_view option) {
  if (!option.empty()) return std::string(option);
  if (const char* store = getenv("KILN_STORE"); store != nullptr && *store) return store;
  // The XDG base directory specification: a relative path is to be ignored.
  if (const char* data = getenv("XDG_DATA_HOME"); data != nullptr && data[0] == '/')
    return std::string(data) + "/kiln";
  return home_directory() + "/.local/share/kiln";
}

Store::Store(const std::string& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) throw Error("store " + directory + ": " + failed.message());
  root_ = Fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_) throw SysError("open store " + directory);
  path_ = std::filesystem::canonical(directory, failed).string();
  if (failed) throw Error("store " + directory + ": " + failed.message());
  check_layout(root_.get(), path_);
  make_dir_at(root_.get(), "blobs");
  make_dir_at(root_.get(), "blobs/sha256");
  blobs_ = open_dir_at(root_.get(), "blobs");
  make_dir_at(root_.get(), "kiln");
  kiln_ = open_dir_at(root_.get(), "kiln");
  make_dir_at(kiln_.get(), "ingest");
  ingest_ = open_dir_at(kiln_.get(), "ingest");
  // image-layout.md: index.json is required, also when there is no image.
  struct stat status {};
  if (fstatat(root_.get(), "index.json", &status, 0) != 0)
    update_index([](oci::Index&) { return true; });
}

Store::~Store() = default;

std::string Store::sub_directory(const std::string& name) const {
  make_dir_at(kiln_.get(), name);
  return path_ + "/kiln/" + name;
}

Lease& Store::lease() {  // with mutex_ locked
  if (!lease_) lease_.emplace(kiln_.get(), "command");
  return *lease_;
}

std::optional<LayerIndex> Store::layer_index(const oci::Digest& diff_id) const {
  const Fd directory(openat(kiln_.get(), "layer-index", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return std::nullopt;
  const auto text = try_read_file_at(directory.get(), std::string(diff_id.hex()), size_t{1} << 30);
  if (!text) return std::nullopt;
  auto parsed = LayerIndex::parse(*text);
  if (!parsed) return std::nullopt;  // damaged: it is a cache, and made anew
  return std::move(*parsed);
}

void Store::put_layer_index(const oci::Digest& diff_id, const LayerIndex& index) {
  make_dir_at(kiln_.get(), "layer-index");
  const Fd directory = open_dir_at(kiln_.get(), "layer-index");
  write_file_atomic(directory.get(), std::string(diff_id.hex()), index.serialize());
}

}  // namespace kiln
