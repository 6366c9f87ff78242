// linux.resources.blockIO (config-linux.md "Block IO") as writes.
#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/resources_build.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

std::string path(std::string_view field) {
  return "linux.resources.blockIO." + std::string(field);
}

std::string path(std::string_view field, size_t index) {
  return path(field) + "[" + std::to_string(index) + "]";
}

std::string number(int64_t major, int64_t minor) {
  return std::to_string(major) + ":" + std::to_string(minor);
}

void check_weight(uint16_t weight, const std::string& json_path) {
  if (weight < 10 || weight > 1000)
    throw Error(json_path + ": " + std::to_string(weight) + " is not in 10 to 1000");
}

struct Throttle {
  const std::vector<oci::ThrottleDevice>& devices;
  std::string_view field, v1_file, v2_key;
};

void throttles(const oci::BlockIo& io, bool unified, WriteBuilder& to) {
  const Throttle all[] = {
      {io.throttle_read_bps_device, "throttleReadBpsDevice", "blkio.throttle.read_bps_device",
       "rbps"},
      {io.throttle_write_bps_device, "throttleWriteBpsDevice", "blkio.throttle.write_bps_device",
       "wbps"},
      {io.throttle_read_iops_device, "throttleReadIOPSDevice", "blkio.throttle.read_iops_device",
       "riops"},
      {io.throttle_write_iops_device, "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device",
       "wiops"},
  };
  for (const Throttle& t : all) {
    for (size_t i = 0; i < t.devices.size(); ++i) {
      const oci::ThrottleDevice& d = t.devices[i];
      std::string device = number(d.major, d.minor) + " ";
      if (unified) {
        // 0 lifts the limit on v1; io.max refuses it and says "max" instead.
        std::string rate = d.rate == 0 ? "max" : std::to_string(d.rate);
        to.put("io", "io.max", device + std::string(t.v2_key) + "=" + rate, path(t.field, i));
      } else {
        to.put("blkio", t.v1_file, device + std::to_string(d.rate), path(t.field, i));
      }
    }
  }
}

void v2_weights(const oci::BlockIo& io, WriteBuilder& to) {
  // With the BFQ scheduler the weight is its own file on v1's scale; else io.weight (io.cost).
  bool bfq = to.current("io", "io.bfq.weight").has_value();
  auto scaled = [&](uint16_t weight) {
    return std::to_string(bfq ? weight : io_weight_of_blkio(weight));
  };
  std::string_view file = bfq ? "io.bfq.weight" : "io.weight";
  if (io.weight.value_or(0) != 0) to.put("io", file, scaled(*io.weight), path("weight"));
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const oci::WeightDevice& d = io.weight_device[i];
    if (d.weight.value_or(0) == 0) continue;
    to.put("io", file, number(d.major, d.minor) + " " + scaled(*d.weight), path("weightDevice", i));
  }
}

void v1_weights(const oci::BlockIo& io, WriteBuilder& to) {
  // CFQ's files went with Linux 5.0, except their names where BFQ took them over.
  bool plain = to.current("blkio", "blkio.weight").has_value();
  std::string prefix = plain ? "blkio.weight" : "blkio.bfq.weight";
  if (io.weight.value_or(0) != 0)
    to.put("blkio", prefix, std::to_string(*io.weight), path("weight"));
  if (io.leaf_weight.value_or(0) != 0)
    to.put("blkio", "blkio.leaf_weight", std::to_string(*io.leaf_weight), path("leafWeight"));
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const oci::WeightDevice& d = io.weight_device[i];
    std::string device = number(d.major, d.minor) + " ";
    if (d.weight.value_or(0) != 0)
      to.put("blkio", prefix + "_device", device + std::to_string(*d.weight),
             path("weightDevice", i));
    if (d.leaf_weight.value_or(0) != 0)
      to.put("blkio", "blkio.leaf_weight_device", device + std::to_string(*d.leaf_weight),
             path("weightDevice", i));
  }
}

}  // namespace

void block_io_writes(const oci::BlockIo& io, WriteBuilder& to) {
  bool any_weight = io.weight.value_or(0) != 0 || io.leaf_weight.value_or(0) != 0;
  if (io.weight.value_or(0) != 0) check_weight(*io.weight, path("weight"));
  if (io.leaf_weight.value_or(0) != 0) check_weight(*io.leaf_weight, path("leafWeight"));
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const oci::WeightDevice& d = io.weight_device[i];
    if (d.weight.value_or(0) != 0) check_weight(*d.weight, path("weightDevice", i) + ".weight");
    if (d.leaf_weight.value_or(0) != 0)
      check_weight(*d.leaf_weight, path("weightDevice", i) + ".leafWeight");
    any_weight = any_weight || d.weight.value_or(0) != 0 || d.leaf_weight.value_or(0) != 0;
  }
  bool any_throttle =
      !io.throttle_read_bps_device.empty() || !io.throttle_write_bps_device.empty() ||
      !io.throttle_read_iops_device.empty() || !io.throttle_write_iops_device.empty();
  if (!any_weight && !any_throttle) return;
  bool unified = to.view.where("blkio") != ControllerAt::v1;
  if (unified) to.at("io", "linux.resources.blockIO");
  if (any_weight) {
    if (unified) {
      v2_weights(io, to);
      if (io.leaf_weight.value_or(0) != 0)
        to.unsupported(path("leafWeight"), "leaf weights in cgroup v2");
    } else {
      v1_weights(io, to);
    }
  }
  throttles(io, unified, to);
}

}  // namespace vessel
