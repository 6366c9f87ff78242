#include "builder/sys/error.hh"

#include <cstring>

namespace kiln {

std::string error_text(int error) {
  char buffer[128];
  return strerror_r(error, buffer, sizeof buffer);
}

SysError::SysError(std::string_view operation, int error)
    : Error(std::string(operation) + ": " + error_text(error)), code_(error) {}

}  // namespace kiln
