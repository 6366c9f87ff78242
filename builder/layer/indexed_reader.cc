#include "builder/layer/indexed_reader.hh"

#include "builder/sys/error.hh"

namespace kiln {

const Entry* IndexedReader::next() {
  if (current_) complete();
  current_ = reader_.next();
  if (!current_) return nullptr;
  constexpr uint64_t digests = 2 * 65;
  const uint64_t size =
      sizeof(IndexEntry) + digests + current_->path.size() + current_->link.size();
  if (size > left_) throw Error("the layer has more files than can be held in memory");
  left_ -= size;
  keep_ =
      current_->type == FileType::file && LayerIndex::wants_content(current_->path, current_->size);
  kept_.clear();
  return &*current_;
}

size_t IndexedReader::read(std::span<std::byte> data) {
  const size_t got = reader_.read(data);
  hash_.update(std::span<const std::byte>(data).first(got));
  if (keep_) kept_.append(reinterpret_cast<const char*>(data.data()), got);
  return got;
}

void IndexedReader::complete() {
  const Entry& e = *current_;
  IndexEntry entry{.path = e.path,
                   .type = e.type,
                   .mode = e.mode,
                   .uid = e.uid,
                   .gid = e.gid,
                   .mtime = e.mtime,
                   .size = e.size,
                   .tar_offset = reader_.content_offset(),
                   .link = e.link,
                   .attributes = LayerIndex::attributes_of(e)};
  if (e.type == FileType::file) {
    std::byte scratch[16384];
    while (read(scratch) != 0) {  // what the caller left
    }
    entry.content_digest = hex(hash_.finish());
  }
  index_.add(std::move(entry));
  if (keep_) index_.keep_content(e.path, std::move(kept_));
  current_.reset();
}

LayerIndex IndexedReader::finish() {
  if (current_) complete();
  reader_.drain();
  index_.sort();
  return std::move(index_);
}

}  // namespace kiln
