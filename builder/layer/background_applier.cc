#include "builder/layer/background_applier.hh"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t batch_size = size_t{256} << 10;
constexpr size_t most_bytes = size_t{2} << 20;  // waiting to be applied
constexpr size_t most_pieces = 2048;

// Some of an entry: its announcement with the first of its content, or more of that.
struct Piece {
  std::optional<Entry> entry;
  std::vector<std::byte> data;
  bool last = false;  // of the whole layer
};

}  // namespace

struct BackgroundApplier::State {
  Applier applier;
  std::mutex mutex;
  std::condition_variable filled, drained;
  std::deque<Piece> queue;
  size_t bytes = 0;
  std::optional<std::string> failed;
  bool abandoned = false;
  // The producer's: what is not in the queue yet.
  std::optional<Piece> open;
  std::thread thread;

  State(int root, const ApplyOptions& options) : applier(root, options) {}

  void push(Piece piece) {
    std::unique_lock lock(mutex);
    drained.wait(lock,
                 [&] { return failed || (bytes < most_bytes && queue.size() < most_pieces); });
    if (failed) return;
    bytes += piece.data.size();
    queue.push_back(std::move(piece));
    if (queue.size() == 1) filled.notify_one();
  }

  void flush() {
    if (!open) return;
    push(std::move(*open));
    open.reset();
  }

  std::optional<Piece> pop() {
    std::unique_lock lock(mutex);
    filled.wait(lock, [&] { return abandoned || !queue.empty(); });
    if (abandoned) return std::nullopt;
    Piece piece = std::move(queue.front());
    queue.pop_front();
    bytes -= piece.data.size();
    // Not at every piece: the producer would wake for each file.
    if (queue.size() <= most_pieces / 2 && bytes <= most_bytes / 2) drained.notify_one();
    return piece;
  }

  // The content of the entry being applied: its first piece and those that follow it.
  class Content final : public ByteSource {
   public:
    Content(State& state, Piece& piece) : state_(state), piece_(piece) {}
    size_t read(std::span<std::byte> data) override {
      if (at_ == piece_.data.size()) {
        auto next = state_.pop();
        if (!next || next->entry || next->last) throw Error("content ends early");
        piece_ = std::move(*next);
        at_ = 0;
      }
      const size_t size = std::min(data.size(), piece_.data.size() - at_);
      std::copy_n(piece_.data.begin() + static_cast<std::ptrdiff_t>(at_), size, data.begin());
      at_ += size;
      return size;
    }

   private:
    State& state_;
    Piece& piece_;
    size_t at_ = 0;
  };

  void run() {
    try {
      for (;;) {
        auto piece = pop();
        if (!piece) return;
        if (piece->last) break;
        const Entry entry = std::move(*piece->entry);
        piece->entry.reset();
        Content content(*this, *piece);
        applier.add(entry, &content);
      }
      applier.finish();
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex);
      failed = error.what();
      queue.clear();
      drained.notify_one();
    }
  }

  // Passes on what is read through it.
  class Tee final : public ByteSource {
   public:
    Tee(State& state, ByteSource& content) : state_(state), content_(content) {}
    size_t read(std::span<std::byte> data) override {
      const size_t got = content_.read(data);
      if (got != 0) state_.more(data.first(got));
      return got;
    }

   private:
    State& state_;
    ByteSource& content_;
  };

  void more(std::span<const std::byte> data) {
    if (open && open->data.size() + data.size() > batch_size) flush();
    if (!open) open.emplace();
    open->data.insert(open->data.end(), data.begin(), data.end());
  }
};

BackgroundApplier::BackgroundApplier(int root, const ApplyOptions& options)
    : state_(std::make_unique<State>(root, options)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

BackgroundApplier::~BackgroundApplier() {
  if (!state_->thread.joinable()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->abandoned = true;
    state_->filled.notify_one();
  }
  state_->thread.join();
}

std::unique_ptr<ByteSource> BackgroundApplier::begin(const Entry& entry, ByteSource& content) {
  state_->flush();
  state_->open.emplace();
  state_->open->entry = entry;
  if (entry.size <= batch_size) state_->open->data.reserve(entry.size);
  return std::make_unique<State::Tee>(*state_, content);
}

std::optional<std::string> BackgroundApplier::finish() {
  state_->flush();
  state_->push({std::nullopt, {}, true});
  state_->thread.join();
  return state_->failed;
}

}  // namespace kiln
