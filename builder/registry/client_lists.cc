// Lists that a repository keeps: tags, and the referrers of a manifest.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "builder/registry/answer.hh"
#include "builder/registry/client.hh"
#include "builder/registry/patience.hh"

namespace kiln {

namespace {

constexpr size_t page_limit = size_t{4} << 20;  // bytes
constexpr size_t pages_limit = 10'000;
constexpr size_t count_limit = 1'000'000;

// The URL of a Link header's rel="next" (RFC 8288), "" when there is none.
std::string next_link(const HttpResponse& answer) {
  for (const std::string& value : answer.headers.all("link")) {
    const size_t open = value.find('<'), close = value.find('>');
    if (open == value.npos || close == value.npos || close < open) continue;
    const std::string rest = value.substr(close);
    if (rest.find("rel=\"next\"") != rest.npos || rest.find("rel=next") != rest.npos)
      return value.substr(open + 1, close - open - 1);
  }
  return {};
}

std::string fallback_tag(const oci::Digest& subject) {
  std::string tag = std::string(subject.algorithm()) + "-" + std::string(subject.hex());
  tag.resize(std::min<size_t>(tag.size(), 128));
  return tag;
}

}  // namespace

std::vector<std::string> RepositoryClient::tags() {
  std::vector<std::string> result;
  std::string target = api("tags/list?n=1000");
  std::set<std::string> visited;
  while (!target.empty()) {
    // A registry whose pages lead in a circle would be followed for ever.
    if (!visited.insert(target).second || visited.size() > pages_limit)
      throw Error("tags of " + name() + ": the pages lead in a circle");
    HttpRequest request;
    request.body_limit = page_limit;
    request.deadline = document_deadline;
    const HttpResponse answer = session_.send(request, target, pull_scope(path_));
    if (answer.status != 200) refuse(answer, "tags of " + name());
    const auto json = nlohmann::json::parse(answer.body, nullptr, false);
    if (!json.is_object()) throw Error("tags of " + name() + ": no JSON" + error_detail(answer));
    const auto list = json.find("tags");
    if (list != json.end() && list->is_array())
      for (const auto& tag : *list) {
        if (!tag.is_string() || !is_tag(tag.get<std::string>()))
          throw Error("tags of " + name() + ": one of them is no tag");
        result.push_back(tag.get<std::string>());
      }
    if (result.size() > count_limit) throw Error("tags of " + name() + ": too many");
    const std::string next = next_link(answer);
    target = next.empty() ? "" : session_.resolve(target, next);
  }
  return result;
}

std::vector<oci::Descriptor> RepositoryClient::referrers(const oci::Digest& subject,
                                                         std::string_view artifact_type) {
  std::vector<oci::Descriptor> result;
  std::string target = api("referrers/" + subject.text());
  if (!artifact_type.empty()) add_query(target, "artifactType", artifact_type);
  std::set<std::string> visited;
  while (!target.empty()) {
    if (!visited.insert(target).second || visited.size() > pages_limit)
      throw Error("referrers in " + name() + ": the pages lead in a circle");
    HttpRequest request;
    request.headers = {"Accept: " + std::string(oci::media::index)};
    request.body_limit = page_limit;
    request.deadline = document_deadline;
    const HttpResponse answer = session_.send(request, target, pull_scope(path_));
    if (answer.status == 404 && visited.size() == 1) {
      // distribution-spec, "Unavailable Referrers API": the index is under a tag.
      if (const auto index = get_manifest(fallback_tag(subject), oci::media::index))
        result = oci::read_index(index->content, "referrers in " + name()).manifests;
      break;
    }
    if (answer.status != 200) refuse(answer, "referrers in " + name());
    for (auto& d : oci::read_index(answer.body, "referrers in " + name()).manifests)
      result.push_back(std::move(d));
    const std::string next = next_link(answer);
    target = next.empty() ? "" : session_.resolve(target, next);
  }
  if (!artifact_type.empty())
    std::erase_if(result,
                  [&](const oci::Descriptor& d) { return d.artifact_type != artifact_type; });
  return result;
}

void RepositoryClient::add_referrer(const oci::Digest& subject, const oci::Descriptor& referrer) {
  const std::string tag = fallback_tag(subject);
  oci::Index index;
  if (const auto old = get_manifest(tag, oci::media::index))
    index = oci::read_index(old->content, "referrers in " + name());
  if (std::ranges::any_of(index.manifests,
                          [&](const oci::Descriptor& d) { return d.digest == referrer.digest; }))
    return;
  index.manifests.push_back(referrer);
  Document document;
  document.content = oci::write(index);
  document.descriptor.media_type = oci::media::index;
  document.descriptor.digest = oci::Digest::sha256(document.content);
  document.descriptor.size = static_cast<int64_t>(document.content.size());
  put_manifest(tag, document);
}

}  // namespace kiln
