#include "builder/solve/stage_run.hh"

#include <time.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln::solve {

namespace {

// Instructions that a person sees as a step of their own.
bool is_shown(const dockerfile::InstructionBody& body) {
  return std::holds_alternative<dockerfile::Run>(body) ||
         std::holds_alternative<dockerfile::Copy>(body) ||
         std::holds_alternative<dockerfile::Add>(body) ||
         std::holds_alternative<dockerfile::Workdir>(body);
}

std::string one_line(std::string_view text) {
  std::string out;
  for (char c : text)
    if (c == '\n' || c == '\t' || c == ' ') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c;
    }
  return out;
}

}  // namespace

std::string write_patch(const RecordPatch& patch) {
  nlohmann::ordered_json json = {{"root", patch.root}, {"created", patch.created}};
  if (patch.epoch) json["epoch"] = *patch.epoch;
  if (!patch.compression.empty()) json["compression"] = patch.compression;
  return json.dump();
}

std::optional<RecordPatch> read_patch(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  RecordPatch patch;
  const auto root = json.find("root"), created = json.find("created"), epoch = json.find("epoch");
  if (root == json.end() || !root->is_string() || created == json.end() || !created->is_string())
    return std::nullopt;
  patch.root = root->get<std::string>();
  patch.created = created->get<std::string>();
  if (epoch != json.end()) {
    if (!epoch->is_number_integer()) return std::nullopt;
    patch.epoch = epoch->get<int64_t>();
  }
  if (const auto compression = json.find("compression"); compression != json.end()) {
    if (!compression->is_string()) return std::nullopt;
    patch.compression = compression->get<std::string>();
  }
  return patch;
}

StageRun::StageRun(Solver& solver, Services& services, const stage::Stage& stage)
    : solver_(solver), services_(services), stage_(stage) {
  total_ = 1 + static_cast<size_t>(std::ranges::count_if(
                   stage.steps, [](const stage::Step& s) { return is_shown(s.instruction.body); }));
}

std::function<std::optional<Entry>(const std::string&)> parents_in(const MergedIndex& index) {
  return [&index](const std::string& path) -> std::optional<Entry> {
    const auto found = index.lookup(path);
    if (!found || found->type != FileType::directory) return std::nullopt;
    Entry entry;
    entry.path = path;
    entry.type = FileType::directory;
    entry.mode = found->mode;
    entry.uid = found->uid;
    entry.gid = found->gid;
    entry.mtime = found->mtime;
    return entry;
  };
}

std::string StageRun::step_name(std::string_view text) {
  ++shown_;
  const std::string width(std::to_string(total_).size() - std::to_string(shown_).size(), ' ');
  const bool only_stage = services_.graph.stages().size() == 1 && stage_.name.empty();
  return "[" + (only_stage ? "" : stage_.label() + " ") + width + std::to_string(shown_) + "/" +
         std::to_string(total_) + "] " + without_credentials(one_line(text));
}

void StageRun::fail(const stage::Step& step, const std::string& message) {
  throw dockerfile::DockerfileError(services_.graph.source(), step.instruction.range, message);
}

std::string StageRun::now_text() const {
  return rfc3339(services_.request.epoch.value_or(time(nullptr)));
}

// The epoch is part of what a snapshot holds, so that a resumed build sees the same times.
std::string StageRun::snapshot_name(const std::string& key) const {
  if (!services_.request.epoch) return key;
  return CacheKey("snapshot")
      .add("root", key)
      .add("epoch", std::to_string(*services_.request.epoch))
      .digest()
      .text();
}

StageResult StageRun::run() {
  start_from_base();
  if (stage_.replaced) return {chain_, std::make_shared<const stage::State>(*state_)};
  for (size_t i = 0; i < stage_.steps.size(); ++i) {
    if (services_.cancel.requested()) throw Canceled();
    do_step(stage_.steps[i], i);
  }
  oci::ImageConfig& image = state_->image();
  image.created = created_.empty() ? now_text() : created_;
  if (services_.request.epoch) image.created = now_text();
  return {chain_, std::make_shared<const stage::State>(*state_)};
}

