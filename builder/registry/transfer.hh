// Owns: moving an image from where it is to where it shall be: which documents and blobs, in which
// order, several at once, nothing that is there already. Does not own: the places themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "builder/layer/stream.hh"
#include "builder/progress/progress.hh"
#include "builder/registry/client.hh"
#include "builder/sys/fd.hh"

namespace kiln {

using ByteCount = std::function<void(uint64_t done)>;

// Where an image comes from. Thread-safe.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // A manifest or index, verified; nullopt when it is not there.
  virtual std::optional<Document> document(const oci::Descriptor& descriptor) = 0;
  // All bytes of a blob in order; not yet verified.
  virtual void stream(const oci::Descriptor& blob, ByteSink& sink) = 0;
  // A blob to be read at any offset, verified or else what the place itself verified.
  virtual Fd open(const oci::Descriptor& blob) = 0;
};

// Where it goes. Thread-safe. What it has been given is visible only when it was complete and
// right.
class ImageTarget {
 public:
  virtual ~ImageTarget() = default;
  virtual bool has_document(const oci::Descriptor& descriptor) = 0;
  virtual void put_document(const Document& document) = 0;
  // False: it was there (or came from a sibling repository) and nothing was moved.
  virtual bool put_blob(const oci::Descriptor& blob, ImageSource& source,
                        const ByteCount& moved) = 0;
};

struct TransferOptions {
  // Of an index only what fits this platform is moved; the index itself goes along.
  std::optional<oci::Platform> platform;
  unsigned parallel = 6;
  // Children of an index that the source lacks are an Error unless the target has them.
  bool may_lack_platforms = false;
};

// Moves `top` and what it consists of; children first, so that nothing is ever named by a document
// that is there without being there itself. `what` is the image's name, for messages.
void transfer(ImageSource& source, ImageTarget& target, const Document& top,
              const TransferOptions& options, Progress& progress, StepId step,
              const std::string& what);

}  // namespace kiln
