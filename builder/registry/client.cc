#include "builder/registry/client.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "builder/progress/progress.hh"
#include "builder/registry/answer.hh"
#include "builder/registry/patience.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr size_t manifest_limit = size_t{4} << 20;  // what registries need not accept more than

const char* const accepted =
    "Accept: application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

// The type that the document itself claims, "" when it claims none; and whether it is JSON.
struct Claim {
  bool object = false;
  bool schema_1 = false;
  bool ambiguous = false;  // CVE-2021-41190: readable as a manifest and as an index
  std::string media_type;
  bool has_manifests = false;
};

Claim claim_of(const std::string& content) {
  Claim claim;
  const auto json = nlohmann::json::parse(content, nullptr, false);
  if (!json.is_object()) return claim;
  claim.object = true;
  const auto type = json.find("mediaType");
  if (type != json.end() && type->is_string()) claim.media_type = type->get<std::string>();
  const auto version = json.find("schemaVersion");
  claim.schema_1 = version != json.end() && version->is_number() && version->get<double>() == 1;
  claim.has_manifests = json.contains("manifests");
  claim.ambiguous = claim.has_manifests && (json.contains("layers") || json.contains("config"));
  return claim;
}

std::string decide_type(const Claim& claim, const std::string& sent, std::string_view expected,
                        const std::string& what) {
  if (claim.schema_1)
    throw Error(what +
                " is in Docker's schema 1, which nobody has written since 2017; push it anew");
  if (claim.ambiguous) throw Error(what + " can be read as a manifest and as an index; refused");
  std::string type = !expected.empty() ? std::string(expected) : claim.media_type;
  if (type.empty()) type = sent;
  if (!is_index_type(type) && !is_manifest_type(type))
    type = claim.has_manifests ? oci::media::index : oci::media::manifest;
  const bool known_sent = is_index_type(sent) || is_manifest_type(sent);
  if ((!claim.media_type.empty() && claim.media_type != type) || (known_sent && sent != type))
    throw Error(what + " has the wrong media type: expected " + type + ", the registry says '" +
                terminal_text(sent, 100) + "', the document '" +
                terminal_text(claim.media_type, 100) + "'");
  if (claim.has_manifests != is_index_type(type))
    throw Error(what + " has the wrong media type: it says " + type + " and is " +
                (claim.has_manifests ? "an index" : "none"));
  return type;
}

}  // namespace

bool is_index_type(std::string_view type) {
  return type == oci::media::index || type == oci::media::docker_manifest_list;
}

bool is_manifest_type(std::string_view type) {
  return type == oci::media::manifest || type == oci::media::docker_manifest;
}

void RepositoryClient::refuse(const HttpResponse& response, const std::string& what) const {
  if (response.status == 401 || response.status == 403) {
    const std::string user = session_.user();
    throw Error(what + ": access denied" +
                (user.empty() ? ", or it does not exist; 'kiln login " + session_.host() +
                                    "' gives credentials"
                              : " for user " + terminal_text(user)) +
                error_detail(response));
  }
  throw_answer(response, what);
}

std::optional<Document> RepositoryClient::get_manifest(const std::string& reference,
                                                       std::string_view media_type) {
  const auto pinned = oci::Digest::parse(reference);
  const std::string what = "manifest " + name() + (pinned ? "@" : ":") + reference;
  HttpRequest request;
  request.headers = {media_type.empty() ? std::string(accepted)
                                        : "Accept: " + std::string(media_type)};
  request.body_limit = manifest_limit;
  request.deadline = document_deadline;
  HttpResponse answer = session_.send(request, api("manifests/" + reference), pull_scope(path_));
  if (answer.status == 404) return std::nullopt;
  if (answer.status != 200) refuse(answer, what);
  const std::string type = content_type(answer);
  const Claim claim = claim_of(answer.body);
  if (!claim.object) {
    const std::string hint = type == "text/html" ? error_detail(answer) : "";
    throw Error(what + " is no JSON object but '" + terminal_text(type, 100) + "'" + hint);
  }
  Document document;
  document.descriptor.media_type = decide_type(claim, type, media_type, what);
  document.descriptor.size = static_cast<int64_t>(answer.body.size());
  const auto told = oci::Digest::parse(answer.headers.find("docker-content-digest").value_or(""));
  oci::Hasher hasher(pinned ? pinned->algorithm() : told ? told->algorithm() : "sha256");
  hasher.update(answer.body);
  document.descriptor.digest = hasher.finish();
  if (pinned && document.descriptor.digest != *pinned)
    throw Error(what + " has another digest: " + document.descriptor.digest.text());
  if (told && told->algorithm() == document.descriptor.digest.algorithm() &&
      document.descriptor.digest != *told)
    throw Error(what + " has digest " + document.descriptor.digest.text() + ", the registry says " +
                told->text());
  document.content = std::move(answer.body);
  return document;
}

