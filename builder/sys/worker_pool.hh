// Owns: a fixed set of threads that run submitted tasks in the order of submission.
// Does not own: results or their order; a task carries its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kiln {

class WorkerPool {
 public:
  explicit WorkerPool(unsigned threads = 0);  // 0: as many as this process may use CPUs
  ~WorkerPool();                              // runs what was submitted, then joins
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // A task must not throw, nor wait for other tasks of the same pool (compressing and digesting
  // do).
  void submit(std::function<void()> task);
  unsigned size() const { return static_cast<unsigned>(threads_.size()); }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kiln
