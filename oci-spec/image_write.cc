#include <openssl/evp.h>

#include <nlohmann/json.hpp>

#include "oci-spec/image.hh"

namespace oci {

namespace {

using Json = nlohmann::ordered_json;

void put(Json& to, const char* name, const std::string& value) {
  if (!value.empty()) to[name] = value;
}

template <class T>
void put(Json& to, const char* name, const std::vector<T>& value) {
  if (!value.empty()) to[name] = value;
}

void put(Json& to, const char* name, const std::map<std::string, std::string>& value) {
  if (value.empty()) return;
  Json& object = to[name] = Json::object();
  for (const auto& [key, item] : value) object[key] = item;
}

void put(Json& to, const char* name, int64_t value) {
  if (value != 0) to[name] = value;
}

// A set, as Go programs write it: {"a":{},"b":{}}.
void put_set(Json& to, const char* name, const std::vector<std::string>& value) {
  if (value.empty()) return;
  Json& object = to[name] = Json::object();
  for (const std::string& key : value) object[key] = Json::object();
}

// No white space. A string that is no UTF-8 (a label of a hostile Dockerfile) gets U+FFFD.
std::string text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string base64(const std::string& data) {
  std::string out((data.size() + 2) / 3 * 4 + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(data.data()),
                                     static_cast<int>(data.size()));
  out.resize(static_cast<size_t>(length));
  return out;
}

Json json(const Platform& p) {
  Json j = Json::object();
  j["architecture"] = p.architecture;
  j["os"] = p.os;
  put(j, "os.version", p.os_version);
  put(j, "os.features", p.os_features);
  put(j, "variant", p.variant);
  return j;
}

Json json(const Descriptor& d) {
  Json j = Json::object();
  j["mediaType"] = d.media_type;
  j["digest"] = d.digest.text();
  j["size"] = d.size;
  put(j, "urls", d.urls);
  put(j, "annotations", d.annotations);
  if (d.data) j["data"] = base64(*d.data);
  if (d.platform) j["platform"] = json(*d.platform);
  put(j, "artifactType", d.artifact_type);
  return j;
}

Json json(const std::vector<Descriptor>& list) {
  Json j = Json::array();
  for (const Descriptor& d : list) j.push_back(json(d));
  return j;
}

Json json(const Healthcheck& h) {
  Json j = Json::object();
  put(j, "Test", h.test);
  put(j, "Interval", h.interval);
  put(j, "Timeout", h.timeout);
  put(j, "StartPeriod", h.start_period);
  put(j, "StartInterval", h.start_interval);
  put(j, "Retries", h.retries);
  return j;
}

Json json(const ContainerConfig& c) {
  Json j = Json::object();
  put(j, "User", c.user);
  put_set(j, "ExposedPorts", c.exposed_ports);
  put(j, "Env", c.env);
  if (c.entrypoint) j["Entrypoint"] = *c.entrypoint;
  if (c.cmd) j["Cmd"] = *c.cmd;
  put_set(j, "Volumes", c.volumes);
  put(j, "WorkingDir", c.working_dir);
  put(j, "Labels", c.labels);
  put(j, "StopSignal", c.stop_signal);
  if (c.args_escaped) j["ArgsEscaped"] = true;
  if (c.healthcheck) j["Healthcheck"] = json(*c.healthcheck);
  put(j, "Shell", c.shell);
  put(j, "OnBuild", c.on_build);
  return j;
}

Json json(const History& h) {
  Json j = Json::object();
  put(j, "created", h.created);
  put(j, "created_by", h.created_by);
  put(j, "author", h.author);
  put(j, "comment", h.comment);
  if (h.empty_layer) j["empty_layer"] = true;
  return j;
}

}  // namespace

std::string write(const Descriptor& descriptor) {
  return text(json(descriptor));
}

std::string write(const Manifest& manifest) {
  Json j = Json::object();
  j["schemaVersion"] = 2;
  put(j, "mediaType", manifest.media_type);
  put(j, "artifactType", manifest.artifact_type);
  j["config"] = json(manifest.config);
  j["layers"] = json(manifest.layers);
  if (manifest.subject) j["subject"] = json(*manifest.subject);
  put(j, "annotations", manifest.annotations);
  return text(j);
}

std::string write(const Index& index) {
  Json j = Json::object();
  j["schemaVersion"] = 2;
  put(j, "mediaType", index.media_type);
  put(j, "artifactType", index.artifact_type);
  j["manifests"] = json(index.manifests);
  if (index.subject) j["subject"] = json(*index.subject);
  put(j, "annotations", index.annotations);
  return text(j);
}

std::string write(const ImageConfig& c) {
  Json j = Json::object();
  put(j, "created", c.created);
  put(j, "author", c.author);
  j["architecture"] = c.architecture;
  j["os"] = c.os;
  put(j, "os.version", c.os_version);
  put(j, "os.features", c.os_features);
  put(j, "variant", c.variant);
  j["config"] = json(c.config);
  Json ids = Json::array();
  for (const Digest& id : c.diff_ids) ids.push_back(id.text());
  j["rootfs"]["type"] = "layers";
  j["rootfs"]["diff_ids"] = std::move(ids);
  if (!c.history.empty()) {
    Json list = Json::array();
    for (const History& h : c.history) list.push_back(json(h));
    j["history"] = std::move(list);
  }
  return text(j);
}

}  // namespace oci