std::optional<oci::Digest> RepositoryClient::manifest_digest(const std::string& tag) {
  HttpRequest request;
  request.method = "HEAD";
  request.headers = {accepted};
  request.deadline = document_deadline;
  const HttpResponse answer = session_.send(request, api("manifests/" + tag), pull_scope(path_));
  if (answer.status != 200) return std::nullopt;
  const auto told = oci::Digest::parse(answer.headers.find("docker-content-digest").value_or(""));
  return told ? std::optional(*told) : std::nullopt;
}

bool RepositoryClient::has_manifest(const oci::Digest& digest) {
  const auto told = manifest_digest(digest.text());
  return told && *told == digest;
}

bool RepositoryClient::put_manifest(const std::string& reference, const Document& document) {
  const std::string what = "push of manifest " + name() + ":" + reference;
  HttpRequest request;
  request.method = "PUT";
  request.headers = {"Content-Type: " + document.descriptor.media_type};
  request.upload = text_upload(document.content);
  const HttpResponse answer =
      session_.send(request, api("manifests/" + reference), push_scope(path_));
  if (answer.status != 201 && answer.status != 200 && answer.status != 202) refuse(answer, what);
  const auto told = oci::Digest::parse(answer.headers.find("docker-content-digest").value_or(""));
  if (told && told->algorithm() == document.descriptor.digest.algorithm() &&
      *told != document.descriptor.digest)
    throw Error(what + ": the registry stored another one, " + told->text() + " instead of " +
                document.descriptor.digest.text());
  return answer.headers.find("oci-subject").has_value();
}

bool RepositoryClient::has_blob(const oci::Digest& digest) {
  HttpRequest request;
  request.method = "HEAD";
  request.deadline = document_deadline;
  const HttpResponse answer =
      session_.send(request, api("blobs/" + digest.text()), push_scope(path_));
  if (answer.status == 401 || answer.status == 403) refuse(answer, "push to " + name());
  return answer.status == 200;
}

// One attempt. Throws HttpFailure when it was cut, with what had come by then taken.
void RepositoryClient::get_blob_once(const oci::Descriptor& blob, const std::string& target,
                                     BlobReceipt& receipt) {
  const std::string what = "blob " + blob.digest.text() + " of " + name();
  const auto size = static_cast<uint64_t>(blob.size);
  uint64_t skip = 0;  // bytes to drop: the registry knows no ranges
  HttpRequest request;
  if (receipt.received > 0)
    request.headers = {"Range: bytes=" + std::to_string(receipt.received) + "-"};
  request.on_head = [&](const HttpResponse& head) {
    const uint64_t from = receipt.received;
    uint64_t rest = size;
    if (from > 0 && head.status == 206) {
      const std::string range = head.headers.find("content-range").value_or("");
      if (!range.starts_with("bytes " + std::to_string(from) + "-"))
        throw Error(what + ": asked from byte " + std::to_string(from) + " on, got '" +
                    terminal_text(range, 60) + "'");
      rest = size - from;
    } else {
      skip = from;
    }
    const auto length = parse_number<uint64_t>(head.headers.find("content-length").value_or(""));
    if (length && *length != rest)
      throw Error(what + " has the wrong size: " + std::to_string(*length) +
                  " bytes are announced, " + std::to_string(rest) + " expected");
  };
  request.on_body = [&](std::span<const std::byte> data) {
    const size_t drop = static_cast<size_t>(std::min<uint64_t>(skip, data.size()));
    skip -= drop;
    data = data.subspan(drop);
    if (data.size() > size - receipt.received)
      throw Error(what + " is longer than the " + std::to_string(size) + " bytes it should have");
    if (data.empty()) return;
    receipt.take(data);
    receipt.received += data.size();
  };
  const HttpResponse answer = session_.send(request, target, pull_scope(path_));
  // All was there when the connection was cut, so there is nothing from that byte on.
  if (answer.status == 416 && receipt.received == size) return;
  if (answer.status != 200 && answer.status != 206) refuse(answer, what);
  if (receipt.received < size)
    throw HttpFailure(HttpFailure::Kind::cut, what + " ends after " +
                                                  std::to_string(receipt.received) + " of " +
                                                  std::to_string(size) + " bytes");
}

void RepositoryClient::get_blob(const oci::Descriptor& blob, BlobReceipt& receipt) {
  Patience patience;
  while (true) {
    const uint64_t before = receipt.received;
    try {
      get_blob_once(blob, api("blobs/" + blob.digest.text()), receipt);
      return;
    } catch (const HttpFailure& failure) {
      // What drips is not worth a new start for each byte.
      if (receipt.received - before >= (1 << 20)) patience.renew();
      if (!may_pass(failure.kind()) || !patience.wait(session_.http())) throw;
    }
  }
}

}  // namespace kiln
