#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include "runtime/rootfs/copy_up.hh"
#include "runtime/rootfs/mount_step.hh"
#include "runtime/rootfs/sources.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr size_t most_mount_data = 4095;  // mount(2) copies one page

const char* source_of(const FilesystemMount& filesystem) {
  return filesystem.source.empty() ? filesystem.fs_type.c_str() : filesystem.source.c_str();
}

// A tmpfs and /dev get their content (devices, targets of later mounts) before they become
// read-only.
bool readonly_at_finish(const MountStep& step, const FilesystemMount& filesystem) {
  if (!(step.attributes.set & MOUNT_ATTR_RDONLY)) return false;
  return filesystem.fs_type == "tmpfs" || step.destination == "/dev";
}

// Options that mount(2) takes as flags and fsconfig(2) as words.
unsigned long flag_of_option(const std::string& name) {
  if (name == "sync") return MS_SYNCHRONOUS;
  if (name == "dirsync") return MS_DIRSYNC;
  if (name == "lazytime") return MS_LAZYTIME;
  if (name == "mand") return MS_MANDLOCK;
  return 0;
}

bool has_option(const FilesystemMount& filesystem, std::string_view name) {
  return std::any_of(filesystem.options.begin(), filesystem.options.end(),
                     [&](const auto& option) { return option.first == name; });
}

// fsconfig(2) takes values of up to 255 bytes.
bool has_long_value(const FilesystemMount& filesystem) {
  return std::any_of(filesystem.options.begin(), filesystem.options.end(), [](const auto& option) {
    return option.second && option.second->size() > 255;
  });
}

struct ClassicMount {
  unsigned long flags = 0;
  std::string data;
};

// What mount(2) does in one call; nullopt where it takes the fd-based calls: a descriptor of the
// mount is needed, or something cannot be said in mount(2)'s text.
std::optional<ClassicMount> classic_mount(const MountStep& step, const FilesystemMount& filesystem,
                                          const std::string& label) {
  if (filesystem.copy_up || step.idmap || !label.empty() ||
      matters_for_new_mount(step.propagation) || step.recursive_attributes.set != 0 ||
      step.recursive_attributes.clear != 0 || readonly_at_finish(step, filesystem))
    return std::nullopt;
  ClassicMount classic;
  classic.flags = mount_flags_of(step.attributes.set);
  if (filesystem.readonly_superblock && !(classic.flags & MS_RDONLY)) return std::nullopt;
  for (const auto& [key, value] : filesystem.options) {
    // A bare comma (in a label) would end the option; an escaped or quoted one is mount(2)'s own.
    if (value && value->find(',') != value->npos && value->find_first_of("\\\"") == value->npos)
      return std::nullopt;
    if (const unsigned long flag = value ? 0 : flag_of_option(key)) {
      classic.flags |= flag;
      continue;
    }
    if (!classic.data.empty()) classic.data += ',';
    classic.data += key;
    if (value) classic.data += '=' + *value;
  }
  if (classic.data.size() > most_mount_data) return std::nullopt;
  return classic;
}

void configure(FsContext& context, const FilesystemMount& filesystem) {
  for (const auto& [key, value] : filesystem.options) {
    if (!value)
      context.set_flag(key);
    else if (value->size() >= 2 && value->front() == '"' && value->back() == '"')
      context.set(key, value->substr(1, value->size() - 2));
    else
      context.set(key, *value);
  }
  if (filesystem.readonly_superblock) context.set_flag("ro");
}

void place_filesystem(MountEnvironment& environment, const MountStep& step, size_t index,
                      const FilesystemMount& filesystem, int target) {
  const std::string& label = environment.plan.rootfs.mount_label;
  MountStep placed = step;
  placed.attributes.clear = 0;  // nothing is set on a new mount that would have to be cleared
  if (!matters_for_new_mount(step.propagation)) placed.propagation = Propagation::none;
  const bool later = readonly_at_finish(step, filesystem);
  FilesystemMount made = filesystem;
  if (later) {
    placed.attributes.set &= ~uint64_t{MOUNT_ATTR_RDONLY};
    made.readonly_superblock = false;
  }
  FsContext context(made.fs_type);
  context.set("source", source_of(made));
  configure(context, made);
  Fd mount = context.mount(placed.attributes.set);
  environment.done.add(context.release());
  if (!label.empty() && filesystem.fs_type == "mqueue") {
    const Fd root(openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fsetxattr(root.get(), "security.selinux", label.c_str(), label.size() + 1, 0) < 0)
      throw SysError("label the message queues");
  }
  if (filesystem.copy_up) {
    copy_up(target, mount.get());
  }
  if (step.idmap) {
    const Fd user_namespace = environment.services.idmap_namespace(index);
    apply_idmap(mount.get(), user_namespace.get(), step.idmap->recursive);
  }
  place(environment, mount.get(), target, placed, placed.attributes.set, true);
  if (later)
    environment.readonly_at_finish.push_back(std::move(mount));
  else
    environment.done.add(std::move(mount));
}

