// Owns: gathering the small pieces in which libcurl hands bytes over (16 KiB at most) into large
// ones, so that a blob costs few system calls, and telling how many have come.
// Does not own: where they go.
#pragma once

#include <vector>

#include "builder/registry/transfer.hh"

namespace kiln {

class GatheringSink final : public ByteSink {
 public:
  GatheringSink(ByteSink& out, const ByteCount& moved) : out_(out), moved_(moved) {
    buffer_.reserve(size);
  }

  void write(std::span<const std::byte> data) override {
    count_ += data.size();
    if (buffer_.size() + data.size() > size) finish();
    if (data.size() >= size)
      out_.write(data);
    else
      buffer_.insert(buffer_.end(), data.begin(), data.end());
    moved_(count_);
  }
  // To be called at the end; what is gathered when the sink goes without it is dropped.
  void finish() {
    if (!buffer_.empty()) out_.write(buffer_);
    buffer_.clear();
  }

 private:
  static constexpr size_t size = size_t{256} << 10;
  ByteSink& out_;
  const ByteCount& moved_;
  std::vector<std::byte> buffer_;
  uint64_t count_ = 0;
};

}  // namespace kiln