void StageRun::start_from_base() {
  using Kind = stage::Origin::Kind;
  const stage::Origin& base = stage_.base;
  if (base.kind == Kind::stage && !stage_.replaced) {
    const StageResult& result = solver_.result_of(base.stage);
    chain_ = result.chain;
    state_.emplace(services_.graph, stage_, result.state.get());
    created_ = result.state->image().created;
    ++shown_;
  } else {
    const StepId id = services_.progress.begin(step_name(stage_.from_text));
    try {
      stage::Origin origin = base;
      if (stage_.platform && !origin.platform) origin.platform = stage_.platform;
      const bool is_image =
          origin.kind == Kind::image ||
          (origin.kind == Kind::named_context && services_.images.is_image_context(origin.name));
      if (is_image) {
        const auto image = services_.images.get(origin, id);
        chain_ = services_.layers.chain_of(*image);
        created_ = image->config.created;
      } else if (origin.kind == Kind::named_context) {
        // A directory as base: its files are the only layer.
        const Tree tree = services_.trees.get(origin, id);
        const auto entries = tree.tree->walk("");
        const std::string key =
            CacheKey("files")
                .add("content", tree.tree->digest(entries, "", {tree.memo}).text())
                .digest()
                .text();
        CopyRewrite rewrite;
        rewrite.mtime = services_.request.epoch;
        CopyLayer files;
        files.add_tree(*tree.context, "", entries, "", rewrite, true);
        chain_ = services_.layers.extend(
            nullptr, key, snapshot_name(key),
            services_.layers.pack([&](LayerWriter& writer) { files.write(writer); }));
      }
      state_.emplace(services_.graph, stage_, nullptr);
      services_.progress.end(id, Outcome::done);
    } catch (const Canceled&) {
      services_.progress.end(id, Outcome::canceled);
      throw;
    } catch (const dockerfile::DockerfileError&) {
      services_.progress.end(id, Outcome::failed);
      throw;
    } catch (const Error& error) {
      services_.progress.end(id, Outcome::failed);
      throw dockerfile::DockerfileError(services_.graph.source(), stage_.range, error.message());
    }
  }
  base_ = chain_;
}

void StageRun::do_step(const stage::Step& step, size_t index) {
  const size_t history = state_->image().history.size();
  const stage::Applied applied = state_->apply(step);
  try {
    if (const auto* run = std::get_if<dockerfile::Run>(&applied.body))
      run_command(step, index, *run);
    else if (const auto* copy = std::get_if<dockerfile::Copy>(&applied.body))
      copy_files(step, index, *copy);
    else if (const auto* add = std::get_if<dockerfile::Add>(&applied.body))
      add_files(step, index, *add);
    else if (std::holds_alternative<dockerfile::Workdir>(applied.body))
      make_workdir(step, state_->working_dir());
  } catch (const Canceled&) {
    throw;
  } catch (const StepFailed&) {
    throw;
  } catch (const dockerfile::DockerfileError&) {
    throw;
  } catch (const Error& error) {
    fail(step, error.message());
  }
  // A step without a layer is dated like the layer below it, so that an image of cached layers is
  // the same image again.
  const std::string created = services_.request.epoch ? now_text() : created_;
  auto& entries = state_->image().history;
  for (size_t i = history; i < entries.size(); ++i) entries[i].created = created;
}

bool StageRun::cache_off() const {
  return services_.request.no_cache || services_.request.no_cache_filter.contains(stage_.name);
}

std::string StageRun::slot_of(const stage::Step& step, size_t index) const {
  return services_.request.project + "\n" + stage_.label() + "\n" + std::to_string(index) + "\n" +
         std::string(dockerfile::keyword_of(step.instruction.body));
}

std::optional<CacheRecord> StageRun::find(const CacheKey& key, const std::string& slot, StepId id) {
  if (cache_off()) {
    if (services_.request.explain) services_.progress.note(id, "not cached: the cache is off");
    return std::nullopt;
  }
  auto record = services_.cache.find(key.digest());
  if (record || !services_.request.explain) return record;
  const auto before = services_.cache.newest(slot);
  if (!before)
    services_.progress.note(id, "not cached: this step was never built here");
  else if (const auto reasons = explain_difference(before->parts, key.parts()); reasons.empty())
    services_.progress.note(id, "not cached: its layer is gone from the store");
  else
    for (const std::string& r : reasons) services_.progress.note(id, "not cached: " + r);
  return std::nullopt;
}

void remember(Services& services, const CacheKey& key, const std::string& slot, RecordPatch patch,
              const PackedLayer& layer) {
  if (!services.request.remember) return;
  CacheRecord record;
  record.key = key.digest();
  record.slot = slot;
  record.layers = {layer.layer};
  patch.compression = compression_identity(services.request.compression);
  record.patch = write_patch(patch);
  record.parts = key.parts();
  services.cache.put(std::move(record));
}

