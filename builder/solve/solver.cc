#include "builder/solve/solver.hh"

#include <time.h>

#include <thread>

#include "builder/solve/stage_run.hh"
#include "builder/sys/error.hh"

namespace kiln::solve {

namespace {

unsigned job_count(const BuildRequest& request) {
  return request.jobs != 0 ? request.jobs : std::max(2U, std::thread::hardware_concurrency());
}

}  // namespace

std::string rfc3339(int64_t seconds) {
  const time_t t = seconds;
  tm parts{};
  char text[32];
  if (gmtime_r(&t, &parts) == nullptr || strftime(text, sizeof text, "%FT%TZ", &parts) == 0)
    throw Error("time out of range: " + std::to_string(seconds));
  return text;
}

Solver::Solver(const BuildRequest& request, const stage::Graph& graph, Layers& layers,
               Images& images, BuildCache& cache, Progress& progress, Cancellation& cancel,
               std::shared_ptr<const Context> context, const WorkDirectory& work,
               int memo_directory, InPlace* in_place)
    : jobs_(static_cast<ptrdiff_t>(job_count(request))) {
  trees_ = std::make_unique<Trees>(
      layers, images, request, std::move(context), memo_directory,
      [this](size_t stage) { return result_of(stage).chain; },
      [&](const RemoteSource& source, StepId step) {
        return fetch(source, work.path(), progress, step, cancel);
      });
  services_ = std::unique_ptr<Services>(new Services{request,
                                                     graph,
                                                     layers,
                                                     images,
                                                     *trees_,
                                                     cache,
                                                     progress,
                                                     cancel,
                                                     {},
                                                     work,
                                                     in_place,
                                                     {},
                                                     {},
                                                     jobs_,
                                                     {},
                                                     false});
  promises_.resize(graph.stages().size());
  for (auto& p : promises_) results_.push_back(p.get_future().share());
}

Solver::~Solver() = default;

const StageResult& Solver::result_of(size_t stage) {
  return results_.at(stage).get();
}

std::shared_future<PackedLayer> Solver::in_background(std::function<PackedLayer()> work) {
  auto future = std::async(std::launch::async, std::move(work)).share();
  const std::lock_guard lock(mutex_);
  background_.push_back(future);
  return future;
}

void Solver::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!first_failure_) first_failure_ = std::move(error);
  services_->cancel.request();
}

void Solver::run_stage(size_t index) {
  try {
    StageRun run(*this, *services_, services_->graph.stages()[index]);
    promises_[index].set_value(run.run());
  } catch (...) {
    fail(std::current_exception());
    // Whoever waits for this stage stops too; the reason is kept above.
    promises_[index].set_exception(std::make_exception_ptr(Canceled()));
  }
}

Built Solver::run() {
  const stage::Graph& graph = services_->graph;
  if (services_->in_place != nullptr) {
    for (size_t index : graph.needed()) run_stage(index);
  } else {
    std::vector<std::jthread> threads;
    for (size_t index : graph.needed()) threads.emplace_back([this, index] { run_stage(index); });
  }
  // Also after a failure: steps that were done are worth remembering.
  for (size_t i = 0;; ++i) {
    std::shared_future<PackedLayer> work;
    {
      const std::lock_guard lock(mutex_);
      if (i == background_.size()) break;
      work = background_[i];
    }
    try {
      work.get();
    } catch (...) {
      fail(std::current_exception());
    }
  }
  trees_->save_memos();
  if (first_failure_) std::rethrow_exception(first_failure_);

  const StageResult& result = result_of(graph.target().index);
  Built built;
  built.chain = result.chain;
  built.config = result.state->image();
  built.config.diff_ids.clear();
  for (const CachedLayer& layer : services_->layers.packed(built.chain))
    built.config.diff_ids.push_back(layer.diff_id);

  const stage::Stage* root = &graph.target();
  while (root->base.kind == stage::Origin::Kind::stage) root = &graph.stages()[root->base.stage];
  if (root->base.kind == stage::Origin::Kind::image ||
      (root->base.kind == stage::Origin::Kind::named_context &&
       services_->images.is_image_context(root->base.name))) {
    stage::Origin origin = root->base;
    if (!origin.platform) origin.platform = root->platform;
    const auto image = services_->images.get(origin, 0);
    built.base_name = image->name;
    built.base_digest = image->top.digest;
    built.base = services_->layers.chain_of(*image);
  }
  return built;
}

}  // namespace kiln::solve
