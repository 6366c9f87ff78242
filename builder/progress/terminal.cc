// A terminal: finished steps scroll up as one line each; below them the running ones are redrawn in
// place with their last lines of output and a bar for each transfer.
#include <sys/ioctl.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "builder/progress/progress.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t tail_lines = 4;  // of output, below a running step
constexpr auto frame = std::chrono::milliseconds(100);

struct Transfer {
  uint64_t bytes = 0;
  uint64_t total = 0;
  Clock::time_point began;
};

struct Step {
  std::string name;
  Clock::time_point began;
  std::deque<std::string> tail;
  std::map<std::string, Transfer> transfers;
};

std::string megabytes(uint64_t bytes) {
  char text[32];
  snprintf(text, sizeof text, "%.1fMB", static_cast<double>(bytes) / 1e6);
  return text;
}

std::string bar(const std::string& item, const Transfer& t, Clock::time_point now) {
  constexpr size_t width = 20;
  const double share =
      t.total == 0 ? 0 : static_cast<double>(t.bytes) / static_cast<double>(t.total);
  const size_t filled = std::min(width, static_cast<size_t>(share * static_cast<double>(width)));
  const double spent = std::max(std::chrono::duration<double>(now - t.began).count(), 0.001);
  std::string text =
      item + " [" + std::string(filled, '=') + std::string(width - filled, ' ') + "] ";
  text += megabytes(t.bytes);
  if (t.total != 0) text += "/" + megabytes(t.total);
  return text + " " + megabytes(static_cast<uint64_t>(static_cast<double>(t.bytes) / spent)) + "/s";
}

class TerminalProgress final : public Progress {
 public:
  TerminalProgress(int fd, bool colour) : fd_(fd), colour_(colour) {
    painter_ = std::thread([this] { paint(); });
  }
  ~TerminalProgress() override { close(); }

  StepId begin(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const StepId id = ++last_;
    steps_[id] = {terminal_text(name), Clock::now(), {}, {}};
    dirty_ = true;
    return id;
  }

  void end(StepId step, Outcome outcome) override {
    const std::lock_guard lock(mutex_);
    const auto found = steps_.find(step);
    if (found == steps_.end()) return;
    const Step& s = found->second;
    const std::string spent = duration_text(Clock::now() - s.began);
    switch (outcome) {
      case Outcome::done:
        finish(s, paint_text("32", "✔") + " ", spent);
        break;
      case Outcome::cached:
        finish(s, paint_text("36", "✔") + " ", "CACHED");
        break;
      case Outcome::failed:
        finish(s, paint_text("31", "✘") + " ", spent);
        for (const std::string& l : s.tail) done_.push_back("    " + l);
        break;
      case Outcome::canceled:
        finish(s, paint_text("33", "-") + " ", "CANCELED");
        break;
    }
    steps_.erase(found);
    dirty_ = true;
    draw();
  }

  void output(StepId step, Stream, std::string_view line) override {
    const std::lock_guard lock(mutex_);
    Step& s = steps_[step];
    // A program's own progress bar redraws its line with CR: only what stands last counts.
    if (const size_t cr = line.rfind('\r'); cr != std::string_view::npos && cr + 1 < line.size())
      line.remove_prefix(cr + 1);
    s.tail.push_back(terminal_text(line));
    if (s.tail.size() > tail_lines) s.tail.pop_front();
    dirty_ = true;
  }

  void transfer(StepId step, std::string_view item, uint64_t bytes, uint64_t total) override {
    const std::lock_guard lock(mutex_);
    auto& transfers = steps_[step].transfers;
    const auto [t, fresh] = transfers.try_emplace(std::string(item));
    if (fresh) t->second.began = Clock::now();
    t->second.bytes = bytes;
    t->second.total = total;
    if (total != 0 && bytes >= total) transfers.erase(t);
    dirty_ = true;
  }

  void note(StepId step, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    const auto found = steps_.find(step);
    const std::string name = found == steps_.end() ? "" : found->second.name + ": ";
    done_.push_back(paint_text("2", "  " + name + terminal_text(text)));
    dirty_ = true;
  }

  void warn(std::string_view text) override {
    const std::lock_guard lock(mutex_);
    done_.push_back(paint_text("33", "warning: ") + terminal_text(text));
    dirty_ = true;
  }

  void close() override {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      closed_ = true;
      draw();
    }
    wake_.notify_all();
    painter_.join();
  }

 private:
  std::string paint_text(const char* code, const std::string& text) const {
    return colour_ ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
  }

  void finish(const Step& s, const std::string& mark, const std::string& right) {
    const size_t columns = width();
    const size_t room = columns > right.size() + 5 ? columns - right.size() - 5 : 1;
    std::string name = terminal_text(s.name, room);
    done_.push_back(mark + name + "  " + paint_text("2", right));
  }

  size_t width() const {
    winsize size{};
    const bool known = ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col != 0;
    return known ? std::max<size_t>(size.ws_col, 12) : 80;
  }

  size_t height() const {
    winsize size{};
    return ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_row > 5 ? size.ws_row : 24;
  }

  void paint() {
    std::unique_lock lock(mutex_);
    while (!closed_) {
      wake_.wait_for(lock, frame);
      if (!closed_ && (dirty_ || !steps_.empty())) draw();
    }
  }

  // With the lock held: erases the live part, prints what has finished, draws the live part anew.
  void draw() {
    std::string out;
    // A terminal that was made narrower has broken long lines into several.
    size_t rows = 0;
    for (const size_t w : drawn_) rows += std::max<size_t>((w + width() - 1) / width(), 1);
    if (rows != 0) out += "\x1b[" + std::to_string(std::min(rows, height() - 1)) + "A";
    if (rows != 0) out += "\r\x1b[J";
    for (const std::string& l : done_) out += l + "\n";
    done_.clear();
    drawn_.clear();
    if (!closed_) out += live();
    dirty_ = false;
    try {
      write_all(fd_, out);
    } catch (const Error&) {
      return;  // the terminal went away: no reason to end the build
    }
  }

  std::string live() {
    const size_t columns = width();
    const size_t rows = height() - 2;
    const auto now = Clock::now();
    std::string out;
    const auto add = [&](const std::string& text) {
      if (drawn_.size() >= rows) return;
      const std::string line = terminal_text(text, columns - 1);
      out += line + "\n";
      drawn_.push_back(terminal_width(line));
    };
    for (const auto& [id, s] : steps_) {
      const std::string spent = duration_text(now - s.began);
      const size_t room = columns > spent.size() + 6 ? columns - spent.size() - 6 : 1;
      add("> " + terminal_text(s.name, room) + "  " + spent);
      for (const auto& [item, t] : s.transfers) add("    " + bar(item, t, now));
      for (const std::string& l : s.tail) add("    " + l);
    }
    return out;
  }

  int fd_;
  bool colour_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread painter_;
  bool closed_ = false;
  bool dirty_ = false;
  std::vector<size_t> drawn_;  // widths of the lines of the live part on the screen
  StepId last_ = 0;
  std::map<StepId, Step> steps_;
  std::deque<std::string> done_;
};

}  // namespace

std::unique_ptr<Progress> make_terminal_progress(int fd, bool colour) {
  return std::make_unique<TerminalProgress>(fd, colour);
}

}  // namespace kiln
