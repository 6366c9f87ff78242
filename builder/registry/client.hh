// Owns: reading and writing one repository of a registry, as distribution-spec 1.1 has it:
// manifests, blobs to read, tags, referrers. Does not own: sending blobs (upload.hh), or which
// blobs an image consists of (transfer.hh).
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "builder/registry/session.hh"
#include "oci-spec/image.hh"

namespace kiln {

// A manifest or an index, as it came.
struct Document {
  oci::Descriptor descriptor;
  std::string content;
};

// Bytes of one blob as they arrive, across several connections and registries.
struct BlobReceipt {
  uint64_t received = 0;  // taken by `take` so far: where the next attempt goes on
  std::function<void(std::span<const std::byte>)> take;
};

// Thread-safe.
class RepositoryClient {
 public:
  RepositoryClient(Session& session, std::string path)
      : session_(session), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  Session& session() { return session_; }
  std::string name() const { return session_.host() + "/" + path_; }

  // By tag or by digest, which the content is checked against. `media_type`, if not empty, is what
  // a descriptor says. nullopt when there is none.
  std::optional<Document> get_manifest(const std::string& reference,
                                       std::string_view media_type = {});
  // Digest by tag without the content, where the registry tells it.
  std::optional<oci::Digest> manifest_digest(const std::string& tag);
  bool has_manifest(const oci::Digest& digest);
  // False when the registry did not say that it records the manifest's subject (OCI-Subject).
  bool put_manifest(const std::string& reference, const Document& document);

  bool has_blob(const oci::Digest& digest);
  // All of it, in order, resumed by range after a cut; never more than `blob.size` bytes. The
  // digest is the receiver's to check.
  void get_blob(const oci::Descriptor& blob, BlobReceipt& receipt);

  // All tags, through every page.
  std::vector<std::string> tags();
  // Manifests that have `subject` as theirs, by API or by the fallback tag; filtered by type unless
  // that is empty.
  std::vector<oci::Descriptor> referrers(const oci::Digest& subject,
                                         std::string_view artifact_type = {});
  // Adds `referrer` to the index that the fallback tag of `subject` names.
  void add_referrer(const oci::Digest& subject, const oci::Descriptor& referrer);

  // "status 401 …" in words that say what to do about it; `what` is a manifest or a blob.
  [[noreturn]] void refuse(const HttpResponse& response, const std::string& what) const;

 private:
  std::string api(std::string_view rest) const { return "/v2/" + path_ + "/" + std::string(rest); }
  void get_blob_once(const oci::Descriptor& blob, const std::string& target, BlobReceipt& receipt);

  Session& session_;
  std::string path_;
};

// Whether a media type is an index or a manifest of a kind that is known.
bool is_index_type(std::string_view media_type);
bool is_manifest_type(std::string_view media_type);

}  // namespace kiln
