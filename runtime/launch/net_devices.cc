#include "runtime/launch/net_devices.hh"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstring>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

// One rtnetlink request, built in place.
class Request {
 public:
  template <typename Body>
  Request(uint16_t type, uint16_t flags, const Body& body) : buffer_(sizeof(nlmsghdr), '\0') {
    append(&body, sizeof body);
    type_ = type;
    flags_ = flags;
  }
  void add(uint16_t attribute, const void* data, size_t size) {
    rtattr head{static_cast<unsigned short>(RTA_LENGTH(size)), attribute};
    append(&head, sizeof head);
    append(data, size);
  }
  std::string finish(uint32_t sequence) {
    nlmsghdr head{static_cast<uint32_t>(buffer_.size()), type_,
                  static_cast<uint16_t>(flags_ | NLM_F_REQUEST), sequence, 0};
    std::memcpy(buffer_.data(), &head, sizeof head);
    return buffer_;
  }

 private:
  void append(const void* data, size_t size) {
    buffer_.append(static_cast<const char*>(data), size);
    buffer_.resize(NLMSG_ALIGN(buffer_.size()), '\0');
  }
  std::string buffer_;
  uint16_t type_ = 0, flags_ = 0;
};

Fd open_route_socket() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) throw SysError("socket NETLINK_ROUTE");
  return fd;
}

std::string receive(const Fd& socket) {
  std::string buffer(64 * 1024, '\0');
  ssize_t got;
  do got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) throw SysError("recv NETLINK_ROUTE");
  buffer.resize(static_cast<size_t>(got));
  return buffer;
}

void transact(const Fd& socket, Request request, const std::string& what) {
  std::string bytes = request.finish(1);
  if (::send(socket.get(), bytes.data(), bytes.size(), 0) < 0) throw SysError(what);
  std::string answer = receive(socket);
  nlmsghdr head;
  nlmsgerr error{};
  if (answer.size() < sizeof head + sizeof error.error) throw SysError(what, EPROTO);
  std::memcpy(&head, answer.data(), sizeof head);
  std::memcpy(&error, answer.data() + NLMSG_HDRLEN, sizeof error.error);
  if (head.nlmsg_type == NLMSG_ERROR && error.error != 0) throw SysError(what, -error.error);
}

struct Address {
  uint8_t family, prefix;
  std::string bytes;
};

// The permanent addresses of global scope: they are lost when a device changes its namespace.
std::vector<Address> addresses_of(const Fd& socket, unsigned index) {
  ifaddrmsg body{};
  std::string bytes = Request(RTM_GETADDR, NLM_F_DUMP, body).finish(2);
  if (::send(socket.get(), bytes.data(), bytes.size(), 0) < 0) throw SysError("RTM_GETADDR");
  std::vector<Address> list;
  for (;;) {
    std::string answer = receive(socket);
    size_t at = 0;
    while (at + sizeof(nlmsghdr) <= answer.size()) {
      nlmsghdr head;
      std::memcpy(&head, answer.data() + at, sizeof head);
      if (head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR) return list;
      if (head.nlmsg_len < sizeof head || at + head.nlmsg_len > answer.size()) return list;
      ifaddrmsg address;
      std::memcpy(&address, answer.data() + at + NLMSG_HDRLEN, sizeof address);
      size_t part = at + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof address), end = at + head.nlmsg_len;
      bool wanted = address.ifa_index == index && address.ifa_scope == RT_SCOPE_UNIVERSE &&
                    (address.ifa_flags & IFA_F_PERMANENT);
      Address found{address.ifa_family, address.ifa_prefixlen, ""};
      while (wanted && part + sizeof(rtattr) <= end) {
        rtattr attribute;
        std::memcpy(&attribute, answer.data() + part, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || part + attribute.rta_len > end) break;
        if (attribute.rta_type == IFA_LOCAL ||
            (attribute.rta_type == IFA_ADDRESS && found.bytes.empty()))
          found.bytes = answer.substr(part + RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0));
        part += RTA_ALIGN(attribute.rta_len);
      }
      if (!found.bytes.empty()) list.push_back(std::move(found));
      at += NLMSG_ALIGN(head.nlmsg_len);
    }
  }
}

void move_one(const Fd& socket, const Fd& target, const std::string& name,
              const std::string& inside, const Fd& own_namespace) {
  const std::string what = "linux.netDevices." + name;
  unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) throw SysError(what + ": find the device");
  auto addresses = addresses_of(socket, index);
  ifinfomsg down{};
  down.ifi_index = static_cast<int>(index);
  down.ifi_change = IFF_UP;
  transact(socket, Request(RTM_NEWLINK, NLM_F_ACK, down), what + ": set down");
  ifinfomsg move{};
  move.ifi_index = static_cast<int>(index);
  Request request(RTM_NEWLINK, NLM_F_ACK, move);
  int fd = target.get();
  request.add(IFLA_NET_NS_FD, &fd, sizeof fd);
  request.add(IFLA_IFNAME, inside.c_str(), inside.size() + 1);
  transact(socket, std::move(request), what + ": move to the container");

  // Its side: found by name again, given its addresses, raised.
  if (::setns(target.get(), CLONE_NEWNET) < 0) throw SysError(what + ": enter the namespace");
  struct Back {
    int fd;
    ~Back() { ::setns(fd, CLONE_NEWNET); }
  } back{own_namespace.get()};
  Fd there = open_route_socket();
  unsigned there_index = ::if_nametoindex(inside.c_str());
  if (there_index == 0) throw SysError(what + ": find the device in the container");
  for (const Address& address : addresses) {
    ifaddrmsg body{};
    body.ifa_family = address.family;
    body.ifa_prefixlen = address.prefix;
    body.ifa_index = there_index;
    Request add(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, body);
    add.add(IFA_LOCAL, address.bytes.data(), address.bytes.size());
    add.add(IFA_ADDRESS, address.bytes.data(), address.bytes.size());
    transact(there, std::move(add), what + ": give it its address");
  }
  ifinfomsg up{};
  up.ifi_index = static_cast<int>(there_index);
  up.ifi_flags = IFF_UP;
  up.ifi_change = IFF_UP;
  transact(there, Request(RTM_NEWLINK, NLM_F_ACK, up), what + ": set up");
}

}  // namespace

void move_net_devices(const Plan& plan, pid_t init) {
  if (plan.net_devices.empty()) return;
  Fd target = open_file(AT_FDCWD, "/proc/" + std::to_string(init) + "/ns/net", O_RDONLY);
  Fd own = open_file(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
  Fd socket = open_route_socket();
  for (const auto& [name, inside] : plan.net_devices)
    move_one(socket, target, name, inside.empty() ? name : inside, own);
}

}  // namespace vessel
