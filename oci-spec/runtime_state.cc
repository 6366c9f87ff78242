#include "oci-spec/runtime_state.hh"

#include "oci-spec/runtime_visitors.hh"

namespace oci {

template <class V>
void describe(V& v, Described<V, State>& s) {
  v.required("ociVersion", s.version);
  v.required("id", s.id);
  v.required("status", s.status);
  v.field("pid", s.pid);
  v.check(s.pid >= 0, "pid", "must not be negative");
  v.required("bundle", s.bundle);
  v.field("annotations", s.annotations);
}

// The order of members is runc's.
template <class V>
void describe(V& v, Described<V, ExtendedState>& e) {
  v.required("ociVersion", e.state.version);
  v.required("id", e.state.id);
  v.required("pid", e.state.pid);
  v.required("status", e.state.status);
  v.required("bundle", e.state.bundle);
  v.required("rootfs", e.rootfs);
  v.required("created", e.created);
  v.field("annotations", e.state.annotations);
  v.required("owner", e.owner);
}

template <class V>
void describe(V& v, Described<V, ContainerProcessState>& s) {
  v.required("ociVersion", s.version);
  v.required("fds", s.fds);
  v.required("pid", s.pid);
  v.field("metadata", s.metadata);
  v.required("state", s.state);
}

std::string write(const State& state, int indent) {
  return JsonWriter::write_document(state, indent);
}

std::string write(const ExtendedState& state, int indent) {
  return JsonWriter::write_document(state, indent);
}

std::string write(const std::vector<ExtendedState>& list, int indent) {
  // Go's encoder, which every reader was written against, has null for a list without entries.
  return list.empty() ? "null" : JsonWriter::write_document(list, indent);
}

std::string write(const ContainerProcessState& state) {
  return JsonWriter::write_document(state, -1);
}

State read_state(std::string_view json, std::string_view file) {
  return JsonReader::read_document<State>(json, file);
}

}  // namespace oci
