// RUN: its key, its mounts, the command in a workspace, and the layer of what it changed.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>

#include "builder/dockerfile/characters.hh"
#include "builder/solve/stage_run.hh"
#include "builder/stage/invocation.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::solve {

namespace {

constexpr size_t kept_lines = 20;  // of a failing command's output, for the error

// Host path of something inside a tree's directory, resolved there.
struct HostPath {
  std::string path;
  bool directory;
};

HostPath host_path(int root, std::string_view inside, std::string_view what) {
  const auto found = try_open_in_root(root, inside, O_PATH);
  if (!found) throw SysError(std::string(inside) + " in " + std::string(what), found.error());
  struct stat s {};
  if (fstat(found->get(), &s) != 0) throw SysError("stat " + std::string(inside));
  std::array<char, 4096> buffer;
  const std::string link = "/proc/self/fd/" + std::to_string(found->get());
  const ssize_t n = readlink(link.c_str(), buffer.data(), buffer.size());
  if (n <= 0 || static_cast<size_t>(n) == buffer.size()) throw SysError("readlink " + link);
  return {{buffer.data(), static_cast<size_t>(n)}, S_ISDIR(s.st_mode)};
}

std::string mount_definition(const dockerfile::Mount& m) {
  std::string text(dockerfile::mount_type_name(m.type));
  text += " from=" + m.from + " source=" + m.source + " target=" + m.target + " id=" + m.id;
  text += m.read_only ? " ro" : " rw";
  if (m.sharing) text += " sharing=" + std::to_string(static_cast<int>(*m.sharing));
  if (m.size != 0) text += " size=" + std::to_string(m.size);
  if (m.env) text += " env=" + *m.env;
  if (m.mode) text += " mode=" + std::to_string(*m.mode);
  if (m.uid) text += " uid=" + std::to_string(*m.uid);
  if (m.gid) text += " gid=" + std::to_string(*m.gid);
  return text;
}

std::string network_name(StepNetwork network) {
  switch (network) {
    case StepNetwork::none:
      return "none";
    case StepNetwork::pasta:
      return "pasta";
    case StepNetwork::host:
      break;
  }
  return "host";
}

// What a user namespace with too few ids refused to a command.
std::string refused_text(const std::vector<std::string>& refused) {
  std::string text = "the command asked for what cannot be done with the ids mapped here (" +
                     std::to_string(mapped_ids()) + "), so the image would be another one:";
  for (const std::string& call : refused) text += "\n  " + terminal_text(call, 300);
  if (!user_namespace().why.empty()) text += "\nonly one id is mapped: " + user_namespace().why;
  return text + "\n'kiln doctor' says how to get more";
}

// A here-document's lines in one, parted as BuildKit shows them.
std::string with_visible_ends(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\\n") : std::string(1, c);
  return out;
}

// What stands for a step in the progress: of `RUN <<EOF` the first line of the script as well.
std::string shown_text(const stage::Step& step, const dockerfile::Run& run) {
  if (run.heredocs.empty()) return step.instruction.original;
  const std::string_view body = dockerfile::trim(run.heredocs[0].content);
  const std::string_view first = dockerfile::trim(body.substr(0, body.find('\n')));
  if (first.empty()) return step.instruction.original;
  return step.instruction.original + " (" + std::string(first) +
         (first.size() < body.size() ? " ...)" : ")");
}

// The tail of a command's output, for the error message.
class Tail {
 public:
  void add(std::string_view line) {
    lines_.emplace_back(terminal_text(line, 400));
    if (lines_.size() > kept_lines) lines_.pop_front();
  }
  std::string text() const {
    std::string out;
    for (const std::string& l : lines_) out += "\n  | " + l;
    return out;
  }

 private:
  std::deque<std::string> lines_;
};

}  // namespace

struct StageRun::RunInputs {
  std::vector<Tree> trees;  // one for each mount; unused ones are empty
  // Kept until the step is over.
  std::vector<OpenTree> opened;
  std::vector<std::unique_ptr<Rootfs>> workspaces;
};

