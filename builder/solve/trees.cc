#include "builder/solve/trees.hh"

#include <fcntl.h>
#include <unistd.h>

#include "builder/dockerfile/ignore.hh"
#include "builder/dockerfile/source.hh"
#include "builder/solve/ignore_rule.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln::solve {

Trees::Trees(Layers& layers, Images& images, const BuildRequest& request,
             std::shared_ptr<const Context> context, int memo_directory, StageChain stage_chain,
             Fetch fetch)
    : layers_(layers),
      images_(images),
      request_(request),
      context_(std::move(context)),
      memo_directory_(memo_directory),
      stage_chain_(std::move(stage_chain)),
      fetch_(std::move(fetch)) {}

Trees::~Trees() = default;

Tree Trees::files_tree(const std::string& name, std::shared_ptr<const Context> context,
                       const std::string& what) {
  const std::lock_guard lock(mutex_);
  Files& files = files_[name];
  if (!files.context) {
    files.context = std::move(context);
    // Named after the directory itself, which a moved checkout keeps and a fresh one has not.
    files.memo_name = std::string(oci::Digest::sha256(files.context->name()).hex().substr(0, 32));
    if (memo_directory_ >= 0 && !request_.no_memo)
      files.memo = std::make_unique<DigestMemo>(DigestMemo::load(memo_directory_, files.memo_name));
  }
  Tree tree;
  tree.what = what;
  tree.kind = "files";
  tree.context = files.context;
  tree.tree = std::make_shared<ContextTree>(*files.context);
  tree.memo = files.memo.get();
  return tree;
}

// A directory with what its own .dockerignore leaves of it, or a repository or archive by URL,
// fetched once.
Tree Trees::named_tree(const std::string& name, StepId step) {
  const std::string what = "build context " + name;
  const std::string& text = images_.context_text(name);
  if (const auto remote = remote_source(text)) {
    const std::lock_guard one(fetching_);
    std::shared_ptr<const Context> context;
    {
      const std::lock_guard lock(mutex_);
      context = files_["context " + name].context;
    }
    if (!context) {
      FetchedSource fetched = fetch_(*remote, step);
      if (!fetched.directory)
        throw Error("--build-context " + name + "=" + without_credentials(text) +
                    ": expected a directory, a git repository or an image, not a file");
      context = fetched.context;
      const std::lock_guard lock(mutex_);
      files_["context " + name].keep = fetched.keep;
    }
    return files_tree("context " + name, context, what);
  }
  Fd root(::open(text.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open context " + text);
  const auto ignored =
      matcher_of(read_file_in_root(root.get(), ".dockerignore", dockerfile::most_bytes));
  return files_tree("context " + name,
                    std::make_shared<const Context>(std::move(root), text, rule_of(ignored)), what);
}

Tree Trees::image_tree(ChainRef chain, const std::string& what) {
  Tree tree;
  tree.what = what;
  tree.kind = "image";
  tree.image = true;
  tree.tree = std::make_shared<IndexTree>(layers_.index(chain));
  tree.chain = std::move(chain);
  return tree;
}

Tree Trees::get(const stage::Origin& origin, StepId step) {
  using Kind = stage::Origin::Kind;
  switch (origin.kind) {
    case Kind::stage:
      return image_tree(stage_chain_(origin.stage), origin.name.empty()
                                                        ? "stage " + std::to_string(origin.stage)
                                                        : "stage " + origin.name);
    case Kind::image:
      return image_tree(layers_.chain_of(*images_.get(origin, step)), "image " + origin.name);
    case Kind::scratch:
      return image_tree(nullptr, "scratch");
    case Kind::named_context: {
      if (images_.is_image_context(origin.name))
        return image_tree(layers_.chain_of(*images_.get(origin, step)),
                          "build context " + origin.name);
      return named_tree(origin.name, step);
    }
    case Kind::context:
      break;
  }
  if (!context_) throw Error("this build has no context: nothing can be copied from it");
  return files_tree("", context_, "the build context");
}

OpenTree Trees::open(const Tree& tree) {
  OpenTree opened;
  if (tree.context) {
    opened.context = tree.context;
    opened.tree = tree.tree;
    return opened;
  }
  opened.rootfs = layers_.snapshots().view(layers_.materialise(tree.chain));
  Fd root(fcntl(opened.rootfs->root(), F_DUPFD_CLOEXEC, 0));
  if (!root) throw SysError("open " + tree.what);
  opened.context = std::make_shared<const Context>(std::move(root), tree.what);
  opened.tree = std::make_shared<ContextTree>(*opened.context);
  return opened;
}

void Trees::save_memos() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, files] : files_)
    if (files.memo) files.memo->save(memo_directory_, files.memo_name);
}

}  // namespace kiln::solve
