// Owns: what the origins of COPY, ADD and RUN --mount (the build context, stages, images, named
// contexts) are as trees: by index for keys, as directories once something must be read.
// Does not own: which paths are selected.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "builder/solve/images.hh"
#include "builder/solve/layers.hh"
#include "builder/steps/remote_source.hh"
#include "builder/steps/source_tree.hh"

namespace kiln::solve {

struct Tree {
  std::string what;  // "the build context", "stage builder", for messages
  std::string kind;  // part of keys: digests of different kinds are never compared
  std::shared_ptr<const SourceTree> tree;
  bool image = false;                      // files have owners of their own; --from
  ChainRef chain;                          // of an image
  std::shared_ptr<const Context> context;  // not of an image
  DigestMemo* memo = nullptr;
};

// A tree as a directory; unmounted with the object.
struct OpenTree {
  std::shared_ptr<Rootfs> rootfs;  // of an image
  std::shared_ptr<const Context> context;
  std::shared_ptr<const SourceTree> tree;  // over `context`
};

class Trees {
 public:
  // Waits until a stage is built and returns its root; called from the thread of another stage.
  using StageChain = std::function<ChainRef(size_t stage)>;

  // `context` may be null: a build without one. `memo_directory` is a directory descriptor or -1.
  // Fetches what `--build-context name=URL` names.
  using Fetch = std::function<FetchedSource(const RemoteSource& source, StepId step)>;
  Trees(Layers& layers, Images& images, const BuildRequest& request,
        std::shared_ptr<const Context> context, int memo_directory, StageChain stage_chain,
        Fetch fetch);
  ~Trees();

  Tree get(const stage::Origin& origin, StepId step);
  OpenTree open(const Tree& tree);
  // Remembered digests, written back. Once, at the end.
  void save_memos();

 private:
  struct Files {
    std::shared_ptr<const Context> context;
    std::shared_ptr<void> keep;  // what removes a fetched one
    std::unique_ptr<DigestMemo> memo;
    std::string memo_name;
  };
  Tree files_tree(const std::string& name, std::shared_ptr<const Context> context,
                  const std::string& what);
  Tree named_tree(const std::string& name, StepId step);
  Tree image_tree(ChainRef chain, const std::string& what);

  Layers& layers_;
  Images& images_;
  const BuildRequest& request_;
  std::shared_ptr<const Context> context_;
  int memo_directory_;
  StageChain stage_chain_;
  Fetch fetch_;
  std::mutex fetching_;
  std::mutex mutex_;
  std::map<std::string, Files> files_;
};

}  // namespace kiln::solve
