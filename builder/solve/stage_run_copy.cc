// COPY and ADD: sources, key, and the layer written straight from them.
#include <time.h>

#include <algorithm>

#include "builder/dockerfile/ignore.hh"
#include "builder/layer/layer_index.hh"
#include "builder/solve/extracted_archive.hh"
#include "builder/solve/stage_run.hh"
#include "builder/steps/mode_change.hh"
#include "builder/steps/remote_source.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/sha256.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln::solve {

struct StageRun::CopyJob {
  std::string kind;  // "copy" or "add"
  CopyRequest request;
  std::vector<dockerfile::InlineFile> files;
  std::vector<RemoteSource> remotes;
  std::string chown, chmod;
  bool link = false;
  std::optional<stage::Origin> origin;  // of the sources; nullopt: there are none in a tree
  std::vector<std::string> excludes;
};

namespace {

// Counts up when COPY or ADD makes of the same input another layer than before: a record of an
// older kiln then matches nothing. 2: the destination of a directory's contents is made anew.
constexpr std::string_view copy_rules = "2";

// Everything that is known before a byte is read.
struct Attributes {
  std::optional<Owner> owner;
  std::optional<ModeChange> mode;
};

void apply_mode(CopyPlan& plan, const ModeChange& mode) {
  const auto change = [&](Entry& e) {
    if (e.type != FileType::symlink) e.mode = mode.apply(e.mode, e.type == FileType::directory);
  };
  for (CopyItem& item : plan.items) {
    for (ContextEntry& e : item.entries) change(e.entry);
    change(item.file.entry);
  }
  for (CopyPlan::NewDirectory& d : plan.new_directories)
    if (d.like) change(d.like->entry);
}

// Of what a plan reads from files; images have them in their indexes.
oci::Digest digest_xattrs(const CopyPlan& plan, const Context& context) {
  oci::Hasher hasher;
  const auto put = [&](const ContextEntry& file) {
    Entry entry;
    entry.xattrs = context.xattrs(file.entry.path);
    hasher.update(
        std::string_view(file.entry.path + "\n" + LayerIndex::attributes_of(entry) + "\n"));
  };
  for (const CopyItem& item : plan.items)
    if (item.directory)
      std::ranges::for_each(item.entries, put);
    else
      put(item.file);
  return hasher.finish();
}

// --chmod of what is copied as a whole tree.
void change_modes(std::vector<ContextEntry>& entries, const ModeChange& change) {
  for (ContextEntry& e : entries)
    if (e.entry.type != FileType::symlink)
      e.entry.mode = change.apply(e.entry.mode, e.entry.type == FileType::directory);
}

}  // namespace

void StageRun::copy_files(const stage::Step& step, size_t index, const dockerfile::Copy& copy) {
  CopyJob job;
  job.kind = "copy";
  job.request.sources = copy.sources;
  job.request.destination = copy.destination;
  job.request.parents = copy.parents;
  job.files = copy.files;
  job.chown = copy.chown;
  job.chmod = copy.chmod;
  job.link = copy.link && copy.chmod.empty();  // as BuildKit: see add_files
  job.excludes = copy.excludes;
  if (!copy.sources.empty()) job.origin = step.origins.at(0);
  copy_job(step, index, std::move(job));
}

void StageRun::add_files(const stage::Step& step, size_t index, const dockerfile::Add& add) {
  CopyJob job;
  job.kind = "add";
  for (const std::string& source : add.sources) {
    if (auto remote = remote_source(source)) {
      remote->checksum = add.checksum;
      remote->keep_git_directory = add.keep_git_dir.value_or(false);
      remote->unpack = add.unpack.value_or(false);
      job.remotes.push_back(std::move(*remote));
    } else {
      job.request.sources.push_back(source);
    }
  }
  if (!add.checksum.empty() && (job.remotes.size() != 1 || !job.request.sources.empty()))
    throw Error("--checksum is for a single remote source");
  job.request.destination = add.destination;
  job.request.unpack = add.unpack.value_or(true);
  job.files = add.files;
  job.chown = add.chown;
  job.chmod = add.chmod;
  // A layer of its own lists the directories on the way; they would get the mode as well, and 0644
  // make a directory of the base one that nobody can enter. So BuildKit links nothing with a mode.
  job.link = add.link && add.chmod.empty();
  job.excludes = add.excludes;
  if (!job.request.sources.empty())
    job.origin = step.origins.empty() ? stage::Origin{stage::Origin::Kind::context, 0, "", {}}
                                      : step.origins.at(0);
  copy_job(step, index, std::move(job));
}