// What is not said of a tmpfs it has from the directory that it covers: the mode (not that of
// /tmp), and with the content the owner. Without content there is nothing to copy.
FilesystemMount like_directory(FilesystemMount filesystem, int directory) {
  struct stat status {};
  if (fstat(directory, &status) < 0) throw SysError("fstat the destination");
  if (!has_option(filesystem, "mode")) {
    char mode[8];
    snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(status.st_mode & 07777));
    filesystem.options.emplace_back("mode", mode);
  }
  if (!filesystem.copy_up) return filesystem;
  if (!has_option(filesystem, "uid") && !has_option(filesystem, "gid")) {
    // Root's it is anyway: the caller is that, in its own user namespace.
    if (status.st_uid != 0) filesystem.options.emplace_back("uid", std::to_string(status.st_uid));
    if (status.st_gid != 0) filesystem.options.emplace_back("gid", std::to_string(status.st_gid));
  }
  if (is_empty_directory(directory)) filesystem.copy_up = false;
  return filesystem;
}

// What a user namespace may not mount for lack of a namespace of its own, it gets as a view of the
// caller's instance. With an own namespace a refusal is an error: the caller's would be wrong.
const char* host_instance(const MountEnvironment& environment, const std::string& type) {
  const NamespacePlan& namespaces = environment.plan.namespaces;
  if (type == "sysfs" && !namespaces.is_private(NamespaceKind::network)) return "/sys";
  if (type == "proc" && !namespaces.is_private(NamespaceKind::pid)) return "/proc";
  if (type == "mqueue" && !namespaces.is_private(NamespaceKind::ipc)) return "/dev/mqueue";
  return nullptr;
}

}  // namespace

void mount_filesystem(MountEnvironment& environment, const MountStep& step, size_t index,
                      const FilesystemMount& wanted) {
  auto [target, made] = open_directory_target(environment, step);
  std::optional<FilesystemMount> adjusted;
  if (made && wanted.copy_up) {
    adjusted = wanted;
    adjusted->copy_up = false;
  } else if (!made && wanted.fs_type == "tmpfs" &&
             (wanted.copy_up || !has_option(wanted, "mode"))) {
    adjusted = like_directory(wanted, target.get());
  }
  const FilesystemMount& filesystem = adjusted ? *adjusted : wanted;

  const auto classic = classic_mount(step, filesystem, environment.plan.rootfs.mount_label);
  if (classic && try_mount_on(target.get(), source_of(filesystem), filesystem.fs_type.c_str(),
                              classic->flags, classic->data.c_str())) {
    environment.done.add(std::move(target));
    return;
  }
  if (classic && has_long_value(filesystem)) throw SysError("mount " + filesystem.fs_type);
  try {
    // Also after a failed mount(2): this way says which option was wrong.
    place_filesystem(environment, step, index, filesystem, target.get());
  } catch (const SysError& error) {
    if (!environment.in_user_namespace()) throw;
    if (const char* host = host_instance(environment, filesystem.fs_type);
        host && error.code() == EPERM) {
      MountStep view = step;
      view.attributes.clear = 0;
      place_host_tree(environment, host, AT_RECURSIVE, target.get(), view);
    } else if (has_option(filesystem, "gid") && filesystem.fs_type == "devpts" &&
               error.code() == EINVAL) {
      // The tty group (gid=5 everywhere) is often not mapped in a small user namespace; without
      // the option terminals belong to their creator's group.
      FilesystemMount without_group = filesystem;
      std::erase_if(without_group.options,
                    [](const auto& option) { return option.first == "gid"; });
      place_filesystem(environment, step, index, without_group, target.get());
    } else {
      throw;
    }
  }
  environment.done.add(std::move(target));
}

void reconfigure(int mount, const FilesystemMount& filesystem) {
  FsContext context = FsContext::of_mount(mount);
  configure(context, filesystem);
  context.reconfigure();
}

}  // namespace vessel
