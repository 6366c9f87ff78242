// Owns: carrying out a stage graph: every needed stage in a thread of its own, each waiting for
// what it starts or copies from; failures, and the work that outlives a stage (packing layers).
// Does not own: what one step does (stage_run.hh), or what is made of the result (result.hh).
#pragma once

#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include "builder/progress/progress.hh"
#include "builder/solve/in_place.hh"
#include "builder/solve/layers.hh"
#include "builder/solve/request.hh"
#include "builder/solve/trees.hh"
#include "builder/solve/work_directory.hh"
#include "builder/stage/state.hh"
#include "builder/steps/run_step.hh"
#include "builder/store/cache.hh"

namespace kiln::solve {

// A RUN whose command failed. what() says which and how; `status` becomes kiln's exit status.
class StepFailed : public Error {
 public:
  StepFailed(const std::string& message, int status) : Error(message), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

struct StageResult {
  ChainRef chain;
  std::shared_ptr<const stage::State> state;
};

struct Built {
  ChainRef base;  // what the target stage starts from, for --squash
  ChainRef chain;
  oci::ImageConfig config;  // complete: history, created and diff ids included
  std::string base_name;    // of the image that the target goes back to; "" for scratch
  oci::Digest base_digest;
};

// What every step of a build uses.
struct Services {
  const BuildRequest& request;
  const stage::Graph& graph;
  Layers& layers;
  Images& images;
  Trees& trees;
  BuildCache& cache;
  Progress& progress;
  Cancellation& cancel;
  RunDefaults run_defaults;
  const WorkDirectory& work;
  InPlace* in_place;    // null: RUN has a root of its own
  RuntimeCall runtime;  // runtime and its arguments; filled when the first RUN needs it
  std::string cache_mounts;
  std::counting_semaphore<>& jobs;  // steps that do work at the same time
  std::mutex run_setup;             // guards the two lazily filled ones above
  bool run_ready = false;
};

class Solver {
 public:
  // `context` may be null. With `in_place` stages are done one after the other.
  Solver(const BuildRequest& request, const stage::Graph& graph, Layers& layers, Images& images,
         BuildCache& cache, Progress& progress, Cancellation& cancel,
         std::shared_ptr<const Context> context, const WorkDirectory& work, int memo_directory,
         InPlace* in_place = nullptr);
  ~Solver();

  // Throws the first failure of any stage (DockerfileError, StepFailed, Canceled). Layers of steps
  // that were done are packed and remembered all the same.
  Built run();

  // For stages: the result of another one; waits. Throws Canceled when that one failed.
  const StageResult& result_of(size_t stage);
  // Work that may go on while later steps run; waited for by run().
  std::shared_future<PackedLayer> in_background(std::function<PackedLayer()> work);

 private:
  void run_stage(size_t index);
  void fail(std::exception_ptr error);

  std::counting_semaphore<> jobs_;
  std::unique_ptr<Trees> trees_;
  std::unique_ptr<Services> services_;
  std::vector<std::promise<StageResult>> promises_;
  std::vector<std::shared_future<StageResult>> results_;
  std::mutex mutex_;
  std::vector<std::shared_future<PackedLayer>> background_;
  std::exception_ptr first_failure_;
};

// "2026-11-02T03:04:05Z", as image-spec's dates. Nanoseconds are never written.
std::string rfc3339(int64_t seconds);

}  // namespace kiln::solve
