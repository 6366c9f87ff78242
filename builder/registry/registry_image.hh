// Owns: registries as places that images come from and go to. Does not own: the order of a transfer
// (transfer.hh).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "builder/registry/registries.hh"
#include "builder/registry/transfer.hh"
#include "builder/registry/upload.hh"

namespace kiln {

// The registries of one command: connections, configuration and credentials that its transfers
// share. Thread-safe.
class RegistryAccess {
 public:
  RegistryAccess(Registries registries, std::string credentials_file,
                 std::function<bool()> canceled = {});

  const Registries& registries() const { return registries_; }
  HttpClient& http() { return http_; }
  // One for each endpoint; a session is shared by the repositories of a host unless their
  // credentials may differ.
  std::unique_ptr<RepositoryClient> client(const Endpoint& endpoint);

 private:
  Registries registries_;
  std::string credentials_file_;
  HttpClient http_;
  std::mutex mutex_;
  std::vector<std::pair<Endpoint, std::unique_ptr<Session>>> sessions_;
};

// A repository, with its mirrors before it: each is asked in turn until one has what is wanted.
class RegistrySource final : public ImageSource {
 public:
  RegistrySource(RegistryAccess& access, const Reference& name);

  // What the reference names; nullopt when no endpoint has it. Throws what the last endpoint said
  // when none answered.
  std::optional<Document> top();
  // What the tag means now, where that can be had without fetching it.
  std::optional<oci::Digest> digest_of_tag();
  std::vector<std::string> tags();
  // The place behind all mirrors.
  RepositoryClient& origin() { return *places_.back().client; }

  std::optional<Document> document(const oci::Descriptor& descriptor) override;
  void stream(const oci::Descriptor& blob, ByteSink& sink) override;
  Fd open(const oci::Descriptor& blob) override;

 private:
  struct Place {
    std::unique_ptr<RepositoryClient> client;
    std::unique_ptr<std::atomic<bool>> usable;
  };
  template <class F>
  auto first_of(F&& ask) -> decltype(ask(std::declval<RepositoryClient&>()));

  Reference name_;
  std::vector<Place> places_;
};

class RegistryTarget final : public ImageTarget {
 public:
  // `options.siblings` are tried for every blob; `tag` is what the last document gets.
  RegistryTarget(RegistryAccess& access, const Reference& name, UploadOptions options);

  // More siblings for one blob.
  void add_sibling(const oci::Digest& blob, const std::string& repository);
  // Names a document that was put.
  void name_document(const std::string& tag, const Document& document);

  bool has_document(const oci::Descriptor& descriptor) override;
  void put_document(const Document& document) override;
  bool put_blob(const oci::Descriptor& blob, ImageSource& source, const ByteCount& moved) override;

 private:
  std::unique_ptr<RepositoryClient> client_;
  UploadOptions options_;
  std::map<oci::Digest, std::vector<std::string>> siblings_;
};

// An unnamed file for a blob on its way, in $TMPDIR or /var/tmp.
Fd unnamed_file();

}  // namespace kiln
