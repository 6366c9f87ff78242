#include "oci-spec/runtime_config.hh"

#include "oci-spec/runtime_linux_fields.hh"

namespace oci {

Config read_config(std::string_view json, std::string_view file) {
  return JsonReader::read_document<Config>(json, file);
}

Config read_config(std::string_view json, std::string_view file, std::vector<Problem>& problems) {
  return JsonReader::read_document<Config>(json, file, problems);
}

Process read_process(std::string_view json, std::string_view file) {
  return JsonReader::read_document<Process>(json, file);
}

Resources read_resources(std::string_view json, std::string_view file) {
  return JsonReader::read_document<Resources>(json, file);
}

std::string write(const Config& config, int indent) {
  return JsonWriter::write_document(config, indent);
}

std::string write(const Process& process, int indent) {
  return JsonWriter::write_document(process, indent);
}

std::string write(const Resources& resources, int indent) {
  return JsonWriter::write_document(resources, indent);
}

}  // namespace oci
