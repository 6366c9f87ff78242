#include <openssl/evp.h>

#include <algorithm>

#include "oci-spec/image.hh"
#include "oci-spec/image_json.hh"

namespace oci {

using detail::Need;
using detail::Node;

namespace {

// RFC 6838 names: type "/" subtype, each starting with a letter or digit.
bool is_media_type(std::string_view text) {
  const size_t slash = text.find('/');
  const auto name = [](std::string_view part) {
    const auto alnum = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !part.empty() && part.size() <= 127 && alnum(part[0]) &&
           std::ranges::all_of(part, [&](char c) {
             return alnum(c) || std::string_view("!#$&-^_.+").find(c) != std::string_view::npos;
           });
  };
  // Parameters ("; charset=utf-8") have been seen in the wild; what is in front of them counts.
  return slash != text.npos && name(text.substr(0, slash)) &&
         name(text.substr(slash + 1, text.find(';') - slash - 1));
}

// Strict base64 with padding; nullopt when malformed.
std::optional<std::string> decode_base64(const std::string& text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(
      // NOLINTNEXTLINE: OpenSSL's byte type
      reinterpret_cast<unsigned char*>(out.data()),
      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  if (static_cast<size_t>(length) < padding) return std::nullopt;
  out.resize(static_cast<size_t>(length) - padding);
  return out;
}

Platform platform(const Node& node) {
  Platform p;
  p.architecture = node.string("architecture", Need::required);
  p.os = node.string("os", Need::required);
  p.os_version = node.string("os.version");
  p.os_features = node.strings("os.features");
  p.variant = node.string("variant");
  return p;
}

Descriptor descriptor(const Node& node) {
  Descriptor d;
  d.media_type = node.string("mediaType", Need::required);
  if (!d.media_type.empty() && !is_media_type(d.media_type))
    node.member("mediaType").problem("'" + d.media_type + "' is no media type");
  const std::string digest = node.string("digest", Need::required);
  if (!digest.empty()) {
    if (auto parsed = Digest::parse(digest))
      d.digest = std::move(*parsed);
    else
      node.member("digest").problem(parsed.error());
  }
  d.size = node.integer("size", Need::required).value_or(0);
  if (d.size < 0) node.member("size").problem("is negative");
  d.urls = node.strings("urls");
  d.annotations = node.string_map("annotations");
  d.artifact_type = node.string("artifactType");
  node.object("platform", Need::optional, [&](const Node& p) { d.platform = platform(p); });
  if (node.has("data")) {
    d.data = decode_base64(node.string("data"));
    // descriptor.md: "data" must be the content; believing it unchecked would be a way around the
    // digest.
    if (!d.data)
      node.member("data").problem("is no base64");
    else if (static_cast<int64_t>(d.data->size()) != d.size ||
             (d.digest.algorithm() == "sha256" && Digest::sha256(*d.data) != d.digest))
      node.member("data").problem("does not match digest and size");
  }
  return d;
}

void schema_version(const Node& node) {
  const auto version = node.integer("schemaVersion", Need::required);
  if (version && *version != 2)
    node.member("schemaVersion").problem("is " + std::to_string(*version) + ", expected 2");
}

// Takes the document's own media type if it is one of `allowed`, else keeps the first of them.
std::string media_type(const Node& node, std::initializer_list<std::string_view> allowed) {
  const std::string given = node.string("mediaType");
  if (given.empty()) return std::string(*allowed.begin());
  if (std::ranges::find(allowed, given) == allowed.end())
    node.member("mediaType")
        .problem("is '" + given + "', expected '" + std::string(*allowed.begin()) + "'");
  return given;
}

// GHSA-77vh-xpmg-72qh: a document that reads both as a manifest and as an index means two images.
void exclude(const Node& node, std::initializer_list<const char*> names, std::string_view kind) {
  for (const char* name : names)
    if (node.has(name)) node.member(name).problem("must not occur in " + std::string(kind));
}

}  // namespace

Descriptor read_descriptor(std::string_view json, std::string_view file) {
  Descriptor result;
  detail::read_document(json, file, detail::manifest_limit,
                        [&](const Node& node) { result = descriptor(node); });
  return result;
}

Manifest read_manifest(std::string_view json, std::string_view file) {
  Manifest m;
  detail::read_document(json, file, detail::manifest_limit, [&](const Node& node) {
    schema_version(node);
    m.media_type = media_type(node, {media::manifest, media::docker_manifest});
    exclude(node, {"manifests", "fsLayers", "signatures"}, "an image manifest");
    m.artifact_type = node.string("artifactType");
    node.object("config", Need::required, [&](const Node& c) { m.config = descriptor(c); });
    node.objects("layers", Need::required,
                 [&](const Node& layer) { m.layers.push_back(descriptor(layer)); });
    node.object("subject", Need::optional, [&](const Node& s) { m.subject = descriptor(s); });
    m.annotations = node.string_map("annotations");
  });
  return m;
}

Index read_index(std::string_view json, std::string_view file) {
  Index index;
  detail::read_document(json, file, detail::manifest_limit, [&](const Node& node) {
    schema_version(node);
    index.media_type = media_type(node, {media::index, media::docker_manifest_list});
    exclude(node, {"config", "layers", "fsLayers", "signatures"}, "an image index");
    index.artifact_type = node.string("artifactType");
    // Required by the spec; some tools write null for none.
    node.objects("manifests", Need::optional,
                 [&](const Node& m) { index.manifests.push_back(descriptor(m)); });
    node.object("subject", Need::optional, [&](const Node& s) { index.subject = descriptor(s); });
    index.annotations = node.string_map("annotations");
  });
  return index;
}

}  // namespace oci