void StageRun::copy_job(const stage::Step& step, size_t index, CopyJob job) {
  const StepId id = services_.progress.begin(step_name(step.instruction.original));
  Outcome outcome = Outcome::failed;
  struct End {
    Progress& progress;
    StepId id;
    const Outcome& outcome;
    ~End() { progress.end(id, outcome); }
  } end{services_.progress, id, outcome};
  try {
    std::shared_ptr<const dockerfile::IgnoreMatcher> excluded;
    if (!job.excludes.empty()) {
      std::vector<std::string> patterns;
      for (const std::string& e : job.excludes)
        patterns.push_back(e.starts_with('/') ? e.substr(1) : e);
      excluded = std::make_shared<dockerfile::IgnoreMatcher>(patterns);
      job.request.exclude = [excluded](const std::string& path, bool) {
        return excluded->matches(path);
      };
    }
    job.request.working_dir = state_->working_dir();
    job.request.inline_files = job.files.size() + job.remotes.size();

    Attributes attributes;
    // --link copies as if the destination were empty: the layer fits on any base.
    const MergedIndex base = job.link ? MergedIndex() : this->index();
    if (!job.chown.empty()) {
      // Numbers need no /etc/passwd, whatever the image has there.
      const bool numbers = job.chown.find_first_not_of("0123456789:") == std::string::npos;
      attributes.owner = look_up_owner(job.chown, numbers ? UserDatabase{} : users());
    }
    if (!job.chmod.empty()) {
      auto mode = ModeChange::parse(job.chmod);
      if (!mode) throw Error("--chmod: " + mode.error());
      attributes.mode = std::move(*mode);
    }

    Tree tree;
    CopyPlan plan;
    static const IndexTree nothing{MergedIndex()};
    if (job.origin) tree = services_.trees.get(*job.origin, id);
    const SourceTree& sources = job.origin ? *tree.tree : nothing;
    plan = plan_copy(job.request, sources, tree.what, base);

    std::vector<FetchedSource> fetched;
    for (const RemoteSource& remote : job.remotes)
      fetched.push_back(
          fetch(remote, services_.work.path(), services_.progress, id, services_.cancel));
    const auto add_place = [&](CacheKey& k) {
      k.add("destination", plan.destination + (plan.destination_is_directory ? "/" : ""));
      k.add("owner", attributes.owner ? std::to_string(attributes.owner->uid) + ":" +
                                            std::to_string(attributes.owner->gid)
                                      : "");
      k.add("chmod", job.chmod);
      if (job.request.unpack) k.add("unpack", "yes");
      if (services_.request.preserve_xattrs) k.add("xattrs", "kept");
      for (const auto& f : job.files) k.add("inline " + f.name, f.data);
      for (size_t i = 0; i < fetched.size(); ++i) {
        const RemoteSource& remote = job.remotes[i];
        k.add("remote " + without_credentials(remote.url), fetched[i].content.text());
        if (remote.unpack) k.add("unpacked " + without_credentials(remote.url), "yes");
        // Its content is the commit, whatever is taken of it.
        if (fetched[i].directory && !job.excludes.empty()) k.add("excluded", job.excludes);
      }
    };
    const std::string root_key = job.link ? "" : key_of(chain_);
    CacheKey place(job.kind + " of anything");
    place.add("root", root_key);
    add_place(place);
    const std::string place_slot = place.digest().text();
    // Where nothing was ever copied in the same way no record can match: then the files are packed
    // at once, and digested by the same read. (Changed modes would be part of both.)
    const bool pack_first = tree.memo != nullptr && !attributes.mode &&
                            (cache_off() || !services_.cache.newest(place_slot));
    std::optional<Layers::PackedCopy> packed;
    if (pack_first)
      packed = pack_copy_job(job, plan, attributes.owner, attributes.mode, tree, fetched, base,
                             run_follows(index));

    CacheKey key(job.kind);
    key.add("rules", copy_rules).add("root", root_key);
    DigestOptions digests;
    digests.memo = tree.memo;
    digests.pool = &services_.layers.pool();
    digests.owners = tree.image && !attributes.owner;
    key.add("sources", tree.kind + " " + digest_plan(plan, sources, digests).text());
    add_place(key);
    if (services_.request.preserve_xattrs && tree.context)
      key.add("xattrs of sources", digest_xattrs(plan, *tree.context).text());

    const std::string slot = slot_of(step, index);
    const std::optional<int64_t> epoch = services_.request.epoch;
    const auto record = find(key, slot, id);
    const std::string root = job.link ? CacheKey("link")
                                            .add("root", key_of(chain_))
                                            .add("layer", key.digest().text())
                                            .digest()
                                            .text()
                                      : key.digest().text();
    if (record) {
      const ChainRef before = chain_;
      if (use_record(*record, false)) {
        // The record of a linked layer was made on another base.
        const auto layer = chain_->layer;
        chain_ = services_.layers.extend(before, root, snapshot_name(root), layer);
        outcome = Outcome::cached;
        return;
      }
    }

    if (!packed)
      packed = pack_copy_job(job, plan, attributes.owner, attributes.mode, tree, fetched, base,
                             run_follows(index));
    services_.layers.commit_copy(*packed, snapshot_name(root));
    created_ = now_text();
    remember(services_, key, slot, {root, created_, epoch, {}}, packed->layer);
    if (services_.request.remember) services_.cache.note(place_slot, key.digest());
    chain_ = services_.layers.extend(chain_, root, snapshot_name(root), std::move(packed->layer));
    outcome = Outcome::done;
  } catch (const Canceled&) {
    outcome = Outcome::canceled;
    throw;
  }
}