bool StageRun::use_record(const CacheRecord& record, bool restamp) {
  const auto patch = read_patch(record.patch);
  if (!patch || record.layers.size() != 1) return false;
  PackedLayer layer{record.layers.front(), nullptr};
  const std::optional<int64_t>& epoch = services_.request.epoch;
  if (epoch && patch->epoch != epoch) {
    if (!restamp) return false;
    layer = restamped(layer.layer, patch->epoch, *epoch);
  } else if (patch->compression != compression_identity(services_.request.compression)) {
    layer = recompressed(layer.layer);
  }
  chain_ = services_.layers.extend(chain_, patch->root, snapshot_name(patch->root), layer);
  created_ = patch->created;
  state_->set_layer_made(true);
  return true;
}

// Both make another layer of one of the cache, and remember it for the next time.
PackedLayer StageRun::restamped(const CachedLayer& layer, const std::optional<int64_t>& was,
                                int64_t epoch) {
  CacheKey key("restamped");
  key.add("layer", layer.diff_id.text()).add("on", chain_ ? chain_->snapshot : "");
  if (was) key.add("was", std::to_string(*was));
  key.add("epoch", std::to_string(epoch));
  return derived(std::move(key),
                 [&] { return services_.layers.restamp(layer, chain_, was, epoch); });
}

// Also of the same kind, where another version of the library made it: a build that finds
// everything in the cache gives the same digests as one that finds nothing.
PackedLayer StageRun::recompressed(const CachedLayer& layer) {
  CacheKey key("compressed");
  key.add("layer", layer.diff_id.text());
  return derived(std::move(key), [&] { return services_.layers.recompress(layer); });
}

PackedLayer StageRun::derived(CacheKey key, const std::function<PackedLayer()>& make) {
  key.add("as", compression_identity(services_.request.compression));
  if (const auto record = services_.cache.find(key.digest()); record && record->layers.size() == 1)
    return {record->layers.front(), nullptr};
  PackedLayer made = make();
  remember(services_, key, "", {}, made);
  return made;
}

UserDatabase StageRun::users() {
  if (!chain_) return {};
  const MergedIndex merged = index();
  try {
    return {merged.read("etc/passwd"), merged.read("etc/group")};
  } catch (const TextNotIndexed&) {  // of what a link names
    const auto root = services_.layers.snapshots().view(services_.layers.materialise(chain_));
    return {read_file_in_root(root->root(), "etc/passwd", size_t{1} << 20),
            read_file_in_root(root->root(), "etc/group", size_t{1} << 20)};
  }
}

void StageRun::make_workdir(const stage::Step& step, const std::string& path) {
  if (path == "/") return;
  const StepId id = services_.progress.begin(step_name(step.instruction.original));
  try {
    const MergedIndex merged = index();
    const auto walked = merged.resolve(path, LastLink::follow, Missing::allow);
    if (!walked) throw SysError("WORKDIR " + path, walked.error());
    if (walked->type != WalkNode::Type::missing) {
      if (walked->type != WalkNode::Type::directory && !walked->path.empty())
        throw Error("WORKDIR " + path + " is a file in the image, not a directory");
      services_.progress.end(id, Outcome::cached);
      return;
    }
    // Root is root, whatever the image has in its /etc/passwd.
    const bool root_owns = state_->user().empty() || state_->user() == "0";
    const ImageUser owner = look_up_user(state_->user(), root_owns ? UserDatabase{} : users());
    CacheKey key("workdir");
    key.add("root", key_of(chain_)).add("path", walked->path);
    key.add("owner", std::to_string(owner.uid) + ":" + std::to_string(owner.gid));
    if (!cache_off())
      if (const auto record = services_.cache.find(key.digest());
          record && use_record(*record, true)) {
        services_.progress.end(id, Outcome::cached);
        return;
      }
    CopyLayer directories;
    for (std::string missing = walked->path; !missing.empty() && !merged.lookup(missing);
         missing = std::string(parent_path(missing))) {
      Entry entry;
      entry.path = missing;
      entry.type = FileType::directory;
      entry.mode = 0755;
      entry.uid = owner.uid;
      entry.gid = owner.gid;
      entry.mtime = services_.request.epoch.value_or(time(nullptr));
      directories.add_directory(entry);
    }
    directories.list_parents(parents_in(merged));
    PackedLayer layer =
        services_.layers.pack([&](LayerWriter& writer) { directories.write(writer); });
    const std::string root = key.digest().text();
    created_ = now_text();
    remember(services_, key, "", {root, created_, services_.request.epoch, {}}, layer);
    chain_ = services_.layers.extend(chain_, root, snapshot_name(root), std::move(layer));
    state_->set_layer_made(true);
    services_.progress.end(id, Outcome::done);
  } catch (...) {
    services_.progress.end(id, Outcome::failed);
    throw;
  }
}

}  // namespace kiln::solve
