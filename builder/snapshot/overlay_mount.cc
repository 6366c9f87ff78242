#include "builder/snapshot/overlay_mount.hh"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <thread>

#include "builder/snapshot/records.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/file.hh"

// <sys/mount.h> of glibc before 2.37 cannot stand beside <linux/mount.h>.
extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*) noexcept;
extern "C" int umount2(const char*, int) noexcept;

namespace kiln {

namespace {

std::atomic<bool> no_fsconfig = false;
constexpr int detach = 2;  // MNT_DETACH

// What the kernel wrote into the context's log, "e message" a line.
std::string kernel_words(int context) {
  std::string out;
  char line[512];
  for (ssize_t got; (got = ::read(context, line, sizeof line)) > 0;) {
    if (got <= 2) continue;
    if (!out.empty()) out += "; ";
    out.append(line + 2, static_cast<size_t>(got) - 2);
    while (out.ends_with('\n')) out.pop_back();
  }
  return out;
}

// A filesystem on its way to be mounted.
class Context {
 public:
  explicit Context(const char* type)
      : type_(type), fd_(static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC))) {}
  bool opened() const { return static_cast<bool>(fd_); }

  bool try_set(const char* key, const std::string& value) {
    return ::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  }
  void set(const char* key, const std::string& value) {
    if (!try_set(key, value)) fail("fsconfig " + type_ + " " + key + "=" + value);
  }
  void flag(const char* key) {
    if (::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) != 0)
      fail("fsconfig " + type_ + " " + key);
  }
  // The mount, attached nowhere.
  Fd create(unsigned attributes) {
    if (::syscall(SYS_fsconfig, fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
      fail("fsconfig " + type_ + " create");
    Fd tree(static_cast<int>(::syscall(SYS_fsmount, fd_.get(), FSMOUNT_CLOEXEC, attributes)));
    if (!tree) throw SysError("fsmount " + type_);
    return tree;
  }
  [[noreturn]] void fail(std::string what) {
    const int error = errno;
    const std::string words = kernel_words(fd_.get());
    if (!words.empty()) what += " (" + words + ")";
    throw SysError(what, error);
  }

 private:
  std::string type_;
  Fd fd_;
};

void attach(const Fd& tree, int target) {
  if (::syscall(SYS_move_mount, tree.get(), "", target, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    throw SysError("move_mount");
}

// `file` is a path to the image; a kernel before 6.12 says that it is no block device.
Fd image_mount(const std::string& file) {
  Context context("erofs");
  if (!context.opened()) throw SysError("fsopen erofs");
  context.set("source", file);
  return context.create(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
}

// Attached nowhere. nullopt when the kernel lacks fsopen, or lowerdir+ (before 6.5).
std::optional<Fd> overlay_by_fsconfig(const OverlayLayers& layers) {
  if (no_fsconfig.load(std::memory_order_relaxed)) return std::nullopt;
  Context context("overlay");
  if (!context.opened()) return std::nullopt;
  for (const std::string& lower : layers.lowers)
    if (!context.try_set("lowerdir+", lower)) {
      if (errno == EINVAL && &lower == &layers.lowers.front()) return std::nullopt;
      context.fail("fsconfig overlay lowerdir+=" + lower);
    }
  context.set("source", "overlay");
  if (!layers.upper.empty()) {
    context.set("upperdir", layers.upper);
    context.set("workdir", layers.work);
    context.flag("volatile");
  }
  if (in_first_user_namespace()) {
    context.set("redirect_dir", "nofollow");
    context.set("metacopy", "off");
    context.set("index", "off");
  } else {
    context.flag("userxattr");
  }
  return context.create(layers.upper.empty() ? MOUNT_ATTR_RDONLY : 0);
}

void mount_by_options(const OverlayLayers& layers, int target) {
  std::string options = "lowerdir=";
  for (const std::string& lower : layers.lowers) {
    if (&lower != &layers.lowers.front()) options += ':';
    options += lower;
  }
  if (!layers.upper.empty())
    options += ",upperdir=" + layers.upper + ",workdir=" + layers.work + ",volatile";
  options +=
      in_first_user_namespace() ? ",redirect_dir=nofollow,metacopy=off,index=off" : ",userxattr";
  // mount(2) copies one page and silently cuts what is longer.
  if (options.size() >= static_cast<size_t>(::sysconf(_SC_PAGESIZE)))
    throw Error("overlay of " + std::to_string(layers.lowers.size()) +
                " layers does not fit mount(2)'s page of options");
  const std::string at = "/proc/self/fd/" + std::to_string(target);
  const unsigned long flags = layers.upper.empty() ? 1 : 0;  // MS_RDONLY
  if (::mount("overlay", at.c_str(), "overlay", flags, options.c_str()) != 0)
    throw SysError("mount overlay");
}

}  // namespace

void forbid_fsconfig(bool forbidden) {
  no_fsconfig = forbidden;
}

bool in_first_user_namespace() {
  static const bool first = [] {
    const auto map = try_read_file_at(AT_FDCWD, "/proc/self/uid_map", 4096);
    return map && map->find("4294967295") != std::string::npos;
  }();
  return first;
}

bool may_mount_images() {
  return in_first_user_namespace() && !no_fsconfig.load(std::memory_order_relaxed);
}

Fd open_image(int base, const std::string& name) {
  const Fd tree = image_mount("/proc/self/fd/" + std::to_string(base) + "/" + name);
  return open_dir_at(tree.get(), ".");
}

namespace {

// In the working directory of this thread, which gets a mount namespace of its own. The overlay
// keeps what it stands on, so that nothing of this need outlive the thread.
void mount_images(OverlayLayers& layers) {
  if (!may_mount_images()) throw Error("snapshots that are images cannot be mounted here");
  if (const auto made = try_private_mount_namespace(); !made)
    throw SysError("unshare mounts", made.error());
  for (std::string& lower : layers.lowers) {
    if (!is_image(lower)) continue;
    const Fd tree = image_mount(lower);
    lower = mount_name(lower);
    attach(tree, open_dir_at(AT_FDCWD, lower).get());
  }
}

}  // namespace

void mount_overlay(const OverlayLayers& wanted, const std::string& target) {
  const Fd at(::open(target.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!at) throw SysError("open mount point " + target);
  // The names are relative to `base`, and the working directory belongs to the whole process unless
  // a thread takes its own.
  std::exception_ptr failed;
  std::optional<Fd> tree;
  std::thread thread([&] {
    try {
      OverlayLayers layers = wanted;
      if (::unshare(CLONE_FS) != 0) throw SysError("unshare working directory");
      if (::fchdir(layers.base) != 0) throw SysError("change to the snapshot directory");
      if (std::ranges::any_of(layers.lowers, is_image)) mount_images(layers);
      Fd upper;
      if (!layers.upper_directory.empty()) {
        // By descriptor: the path may be longer than fsconfig takes, or hold a comma.
        upper = Fd(::open(layers.upper_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!upper) throw SysError("open " + layers.upper_directory);
        const std::string by_fd = "/proc/self/fd/" + std::to_string(upper.get()) + "/";
        layers.upper = by_fd + layers.upper;
        layers.work = by_fd + layers.work;
      }
      tree = overlay_by_fsconfig(layers);
      if (!tree) mount_by_options(layers, at.get());
    } catch (...) {
      failed = std::current_exception();
    }
  });
  thread.join();
  if (failed) std::rethrow_exception(failed);
  // Here, where the mount point is: the thread may have had another mount namespace.
  if (tree) attach(*tree, at.get());
}

void unmount(const std::string& target) {
  if (::umount2(target.c_str(), detach) != 0 && errno != EINVAL && errno != ENOENT)
    throw SysError("unmount " + target);
}

std::expected<void, int> try_private_mount_namespace() {
  constexpr unsigned long rec_slave = 16384UL | 524288UL;  // MS_REC | MS_SLAVE
  if (::unshare(CLONE_NEWNS) != 0) return std::unexpected(errno);
  if (::mount(nullptr, "/", nullptr, rec_slave, nullptr) != 0) return std::unexpected(errno);
  return {};
}

}  // namespace kiln