// Whether a command will run on what this step leaves behind.
bool StageRun::run_follows(size_t index) const {
  if (services_.in_place != nullptr) return false;  // in no snapshot
  const auto runs = [](const stage::Step& s) {
    return std::holds_alternative<dockerfile::Run>(s.instruction.body);
  };
  if (std::any_of(stage_.steps.begin() + static_cast<std::ptrdiff_t>(index) + 1, stage_.steps.end(),
                  runs))
    return true;
  return std::ranges::any_of(services_.graph.needed(), [&](size_t i) {
    const stage::Stage& other = services_.graph.stages()[i];
    return other.base.kind == stage::Origin::Kind::stage && other.base.stage == stage_.index &&
           !other.replaced && std::ranges::any_of(other.steps, runs);
  });
}

Layers::PackedCopy StageRun::pack_copy_job(const CopyJob& job, CopyPlan& plan,
                                           const std::optional<Owner>& owner,
                                           const std::optional<ModeChange>& mode, const Tree& tree,
                                           std::vector<FetchedSource>& fetched,
                                           const MergedIndex& base, bool unpack) {
  const Attributes attributes{owner, mode};
  const std::optional<int64_t> epoch = services_.request.epoch;
  services_.jobs.acquire();
  struct Release {
    std::counting_semaphore<>& jobs;
    ~Release() { jobs.release(); }
  } release{services_.jobs};
  OpenTree open;
  if (tree.image) {
    // Keys came from the index; the bytes come from the files themselves.
    open = services_.trees.open(tree);
    plan = plan_copy(job.request, *open.tree, tree.what, base);
  } else if (job.origin) {
    open.context = tree.context;
  }
  if (attributes.mode) apply_mode(plan, *attributes.mode);

  CopyRewrite rewrite;
  rewrite.uid = rewrite.gid = std::nullopt;
  if (attributes.owner) {
    rewrite.uid = attributes.owner->uid;
    rewrite.gid = attributes.owner->gid;
  } else if (!tree.image) {
    rewrite.uid = rewrite.gid = 0;
  }
  // Files of a stage keep the times that they were given there.
  if (!tree.image) rewrite.mtime = epoch;
  rewrite.xattrs = tree.image || services_.request.preserve_xattrs;
  const int64_t now = epoch.value_or(time(nullptr));

  // A number is the mode of the directories that have to be made as well; a change ("u=rw,go=r") is
  // one of what is copied, and might leave a directory that nobody can enter. What an archive is
  // extracted into is neither. As BuildKit has it.
  const auto extracted = [&](const CopyItem& item) {
    return !item.directory && job.request.unpack && is_archive(*open.context, item.file);
  };
  const bool numbered = attributes.mode && attributes.mode->absolute() &&
                        (plan.items.empty() || !extracted(plan.items.front()));
  const uint32_t made_mode = numbered ? attributes.mode->apply(0755, true) : 0755;

  CopyLayer layer;
  for (const CopyPlan::NewDirectory& d : plan.new_directories) {
    Entry entry;
    if (d.like) entry = d.like->entry;
    entry.path = d.path;
    entry.type = FileType::directory;
    entry.link.clear();
    entry.size = 0;
    if (!d.like) {
      entry.mode = made_mode;
      // Files of a stage keep their times; those of a context have the epoch's, if there is one.
      entry.mtime = d.mtime ? rewrite.mtime.value_or(*d.mtime) : now;
    }
    if (!d.like || attributes.owner || !tree.image) {
      entry.uid = rewrite.uid.value_or(0);
      entry.gid = rewrite.gid.value_or(0);
    }
    if (d.like && rewrite.mtime) entry.mtime = *rewrite.mtime;
    layer.add_directory(entry);
  }
  // What is extracted or checked out goes into a directory, whatever the destination looks like.
  Entry made;  // a directory that no source is the model of
  made.path = plan.destination;
  made.type = FileType::directory;
  made.mode = made_mode;
  made.uid = attributes.owner ? attributes.owner->uid : 0;
  made.gid = attributes.owner ? attributes.owner->gid : 0;
  made.mtime = now;
  const auto need_destination = [&](const Entry& as) {
    if (plan.destination.empty()) return;
    const auto there = base.lookup(plan.destination);
    if (!there) layer.add_directory(as);
    if (there && there->type != FileType::directory)
      throw Error("/" + plan.destination +
                  " is a file in the image; an archive or a repository needs a directory");
  };
  std::vector<std::unique_ptr<ExtractedArchive>> archives;
  const auto extract_into = [&](const Context& from, const ContextEntry& file,
                                const std::string& destination) {
    archives.push_back(std::make_unique<ExtractedArchive>(services_.work.path(), from, file));
    const Context& tar = archives.back()->tree();
    Entry parent = made;
    parent.mode = 0755;
    need_destination(parent);
    // An archive brings its own owners and times (Dockerfile reference, "ADD").
    CopyRewrite own = {std::nullopt, std::nullopt, {}, {}, epoch, true};
    if (attributes.owner) {
      own.uid = attributes.owner->uid;
      own.gid = attributes.owner->gid;
    }
    layer.add_archive(tar, tar.walk(""), archives.back()->listed(), destination, own, base, parent);
  };
  for (const CopyItem& item : plan.items) {
    if (item.directory)
      layer.add_borrowed_tree(*open.context, item.source, item.entries, item.destination, rewrite,
                              item.destination_exists);
    else if (extracted(item))
      extract_into(*open.context, item.file, plan.destination);
    else
      layer.add_file(*open.context, item.file, item.destination, rewrite);
  }
  const auto target = [&](const std::string& name) {
    return plan.destination_is_directory ? join_path(plan.destination, name) : plan.destination;
  };
  const auto inline_entry = [&](const std::string& path, uint32_t bits, uint64_t size,
                                int64_t mtime) {
    Entry entry;
    entry.path = path;
    entry.mode = attributes.mode ? attributes.mode->apply(bits, false) : bits;
    entry.uid = attributes.owner ? attributes.owner->uid : 0;
    entry.gid = attributes.owner ? attributes.owner->gid : 0;
    entry.size = size;
    entry.mtime = mtime;
    return entry;
  };
  for (const auto& f : job.files)
    layer.add_content(inline_entry(target(f.name), 0644, f.data.size(), now), f.data);
  for (size_t i = 0; i < fetched.size(); ++i) {
    FetchedSource& f = fetched[i];
    if (f.directory) {
      need_destination(made);
      std::vector<ContextEntry> entries = f.context->walk("");
      if (job.request.exclude)
        std::erase_if(entries, [&](const ContextEntry& e) {
          return !e.entry.path.empty() &&
                 job.request.exclude(e.entry.path, e.entry.type == FileType::directory);
        });
      if (attributes.mode) change_modes(entries, *attributes.mode);
      layer.add_tree(*f.context, "", entries, plan.destination,
                     {attributes.owner ? attributes.owner->uid : 0,
                      attributes.owner ? attributes.owner->gid : 0,
                      {},
                      {},
                      epoch.value_or(now)},
                     plan.destination_is_directory);
      continue;
    }
    ContextEntry file = *f.context->stat(f.name);
    if (job.remotes[i].unpack && is_archive(*f.context, file)) {
      extract_into(*f.context, file, plan.destination);
      continue;
    }
    // A download is 0600 (Dockerfile reference, "ADD").
    file.entry.mode = attributes.mode ? attributes.mode->apply(0600, false) : 0600;
    CopyRewrite own = rewrite;
    own.uid = attributes.owner ? attributes.owner->uid : 0;
    own.gid = attributes.owner ? attributes.owner->gid : 0;
    own.mtime = epoch ? epoch : f.mtime;
    layer.add_file(*f.context, file, target(f.name), own);
  }

  if (!job.link) layer.list_parents(parents_in(base));
  CopyObserver observer;
  if (tree.memo != nullptr)
    observer.digested = [&](const ContextEntry& file, int fd, std::string_view digest,
                            int64_t began) {
      tree.memo->note(file, fd, raw_from_hex(digest), began, true);
    };
  return services_.layers.pack_copy(layer, observer, chain_, unpack, !job.link);
}

}  // namespace kiln::solve
