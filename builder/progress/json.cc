// One JSON object a line, for programs.
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "builder/progress/progress.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::ordered_json;

class JsonProgress final : public Progress {
 public:
  explicit JsonProgress(int fd) : fd_(fd) {}

  StepId begin(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const StepId id = ++last_;
    emit({{"step", id}, {"event", "begin"}, {"name", name}});
    return id;
  }

  void end(StepId step, Outcome outcome) override {
    static constexpr const char* names[] = {"done", "cached", "failed", "canceled"};
    const std::lock_guard lock(mutex_);
    emit({{"step", step}, {"event", "end"}, {"outcome", names[static_cast<size_t>(outcome)]}});
  }

  void output(StepId step, Stream stream, std::string_view line) override {
    const std::lock_guard lock(mutex_);
    emit({{"step", step},
          {"event", "output"},
          {"stream", stream == Stream::out ? "stdout" : "stderr"},
          {"line", line}});
  }

  // At most ten a second for an item, and the last one always.
  void transfer(StepId step, std::string_view item, uint64_t bytes, uint64_t total) override {
    const std::lock_guard lock(mutex_);
    Clock::time_point& last = shown_[std::to_string(step) + "/" + std::string(item)];
    const auto now = Clock::now();
    if (bytes != total && now - last < std::chrono::milliseconds(100)) return;
    last = now;
    emit({{"step", step},
          {"event", "transfer"},
          {"item", item},
          {"bytes", bytes},
          {"total", total}});
  }

  void note(StepId step, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    emit({{"step", step}, {"event", "note"}, {"text", text}});
  }

  void warn(std::string_view text) override {
    const std::lock_guard lock(mutex_);
    emit({{"event", "warning"}, {"text", text}});
  }

  void close() override {}

 private:
  void emit(ordered_json object) {
    object["time"] = std::chrono::duration<double>(Clock::now() - start_).count();
    try {
      write_all(fd_, object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    } catch (const Error&) {
      return;  // nobody reads it: no reason to end the build
    }
  }

  int fd_;
  std::mutex mutex_;
  StepId last_ = 0;
  Clock::time_point start_ = Clock::now();
  std::map<std::string, Clock::time_point> shown_;
};

}  // namespace

std::unique_ptr<Progress> make_json_progress(int fd) {
  return std::make_unique<JsonProgress>(fd);
}

}  // namespace kiln
