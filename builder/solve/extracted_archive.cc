#include "builder/solve/extracted_archive.hh"

#include <fcntl.h>

#include <span>
#include <string>

#include "builder/layer/apply.hh"
#include "builder/layer/decompress.hh"
#include "builder/layer/tar_reader.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln::solve {

bool is_archive(const Context& context, const ContextEntry& file) {
  if (file.entry.type != FileType::file) return false;
  const Fd fd = context.open_file(file.entry.path);
  FdSource raw(fd.get());
  try {
    const auto plain = decompress(raw);
    std::string block(512, '\0');
    block.resize(read_full(*plain, std::as_writable_bytes(std::span(block))));
    // What has a good header and bad paths is an archive all the same, and its error is told.
    return TarReader::begins(block);
  } catch (const Error&) {
    return false;  // no archive, or a compression that nothing can read: copied as it is
  }
}

ExtractedArchive::ExtractedArchive(const std::string& parent, const Context& context,
                                   const ContextEntry& file)
    : parent_(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      name_("archive-" + random_name()) {
  if (!parent_) throw SysError("open " + parent);
  make_dir_at(parent_.get(), name_, 0700);
  const Fd fd = context.open_file(file.entry.path);
  FdSource raw(fd.get());
  const auto plain = decompress(raw);
  const Fd into = open_dir_at(parent_.get(), name_);
  ApplyOptions options;
  options.kind = ApplyOptions::Kind::archive;
  listed_ = apply_tar(*plain, into.get(), options);
  tree_.emplace(open_dir_at(parent_.get(), name_), "archive " + file.entry.path);
}

ExtractedArchive::~ExtractedArchive() {
  try {
    remove_tree_at(parent_.get(), name_);
  } catch (const Error&) {
    return;  // prune removes it
  }
}

}  // namespace kiln::solve
