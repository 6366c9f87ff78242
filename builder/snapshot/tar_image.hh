// Owns: making a plain tar mountable as it lies: an EROFS superblock in front of it and, behind it,
// inodes and directories that point at the contents inside the tar (EROFS with blocks of 512 bytes,
// which is how a tar aligns what it holds). One sequential file takes the place of as many
// creations in a filesystem as the layer has entries, each of which costs 40 to 90 us on ext4. Does
// not own: the tar, mounting (overlay_mount.hh), or when an image is used.
//
// On-disk format: linux/fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst. Sub-page
// blocks came with 6.4, mounting a file without a loop device with 6.12.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "builder/layer/layer_index.hh"
#include "builder/layer/stream.hh"

namespace kiln {

// What stands in front of the tar, bytes.
inline constexpr uint64_t tar_image_head = 4096;

// Writes a tar into `fd`, an empty file, at its place.
class TarImageSink final : public ByteSink {
 public:
  explicit TarImageSink(int fd) : fd_(fd) {}  // borrowed
  void write(std::span<const std::byte> data) override;
  uint64_t size() const { return size_; }  // of the tar

 private:
  int fd_;
  uint64_t size_ = 0;
};

// Completes `fd` after `tar_size` bytes of tar that `index` (sorted) describes. `root` gives mode,
// owner and time of the root directory where the layer says nothing of it. What only a tree can
// hold is the reason returned, and the file is then worth nothing: extended attributes (a kernel
// may be built to ignore them), device nodes, whiteouts, entries whose directory the layer does not
// list, a hard link to another layer. Throws SysError.
std::optional<std::string> finish_tar_image(int fd, uint64_t tar_size, const LayerIndex& index,
                                            const struct stat& root);

}  // namespace kiln
