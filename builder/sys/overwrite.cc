#include "builder/sys/overwrite.hh"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "builder/sys/error.hh"

namespace kiln {

void overwrite_file(int fd) {
  constexpr off_t largest = off_t{1} << 20;
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw SysError("stat");
  if (status.st_size <= largest) {
    const std::string zeros(static_cast<size_t>(status.st_size), '\0');
    if (::pwrite(fd, zeros.data(), zeros.size(), 0) != static_cast<ssize_t>(zeros.size()) ||
        ::fdatasync(fd) != 0)
      throw SysError("overwrite");
  }
  if (::ftruncate(fd, 0) != 0) throw SysError("truncate");
}

}  // namespace kiln
