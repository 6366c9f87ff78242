// Owns: the errors that carry an errno, and how context is put in front of a message on its way up.
// Does not own: exit codes or printing.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

namespace kiln {

// A failure with a message meant for the user. Context is added in front as it travels up:
// "create c1: mount /proc: fsopen proc: Operation not permitted".
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message), message_(message) {}

  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& message() const noexcept { return message_; }
  Error& prepend(std::string_view context) {
    message_.insert(0, std::string(context) + ": ");
    return *this;
  }

 private:
  std::string message_;
};

// A failed system call: errno is taken at the throw. The text is "OPERATION: strerror".
// `operation` names the call and its object ("open /etc/passwd").
class SysError : public Error {
 public:
  explicit SysError(std::string_view operation, int error = errno);
  int code() const noexcept { return code_; }

 private:
  int code_;
};

// strerror(3) without its static buffer.
std::string error_text(int error);

}  // namespace kiln
