#include "builder/cli/destination.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

void write_standard_output(const std::function<void(ByteSink&)>& write) {
  if (isatty(STDOUT_FILENO) == 1)
    throw Error("refusing to write a tar to a terminal; name a file with dest=");
  const Fd out(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  if (!out) throw SysError("open standard output");
  FdSink sink(out.get());
  write(sink);
}

}  // namespace

void write_whole_file(const std::string& destination, const std::function<void(ByteSink&)>& write) {
  if (destination == "-") return write_standard_output(write);
  const std::string name = destination + ".kiln-" + random_name();
  try {
    const Fd file(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file) throw SysError("create " + destination);
    FdSink sink(file.get());
    write(sink);
    if (rename(name.c_str(), destination.c_str()) != 0) throw SysError("rename to " + destination);
  } catch (...) {
    unlink(name.c_str());
    throw;
  }
}

}  // namespace kiln::cli
