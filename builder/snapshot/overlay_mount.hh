// Owns: mounting overlay from directories that are named relative to one directory, by fsconfig's
// lowerdir+ (6.5) or by mount(2), images among them, and the private mount namespace.
// Does not own: which directories, or what is in them.
#pragma once

#include <string>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

struct OverlayLayers {
  int base;                         // every name below is one component inside this directory
  std::vector<std::string> lowers;  // top first, at least one; at most max_overlay_lowers
  std::string upper, work;          // both or neither
  std::string upper_directory{};    // path that these two are in instead of `base`; empty: `base`
};

// OVL_MAX_STACK of the kernel; with names of five characters also what fits mount(2)'s page.
inline constexpr size_t max_overlay_lowers = 500;

// Mounts at the directory `target` (a path). Writable mounts are `volatile`; as root of the first
// user namespace redirect_dir, metacopy and index are switched off whatever the module's defaults
// are. Throws SysError, with the kernel's own words where it gives them.
//
// A lower NAME.i is an image (tar_image.hh), mounted on the directory NAME for as long as the
// overlay is: in a mount namespace that nobody else sees, so that it never has to be taken away.
void mount_overlay(const OverlayLayers& layers, const std::string& target);

// The root directory of an image, mounted nowhere; gone with the descriptor. Throws
// SysError.
Fd open_image(int base, const std::string& name);

// Whether images are worth trying at all in this process: not inside a user namespace, nor where
// fsconfig is forbidden.
bool may_mount_images();

// MNT_DETACH; what is not mounted is fine.
void unmount(const std::string& target);

// For tests: only mount(2) in this process from now on.
void forbid_fsconfig(bool forbidden);

// False inside a user namespace, where overlay keeps its marks in user.overlay.*.
bool in_first_user_namespace();

}  // namespace kiln
