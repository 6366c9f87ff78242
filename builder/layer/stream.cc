#include "builder/layer/stream.hh"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

void FdSink::write(std::span<const std::byte> data) {
  write_all(fd_, data);
}

size_t FdSource::read(std::span<std::byte> data) {
  for (;;) {
    const ssize_t got = ::read(fd_, data.data(), data.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) throw SysError("read");
  }
}

void StringSink::write(std::span<const std::byte> data) {
  text.append(reinterpret_cast<const char*>(data.data()), data.size());
}

size_t StringSource::read(std::span<std::byte> data) {
  const size_t size = std::min(data.size(), rest_.size());
  if (size != 0) std::memcpy(data.data(), rest_.data(), size);
  rest_.remove_prefix(size);
  return size;
}

size_t read_full(ByteSource& source, std::span<std::byte> data) {
  size_t done = 0;
  while (done < data.size()) {
    const size_t got = source.read(data.subspan(done));
    if (got == 0) break;
    done += got;
  }
  return done;
}

}  // namespace kiln
