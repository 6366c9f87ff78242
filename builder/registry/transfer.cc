#include "builder/registry/transfer.hh"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

#include "builder/store/image.hh"

namespace kiln {

namespace {

constexpr int depth_limit = 4;  // of indexes in indexes; image-spec sets none

class Transfer {
 public:
  Transfer(ImageSource& source, ImageTarget& target, const TransferOptions& options,
           Progress& progress, StepId step, std::string what)
      : source_(source),
        target_(target),
        options_(options),
        progress_(progress),
        step_(step),
        what_(std::move(what)) {}

  void run(const Document& top) {
    collect(top, 0);
    move_blobs();
    for (const Document& d : documents_) target_.put_document(d);
  }

 private:
  // Children before their parents.
  void collect(const Document& document, int depth) {
    if (depth > depth_limit) throw Error(what_ + ": indexes are nested too deeply");
    if (!seen_.insert(document.descriptor.digest).second) return;
    const std::string file = "document " + document.descriptor.digest.text() + " of " + what_;
    if (is_index_type(document.descriptor.media_type))
      collect_index(oci::read_index(document.content, file), depth);
    else
      collect_manifest(oci::read_manifest(document.content, file));
    documents_.push_back(document);
  }

  void collect_index(const oci::Index& index, int depth) {
    if (options_.platform) {
      const oci::Descriptor* chosen = choose_platform(index, *options_.platform);
      if (chosen == nullptr) throw Error(no_platform(index));
      collect_child(*chosen, depth);
      return;
    }
    for (const oci::Descriptor& child : index.manifests) collect_child(child, depth);
  }

  void collect_child(const oci::Descriptor& child, int depth) {
    if (!is_index_type(child.media_type) && !is_manifest_type(child.media_type)) {
      blobs_.push_back(child);
      return;
    }
    if (child.data && static_cast<int64_t>(child.data->size()) == child.size) {
      oci::Hasher hasher(child.digest.algorithm());
      hasher.update(*child.data);
      if (hasher.finish() == child.digest) return collect({child, *child.data}, depth + 1);
    }
    const auto document = source_.document(child);
    if (document) {
      if (document->descriptor.size != child.size)
        throw Error("manifest " + child.digest.text() + " of " + what_ + " has " +
                    std::to_string(document->descriptor.size) + " bytes, its index says " +
                    std::to_string(child.size));
      return collect(*document, depth + 1);
    }
    if (options_.may_lack_platforms && target_.has_document(child)) return;
    throw Error("manifest " + child.digest.text() + " of " + what_ +
                (child.platform ? ", for " + oci::platform_text(*child.platform) + "," : "") +
                " is not there" +
                (options_.may_lack_platforms ? ": it was never fetched; name one platform with "
                                               "--platform"
                                             : ""));
  }

  void collect_manifest(const oci::Manifest& manifest) {
    const bool image = manifest.config.media_type == oci::media::config ||
                       manifest.config.media_type == oci::media::docker_config;
    if (image && manifest.config.size > static_cast<int64_t>(document_limit))
      throw Error(what_ + ": a config of " + std::to_string(manifest.config.size) + " bytes");
    blobs_.push_back(manifest.config);
    for (const oci::Descriptor& layer : manifest.layers) blobs_.push_back(layer);
  }

  std::string no_platform(const oci::Index& index) const {
    std::string offered;
    for (const oci::Descriptor& d : index.manifests)
      if (d.platform && d.platform->os != "unknown")
        offered +=
            (offered.empty() ? "" : ", ") + terminal_text(oci::platform_text(*d.platform), 60);
    return what_ + " has no image for " + oci::platform_text(*options_.platform) +
           (offered.empty() ? "" : "; it has " + offered);
  }

  void move_blobs() {
    std::vector<oci::Descriptor> todo;
    std::set<oci::Digest> seen;
    for (const oci::Descriptor& blob : blobs_)
      if (seen.insert(blob.digest).second) todo.push_back(blob);
    // The largest first: then no large one is left to run alone at the end.
    std::ranges::stable_sort(todo, std::ranges::greater(), &oci::Descriptor::size);
    std::atomic<size_t> next = 0;
    std::exception_ptr failure;
    std::mutex mutex;
    const auto work = [&] {
      while (!failed_) {
        const size_t i = next++;
        if (i >= todo.size()) return;
        try {
          move_blob(todo[i]);
        } catch (...) {
          failed_ = true;
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
        }
      }
    };
    {
      std::vector<std::jthread> threads;
      const size_t count = std::min<size_t>(std::max(1u, options_.parallel), todo.size());
      for (size_t i = 1; i < count; ++i) threads.emplace_back(work);
      work();
    }
    if (failure) std::rethrow_exception(failure);
  }

  void move_blob(const oci::Descriptor& blob) {
    const std::string item(blob.digest.hex().substr(0, 12));
    const auto size = static_cast<uint64_t>(blob.size);
    std::atomic<uint64_t> shown = 0;
    const bool moved = target_.put_blob(blob, source_, [&](uint64_t done) {
      if (failed_) throw Error("given up, another part of the image failed");
      // Every 256 KiB is enough for an eye, and the end is reported below.
      if (done < shown + (256 << 10) || done >= size) return;
      shown = done;
      progress_.transfer(step_, item, done, size);
    });
    if (moved)
      progress_.transfer(step_, item, size, size);
    else
      progress_.note(step_, item + " is there already");
  }

  ImageSource& source_;
  ImageTarget& target_;
  const TransferOptions& options_;
  Progress& progress_;
  StepId step_;
  std::string what_;
  std::set<oci::Digest> seen_;
  std::vector<Document> documents_;
  std::vector<oci::Descriptor> blobs_;
  std::atomic<bool> failed_ = false;
};

}  // namespace

void transfer(ImageSource& source, ImageTarget& target, const Document& top,
              const TransferOptions& options, Progress& progress, StepId step,
              const std::string& what) {
  Transfer(source, target, options, progress, step, what).run(top);
}

}  // namespace kiln