void StageRun::add_run_mounts(const stage::Step& step, const dockerfile::Run& run, StepId id,
                              RunInputs& inputs, CacheKey& key) {
  using Type = dockerfile::Mount::Type;
  inputs.trees.resize(run.mounts.size());
  for (size_t i = 0; i < run.mounts.size(); ++i) {
    const dockerfile::Mount& m = run.mounts[i];
    key.add("mount " + std::to_string(i), mount_definition(m));
    // Files have places of their own; whatever else names no target stands in the working
    // directory.
    if (m.type != Type::secret && m.type != Type::ssh &&
        absolute_path(m.target, state_->working_dir()) == "/")
      throw Error("--mount over / is not possible: say where with target=");
    const bool reads = m.type == Type::bind || (m.type == Type::cache && !m.from.empty());
    if (!reads) continue;
    Tree& tree = inputs.trees[i];
    tree = services_.trees.get(step.origins.at(i), id);
    const std::string source = absolute_path(m.source, "/");
    const auto top = tree.tree->stat(source, true);
    if (!top) throw Error("--mount source " + source + ": not found in " + tree.what);
    DigestOptions options;
    options.memo = tree.memo;
    options.pool = &services_.layers.pool();
    options.owners = tree.image;
    const bool directory = top->entry.type == FileType::directory;
    const std::vector<ContextEntry> entries =
        directory ? tree.tree->walk(top->entry.path) : std::vector<ContextEntry>{*top};
    const std::string base(directory ? top->entry.path : parent_path(top->entry.path));
    key.add("mount " + std::to_string(i) + " content",
            tree.kind + " " + tree.tree->digest(entries, base, options).text());
  }
}

