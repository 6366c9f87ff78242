// `kiln build`: a Dockerfile and a context become an image.
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>

#include "builder/cli/build.hh"
#include "builder/cli/build_options.hh"
#include "builder/cli/build_registry.hh"
#include "builder/cli/build_request.hh"
#include "builder/cli/build_sources.hh"
#include "builder/cli/destination.hh"
#include "builder/cli/in_place.hh"
#include "builder/cli/known_base.hh"
#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/dockerfile/file.hh"
#include "builder/layer/apply.hh"
#include "builder/registry/reference.hh"
#include "builder/solve/result.hh"
#include "builder/stage/lint.hh"
#include "builder/store/archive.hh"
#include "builder/store/trash_removal.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::cli {

namespace {

std::atomic<Cancellation*> interrupted;

// Ctrl-C ends the build in order; a second one ends kiln at once.
void on_signal(int signal) {
  if (Cancellation* cancel = interrupted.exchange(nullptr)) {
    cancel->request();
    return;
  }
  _exit(128 + signal);
}

class SignalHandling {
 public:
  explicit SignalHandling(Cancellation& cancel) {
    interrupted = &cancel;
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (int s : {SIGINT, SIGTERM, SIGHUP}) sigaction(s, &action, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  ~SignalHandling() { interrupted = nullptr; }
};

std::vector<std::string> tags_of(const Arguments& arguments,
                                 const std::vector<BuildOutput>& outputs) {
  std::vector<std::string> tags;
  const auto add = [&](const std::string& text) {
    const Reference reference = require_reference(text);
    if (!reference.digest.empty())
      throw UsageError("tag " + text + ": an image cannot be named by a digest");
    tags.push_back(reference.text());
  };
  for (const std::string& text : arguments.values("tag")) add(text);
  for (const BuildOutput& o : outputs)
    for (const std::string& text : o.names) add(text);
  return tags;
}

void warn_of_syntax(const dockerfile::Dockerfile& file, Progress& progress) {
  if (!file.directives.syntax) return;
  const std::string& name = file.directives.syntax->value;
  if (name.find("docker/dockerfile") == std::string::npos)
    progress.warn("# syntax=" + name + ": kiln reads Dockerfiles by itself, no frontend is run");
}

void write_metadata(const std::string& path, const solve::ResultImage& image,
                    const std::vector<std::string>& tags) {
  std::string names;
  for (const std::string& t : tags) names += (names.empty() ? "" : ",") + t;
  nlohmann::ordered_json json = {
      {"containerimage.config.digest", image.config.text()},
      {"containerimage.descriptor",
       {{"mediaType", image.manifest.media_type},
        {"digest", image.manifest.digest.text()},
        {"size", image.manifest.size}}},
      {"containerimage.digest", image.manifest.digest.text()},
  };
  if (!names.empty()) json["image.name"] = names;
  write_file_atomic(AT_FDCWD, path, json.dump(2) + "\n");
}

class Build {
 public:
  explicit Build(const Arguments& arguments)
      : arguments_(arguments),
        request_(build_request(arguments)),
        outputs_(build_outputs(arguments)),
        tags_(tags_of(arguments, outputs_)),
        store_(Store::default_directory(arguments.text("store"))) {
    request_.compression = build_compression(arguments);
  }
  // For `use` instead of names and outputs.
  Build(const Arguments& arguments, solve::BuildRequest request, UseResult use)
      : arguments_(arguments),
        request_(std::move(request)),
        store_(Store::default_directory(arguments.text("store"))),
        use_(std::move(use)) {}

  int run() {
    if (request_.isolation == Isolation::in_place)
      in_place_ = std::make_unique<InPlaceBuild>(arguments_, request_, outputs_, store_);
    // Before the first thread. Where it is forbidden, mounts are taken away one by one instead.
    static_cast<void>(try_private_mount_namespace());
    const bool quiet = !use_ && arguments_.has("quiet");
    progress_ = make_progress(
        quiet ? ProgressMode::quiet : progress_mode(arguments_.text("progress")), STDERR_FILENO);
    Cancellation cancel;
    const SignalHandling signals(cancel);
    try {
      return build(cancel);
    } catch (const Canceled&) {
      return finish_failed("canceled", 130);
    } catch (const solve::StepFailed& failed) {
      return finish_failed(failed.what(), failed.status());
    } catch (const dockerfile::DockerfileError& error) {
      return finish_failed(error.render(), 1);
    } catch (...) {
      progress_->close();
      throw;
    }
  }

 private:
  int finish_failed(const std::string& message, int status) {
    progress_->close();
    const std::string text =
        "kiln: " + std::string(arguments_.verb().name) + ": " + message_text(message) + "\n";
    // For another verb the step's status would mean something else.
    if (use_) status = arguments_.verb().error_exit;
    if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return status;
    return status;
  }

  int build(Cancellation& cancel) {
    const solve::WorkDirectory work(
        store_.sub_directory("run"),
        solve::runtime_state_directory(store_.sub_directory("runtime")));
    const TrashRemoval trash(store_);
    const BuildSources sources = open_build_sources(
        arguments_.operands().back(), arguments_.text("file"), work.path(), *progress_, cancel);
    request_.project = sources.project;
    const dockerfile::Dockerfile file = dockerfile::parse_dockerfile(sources.dockerfile);
    if (const auto status = lint(file, sources)) return *status;
    warn_of_syntax(file, *progress_);
    solve::Layers layers(store_, request_.compression, request_.copy_snapshots);
    BuildRegistry registry(store_, *progress_, cancel);
    solve::Images images(store_, request_, registry.puller());
    images.set_stages(stage_names(file));
    const stage::Graph graph(file, request_.inputs, [&](const stage::Origin& origin) {
      return base_config(images, origin);
    });
    BuildCache cache(store_);
    const std::string memo_path = store_.sub_directory("memo");
    const Fd memo(open(memo_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    solve::Solver solver(request_, graph, layers, images, cache, *progress_, cancel,
                         sources.context, work, memo.get(),
                         in_place_ ? &in_place_->parts() : nullptr);
    const solve::Built built = solver.run();
    if (use_) {
      const solve::ResultImage image = store_result(layers, built, result_options(arguments_));
      progress_->close();
      return use_(store_, image);
    }
    deliver(layers, built, registry, work);
    return 0;
  }

  // --check prints what `kiln check` would and ends; a build looks only where the file asks for it
  // (`# check=error=true`).
  std::optional<int> lint(const dockerfile::Dockerfile& file, const BuildSources& sources) {
    if (use_ || (!arguments_.has("check") && !file.directives.check)) return std::nullopt;
    // Of bases, what the store knows: a check fetches nothing.
    const auto base_config = [&](const stage::Origin& origin) {
      return try_known_config(store_, origin, request_.inputs.target_platform);
    };
    const stage::LintResult result = stage::lint(file, request_.inputs, base_config,
                                                 sources.ignore ? sources.ignore.get() : nullptr);
    if (arguments_.has("check")) {
      progress_->close();
      print(stage::lint_text(file.source, result));
      print(result.findings.empty() ? "no findings\n"
                                    : std::to_string(result.findings.size()) + " findings\n");
      return result.findings.empty() ? 0 : 1;
    }
    if (result.error && !result.findings.empty()) {
      progress_->close();
      throw Error("# check=error=true and there are findings:\n" +
                  stage::lint_text(file.source, result));
    }
    return std::nullopt;
  }

  static std::vector<std::string> stage_names(const dockerfile::Dockerfile& file) {
    std::vector<std::string> names;
    for (const dockerfile::Instruction& i : file.instructions)
      if (const auto* from = std::get_if<dockerfile::From>(&i.body); from && !from->name.empty())
        names.push_back(from->name);
    return names;
  }

  static std::optional<oci::ImageConfig> base_config(solve::Images& images,
                                                     const stage::Origin& origin) {
    if (origin.kind == stage::Origin::Kind::named_context && !images.is_image_context(origin.name))
      return std::nullopt;
    return images.get(origin, 0)->config;
  }

  void deliver(solve::Layers& layers, const solve::Built& built, BuildRegistry& registry,
               const solve::WorkDirectory& work) {
    bool wants_image = outputs_.empty() || !tags_.empty();
    for (const BuildOutput& o : outputs_)
      wants_image =
          wants_image || (o.type != BuildOutput::Type::tar && o.type != BuildOutput::Type::local);
    solve::ResultImage image;
    if (wants_image) {
      const StepId id = progress_->begin("write the image");
      image = store_result(layers, built, result_options(arguments_));
      store_.sync();  // blobs first, then the names
      for (const std::string& tag : tags_) store_.set_name(tag, image.manifest);
      if (tags_.empty()) store_.set_name("", image.manifest);
      store_.sync();
      progress_->end(id, Outcome::done);
    }
    for (const BuildOutput& output : outputs_) write_output(layers, built, image, output, work);
    if (std::ranges::any_of(outputs_, &BuildOutput::push)) registry.push(image.manifest, tags_);
    if (const auto path = arguments_.value("iidfile"); path && wants_image)
      write_file_atomic(AT_FDCWD, *path, image.config.text());
    if (const auto path = arguments_.value("metadata-file"); path && wants_image)
      write_metadata(*path, image, tags_);
    progress_->close();
    const bool to_stdout =
        std::ranges::any_of(outputs_, [](const BuildOutput& o) { return o.destination == "-"; });
    if (wants_image && !to_stdout) print(image.config.text() + "\n");
  }

  void write_output(solve::Layers& layers, const solve::Built& built,
                    const solve::ResultImage& image, const BuildOutput& output,
                    const solve::WorkDirectory& work) {
    if (output.type == BuildOutput::Type::image) return;
    const StepId id = progress_->begin(
        "write " + (output.destination == "-" ? "to standard output" : output.destination));
    try {
      if (output.type == BuildOutput::Type::local)
        write_root_directory(layers, built.chain, output.destination);
      else if (!output.as_tar && output.type != BuildOutput::Type::tar)
        write_layout(image, output, work);
      else
        write_whole_file(output.destination, [&](ByteSink& sink) {
          write_archive(layers, built, image, output, sink);
        });
    } catch (...) {
      progress_->end(id, Outcome::failed);
      throw;
    }
    progress_->end(id, Outcome::done);
  }

  void write_archive(solve::Layers& layers, const solve::Built& built,
                     const solve::ResultImage& image, const BuildOutput& output, ByteSink& sink) {
    if (output.type == BuildOutput::Type::tar)
      write_root_tar(layers, built.chain, sink);
    else
      write_images(image, output, sink);
  }

  void write_images(const solve::ResultImage& image, const BuildOutput& output, ByteSink& sink) {
    // As the store's index has them, names included.
    std::vector<NamedImage> images;
    for (NamedImage& named : store_.images())
      if (std::ranges::find(tags_, named.name) != tags_.end()) images.push_back(std::move(named));
    if (images.empty()) images.push_back({"", image.manifest});
    save_images(store_, images,
                output.type == BuildOutput::Type::oci ? ArchiveFormat::oci : ArchiveFormat::docker,
                sink);
  }

  // tar=false: what the archive would hold, as files.
  void write_layout(const solve::ResultImage& image, const BuildOutput& output,
                    const solve::WorkDirectory& work) {
    const std::string path = work.path() + "/layout-" + random_name();
    const Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) throw SysError("create " + path);
    unlink(path.c_str());
    FdSink sink(file.get());
    write_images(image, output, sink);
    if (lseek(file.get(), 0, SEEK_SET) != 0) throw SysError("seek");
    make_dir_at(AT_FDCWD, output.destination);
    const Fd into(open(output.destination.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!into) throw SysError("open " + output.destination);
    FdSource source(file.get());
    ApplyOptions options;
    options.kind = ApplyOptions::Kind::archive;
    options.owners = options.devices = false;
    apply_tar(source, into.get(), options);
  }

  const Arguments& arguments_;
  solve::BuildRequest request_;
  std::vector<BuildOutput> outputs_;
  std::vector<std::string> tags_;
  Store store_;
  UseResult use_;  // empty: names and outputs
  std::unique_ptr<InPlaceBuild> in_place_;
  std::unique_ptr<Progress> progress_;
};

void enter_namespace_for(const Arguments& arguments) {
  // Root of a container that may change its root keeps all of its ids that way.
  const std::string isolation = arguments.text("isolation");
  if (isolation == "oci" || (isolation == "chroot" && !has_capability(CAP_SYS_CHROOT)))
    enter_user_namespace();
}

int build(const Arguments& arguments) {
  enter_namespace_for(arguments);
  return Build(arguments).run();
}

}  // namespace

int build_for(const Arguments& arguments, solve::BuildRequest request, const UseResult& use) {
  enter_namespace_for(arguments);
  return Build(arguments, std::move(request), use).run();
}

extern const Verb build_verb;
const Verb build_verb{
    .name = "build",
    .operands = "CONTEXT|-|URL",
    .summary = "Build an image from a Dockerfile.",
    .options = build_options,
    .examples = "kiln build -t app:1.0 .\nkiln build --target test --secret id=token,env=TOKEN .",
    .least = 1,
    .most = 1,
    .completes = Completes::directory,
    .run = build,
};

}  // namespace kiln::cli
