// Owns: doing the steps of one stage in order: name, key, cache, work, record. Each kind of step
// has its file: run (stage_run_command.cc, stage_run_setup.cc), copy and add (stage_run_copy.cc),
// the rest (stage_run.cc). Does not own: other stages (solver.hh), or what an instruction says
// about the image (stage/).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/solve/cache_key.hh"
#include "builder/solve/solver.hh"
#include "builder/steps/copy_plan.hh"
#include "builder/steps/image_user.hh"
#include "builder/steps/mode_change.hh"
#include "builder/steps/remote_source.hh"

namespace kiln::solve {

// What a cache record says besides its layers; JSON in CacheRecord::patch.
struct RecordPatch {
  std::string root;              // key of the root filesystem after the step
  std::string created;           // RFC 3339, for the image's history
  std::optional<int64_t> epoch;  // that file times were clamped to
  std::string compression;       // compression_identity() of the layer's blob
};
std::string write_patch(const RecordPatch& patch);
std::optional<RecordPatch> read_patch(std::string_view text);
// Records what a step made, unless the build is to leave no trace. Fills in the compression.
void remember(Services& services, const CacheKey& key, const std::string& slot, RecordPatch patch,
              const PackedLayer& layer);

// What CopyLayer::list_parents() asks; borrows `index`.
std::function<std::optional<Entry>(const std::string&)> parents_in(const MergedIndex& index);

class StageRun {
 public:
  StageRun(Solver& solver, Services& services, const stage::Stage& stage);
  StageResult run();

  // For the solver's result: what the stage starts from.
  const ChainRef& base() const { return base_; }

 private:
  // ---- the common part ----
  void start_from_base();
  void do_step(const stage::Step& step, size_t index);
  // "[builder 2/5] RUN npm ci".
  std::string step_name(std::string_view text);
  bool cache_off() const;
  // The record of `key`, unless the cache is off; else the reason in --explain's words.
  std::optional<CacheRecord> find(const CacheKey& key, const std::string& slot, StepId id);
  // Continues with a layer that a record has; false when it has to be made again.
  bool use_record(const CacheRecord& record, bool restamp);
  std::string slot_of(const stage::Step& step, size_t index) const;
  std::string now_text() const;
  std::string snapshot_name(const std::string& key) const;
  MergedIndex index() { return services_.layers.index(chain_); }
  PackedLayer restamped(const CachedLayer& layer, const std::optional<int64_t>& was, int64_t epoch);
  PackedLayer recompressed(const CachedLayer& layer);
  PackedLayer derived(CacheKey key, const std::function<PackedLayer()>& make);
  UserDatabase users();
  [[noreturn]] void fail(const stage::Step& step, const std::string& message);

  // ---- kinds ----
  void run_command(const stage::Step& step, size_t index, const dockerfile::Run& run);
  void make_workdir(const stage::Step& step, const std::string& path);
  void copy_files(const stage::Step& step, size_t index, const dockerfile::Copy& copy);
  void add_files(const stage::Step& step, size_t index, const dockerfile::Add& add);

  struct CopyJob;  // COPY and ADD are one thing from here on
  void copy_job(const stage::Step& step, size_t index, CopyJob job);
  Layers::PackedCopy pack_copy_job(const CopyJob& job, CopyPlan& plan,
                                   const std::optional<Owner>& owner,
                                   const std::optional<ModeChange>& mode, const Tree& tree,
                                   std::vector<FetchedSource>& fetched, const MergedIndex& base,
                                   bool unpack);
  bool run_follows(size_t index) const;
  void prepare_run_services(StepNetwork network);
  struct RunInputs;
  void add_run_mounts(const stage::Step& step, const dockerfile::Run& run, StepId id,
                      RunInputs& inputs, CacheKey& key);
  void open_run_mounts(const dockerfile::Run& run, RunInputs& inputs, RunMounts& mounts);

  Solver& solver_;
  Services& services_;
  const stage::Stage& stage_;
  std::optional<stage::State> state_;
  ChainRef base_, chain_;
  std::string created_;  // of the newest layer
  size_t shown_ = 0;     // steps named so far
  size_t total_ = 0;
};

}  // namespace kiln::solve
