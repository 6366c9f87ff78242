// Owns: reading gzip, zstd, bzip2, xz or plain bytes as plain bytes, told apart by their magic.
// Does not own: what they contain.
#pragma once

#include <memory>

#include "builder/layer/stream.hh"

namespace kiln {

enum class Magic : uint8_t { plain, gzip, zstd, bzip2, xz };
Magic detect_magic(std::span<const std::byte> start);  // the first 6 bytes or more

// `source` is borrowed. Concatenated members and frames are one stream. Malformed or truncated
// input throws Error. The output can be any number of times larger than the input: bound what you
// read.
std::unique_ptr<ByteSource> decompress(ByteSource& source);

}  // namespace kiln
