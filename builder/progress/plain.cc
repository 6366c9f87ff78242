// Plain lines, for logs: `#3 [build 2/4] RUN make`, `#3 0.512 output`, `#3 DONE 1.2s`.
#include <cstdio>
#include <map>
#include <mutex>

#include "builder/progress/progress.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

using Clock = std::chrono::steady_clock;

class PlainProgress final : public Progress {
 public:
  explicit PlainProgress(int fd) : fd_(fd) {}

  StepId begin(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const StepId id = ++last_;
    steps_[id].began = Clock::now();
    line(id, terminal_text(name));
    return id;
  }

  void end(StepId step, Outcome outcome) override {
    const std::lock_guard lock(mutex_);
    const auto spent = duration_text(Clock::now() - steps_[step].began);
    switch (outcome) {
      case Outcome::done:
        line(step, "DONE " + spent);
        break;
      case Outcome::cached:
        line(step, "CACHED");
        break;
      case Outcome::failed:
        line(step, "ERROR after " + spent);
        break;
      case Outcome::canceled:
        line(step, "CANCELED");
        break;
    }
    steps_.erase(step);
  }

  void output(StepId step, Stream, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    char stamp[32];
    snprintf(stamp, sizeof stamp, "%.3f ",
             std::chrono::duration<double>(Clock::now() - steps_[step].began).count());
    line(step, stamp + std::string(text));
  }

  // One line when an item is complete: a log is no place for bars.
  void transfer(StepId step, std::string_view item, uint64_t bytes, uint64_t total) override {
    if (total == 0 || bytes < total) return;
    const std::lock_guard lock(mutex_);
    line(step, terminal_text(item) + " " + std::to_string(total) + " bytes done");
  }

  void note(StepId step, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    line(step, "-- " + terminal_text(text));
  }

  void warn(std::string_view text) override {
    const std::lock_guard lock(mutex_);
    write("WARNING: " + terminal_text(text) + "\n");
  }

  void close() override {}

 private:
  struct Step {
    Clock::time_point began;
  };

  void line(StepId step, const std::string& text) {
    write("#" + std::to_string(step) + " " + text + "\n");
  }

  // Progress that nobody can read (a closed pipe, a full disk) must not end the build.
  void write(const std::string& text) {
    try {
      write_all(fd_, text);
    } catch (const Error&) {
      return;
    }
  }

  int fd_;
  std::mutex mutex_;
  StepId last_ = 0;
  std::map<StepId, Step> steps_;
};

}  // namespace

std::unique_ptr<Progress> make_plain_progress(int fd) {
  return std::make_unique<PlainProgress>(fd);
}

}  // namespace kiln