void StageRun::open_run_mounts(const dockerfile::Run& run, RunInputs& inputs, RunMounts& mounts) {
  using Type = dockerfile::Mount::Type;
  size_t ssh = 0;
  const std::string cwd = state_->working_dir();
  mounts.lock_caches(run.mounts, cwd, services_.request.isolation != Isolation::runtime,
                     services_.cancel);
  for (size_t i = 0; i < run.mounts.size(); ++i) {
    const dockerfile::Mount& m = run.mounts[i];
    const std::string target = absolute_path(m.target, cwd);
    switch (m.type) {
      case Type::tmpfs:
        mounts.add_tmpfs(m, target);
        break;
      case Type::secret:
        mounts.add_secret(m, cwd, services_.request.mount_sources);
        break;
      case Type::ssh:
        mounts.add_ssh(m, ssh++, cwd, services_.request.mount_sources);
        break;
      case Type::cache: {
        bool fresh = false;
        const int data = mounts.add_cache(m, target, fresh);
        if (!fresh || m.from.empty()) break;
        inputs.opened.push_back(services_.trees.open(inputs.trees[i]));
        const OpenTree& open = inputs.opened.back();
        const auto top = open.tree->stat(absolute_path(m.source, "/"), true);
        if (!top) break;
        CopyLayer files;
        files.add_tree(*open.context, top->entry.path, open.tree->walk(top->entry.path), "",
                       {std::nullopt, std::nullopt, {}, {}, {}, true}, true);
        Applier applier(data, {.kind = ApplyOptions::Kind::archive});
        files.apply(applier);
        applier.finish();
        // What it is filled from is its root, too, but for what the mount says otherwise.
        const bool owned = m.uid || m.gid;
        if ((!owned && fchown(data, top->entry.uid, top->entry.gid) != 0) ||
            (!m.mode && fchmod(data, top->entry.mode) != 0))
          throw SysError("prepare the cache mount at " + target);
        break;
      }
      case Type::bind: {
        const Tree& tree = inputs.trees[i];
        const std::string source = absolute_path(m.source, "/");
        if (tree.image && !m.read_only) {
          // What the step writes there is thrown away with the workspace.
          inputs.workspaces.push_back(
              services_.layers.snapshots().prepare(services_.layers.materialise(tree.chain)));
          const HostPath at = host_path(inputs.workspaces.back()->root(), source, tree.what);
          mounts.add_bind(target, at.path, at.directory, false);
          break;
        }
        inputs.opened.push_back(services_.trees.open(tree));
        const OpenTree& open = inputs.opened.back();
        const bool whole = tree.image || !open.context->ignore();
        if (m.read_only && tree.image) {  // nobody else has it
          const HostPath at = host_path(open.context->root(), source, tree.what);
          mounts.add_bind(target, at.path, at.directory, true);
          break;
        }
        if (m.read_only && whole) {
          const Fd held = open_in_root(open.context->root(), source, O_PATH);
          struct stat status {};
          if (fstat(held.get(), &status) != 0) throw SysError("stat " + source);
          if (mounts.try_add_held_bind(target, held.get(), S_ISDIR(status.st_mode))) break;
        }
        // Of the context: a copy, without what .dockerignore hides; writes to it never reach the
        // host (CVE-2025-4953).
        const std::string copy = mounts.scratch_directory();
        const Fd into(::open(copy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!into) throw SysError("open " + copy);
        const auto top = open.tree->stat(source, true);
        if (!top) throw Error("--mount source " + source + ": not found in " + tree.what);
        CopyLayer files;
        const bool directory = top->entry.type == FileType::directory;
        if (directory)
          files.add_tree(*open.context, top->entry.path, open.tree->walk(top->entry.path), "", {},
                         true);
        else
          files.add_file(*open.context, *top, "file", {});
        Applier applier(into.get(), {.kind = ApplyOptions::Kind::archive});
        files.apply(applier);
        applier.finish();
        mounts.add_bind(target, directory ? copy : copy + "/file", directory, m.read_only);
        break;
      }
    }
  }
}

void StageRun::run_command(const stage::Step& step, size_t index, const dockerfile::Run& run) {
  const StepId id = services_.progress.begin(step_name(shown_text(step, run)));
  Outcome outcome = Outcome::failed;
  bool ended_elsewhere = false;
  struct End {  // on every way out
    Progress& progress;
    StepId id;
    const Outcome& outcome;
    const bool& elsewhere;
    ~End() {
      if (!elsewhere) progress.end(id, outcome);
    }
  } end{services_.progress, id, outcome, ended_elsewhere};

  const stage::Invocation invocation = stage::invocation_of(run, state_->shell());
  const bool insecure = run.security == dockerfile::Run::Security::insecure;
  if (insecure && !services_.request.allow_insecure)
    throw Error("RUN --security=insecure: allow it with --allow security.insecure");
  StepNetwork network = services_.request.network;
  if (run.network == dockerfile::Run::Network::none) network = StepNetwork::none;
  if (run.network == dockerfile::Run::Network::pasta) network = StepNetwork::pasta;
  if (run.network == dockerfile::Run::Network::host) {
    if (!services_.request.allow_host_network)
      throw Error("RUN --network=host: allow it with --allow network.host");
    network = StepNetwork::host;
  }

  CacheKey key("run");
  key.add("root", key_of(chain_));
  key.add("command", invocation.argv);
  if (invocation.script) key.add("script", invocation.script->data);
  // Proxies are seen by the command and are no part of the key.
  std::vector<std::string> environment;
  for (const auto& [name, value] : state_->variables().all())
    environment.push_back(name + "=" + value);
  key.add("environment", environment);
  key.add("user", state_->user()).add("directory", state_->working_dir());
  key.add("network", network_name(network));
  key.add("security", insecure ? "insecure" : "sandbox");
  key.add("platform", oci::platform_text(state_->platform()));
  if (!services_.request.extra_hosts.empty()) key.add("hosts", services_.request.extra_hosts);
  RunInputs inputs;
  try {
    add_run_mounts(step, run, id, inputs, key);
  } catch (const Canceled&) {
    outcome = Outcome::canceled;
    throw;
  }

  const std::string slot = slot_of(step, index);
  if (const auto record = find(key, slot, id); record && use_record(*record, true)) {
    outcome = Outcome::cached;
    return;
  }

  prepare_run_services(network);
  services_.jobs.acquire();
  struct Release {
    std::counting_semaphore<>& jobs;
    ~Release() { jobs.release(); }
  } release{services_.jobs};
  const int64_t began = time(nullptr);
  Snapshotter& snapshots = services_.layers.snapshots();
  InPlace* const in_place = services_.in_place;
  std::unique_ptr<Rootfs> workspace = in_place != nullptr
                                          ? in_place->take(services_.layers, chain_)
                                          : snapshots.prepare(services_.layers.materialise(chain_));
  RuntimeEnd ended;
  Tail tail;
  std::string command;
  {
    RunMounts mounts(services_.run_defaults.work_directory, services_.cache_mounts);
    open_run_mounts(run, inputs, mounts);
    RunStep what;
    what.argv = invocation.argv;
    what.env = state_->run_environment();
    what.env.insert(what.env.end(), mounts.environment().begin(), mounts.environment().end());
    what.secret_environment = mounts.secret_environment();
    what.working_dir = state_->working_dir();
    what.user = look_up_user(state_->user(),
                             {read_file_in_root(workspace->root(), "etc/passwd", size_t{1} << 20),
                              read_file_in_root(workspace->root(), "etc/group", size_t{1} << 20)});
    what.network = network;
    what.insecure = insecure;
    what.written = workspace->written();
    if (invocation.script) mounts.add_script(invocation.script->path, invocation.script->data);
    what.mounts = mounts.mounts();
    for (const std::string& word : invocation.argv) command += (command.empty() ? "" : " ") + word;
    try {
      ended = run_step(
          what, services_.run_defaults, workspace->root(), workspace->path(), services_.runtime,
          [&](Stream stream, std::string_view line) {
            tail.add(line);
            services_.progress.output(id, stream, line);
          },
          services_.cancel);
    } catch (const Canceled&) {
      outcome = Outcome::canceled;
      throw;
    }
  }
  if (ended.status == 0 && !ended.refused.empty()) {
    const dockerfile::DockerfileError placed(services_.graph.source(), step.instruction.range,
                                             refused_text(ended.refused));
    throw StepFailed(placed.render(), 1);
  }
  if (ended.status != 0) {
    const std::string why = ended.never_ran
                                ? "could not be started: " + ended.message
                                : "ended with exit code " + std::to_string(ended.status);
    const dockerfile::DockerfileError placed(
        services_.graph.source(), step.instruction.range,
        "the command \"" + terminal_text(with_visible_ends(command), 200) + "\" " + why);
    std::string text = placed.render();
    if (!ended.never_ran) text += tail.text();
    if (services_.request.isolation == Isolation::chroot && !ended.never_ran)
      text +=
          "\n--isolation chroot has no /proc, /sys and /dev/shm, no /dev but the image's, and no "
          "mounts: if the command needs one, build where namespaces are allowed ('kiln doctor')";
    if (!ended.refused.empty()) text += "\n" + refused_text(ended.refused);
    throw StepFailed(text, ended.status);
  }

  // Each run of a command is a root filesystem of its own, whatever the key says.
  const std::string root =
      CacheKey("ran").add("step", key.digest().text()).add("nonce", random_name()).digest().text();
  const std::string snapshot = snapshot_name(root);
  const std::optional<int64_t> epoch = services_.request.epoch;
  created_ = rfc3339(epoch.value_or(began));
  const RecordPatch patch{root, created_, epoch, {}};
  const ChangeOptions options{.clamp_mtime = epoch, .list_parents = true};
  const auto finish = [&services = services_, id, key, slot, patch](const PackedLayer& packed,
                                                                    const ChangeStats& stats) {
    for (const auto& [name, count] : stats.dropped_xattrs)
      services.progress.note(id, std::to_string(count) + " extended attributes " + name +
                                     " are not kept in the layer");
    remember(services, key, slot, patch, packed);
  };
  if (in_place != nullptr) {
    // The next step changes the very tree that this layer is read from.
    if (const size_t left = in_place->remove_left_files())
      services_.progress.note(id, std::to_string(left) +
                                      " copies of mounted files were left elsewhere by the "
                                      "command; they are not kept in the layer");
    ChangeStats stats;
    PackedLayer packed = in_place->pack(services_.layers, chain_, snapshot, options, stats);
    finish(packed, stats);
    chain_ = services_.layers.extend(chain_, root, snapshot, std::move(packed));
    outcome = Outcome::done;
    return;
  }
  services_.layers.store().hold_snapshot(snapshot);
  snapshots.commit(std::move(workspace), snapshot, {epoch});
  ended_elsewhere = true;
  auto layer = solver_.in_background(
      [this_services = &services_, snapshot, options, id, finish]() -> PackedLayer {
        Services& services = *this_services;
        try {
          ChangeStats stats;
          PackedLayer packed = services.layers.pack_changes(snapshot, options, &stats);
          finish(packed, stats);
          services.progress.end(id, Outcome::done);
          return packed;
        } catch (...) {
          services.progress.end(id, Outcome::failed);
          throw;
        }
      });
  chain_ = services_.layers.extend(chain_, root, snapshot, std::move(layer));
}

}  // namespace kiln::solve
