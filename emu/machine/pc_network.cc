// SPDX-License-Identifier: GPL-2.0-or-later
// NICs of the command line and their host sides, and the other virtio cards (entropy source, console).
#include <algorithm>
#include <cstdio>

#include "devices/net/e1000.h"
#include "devices/virtio/console.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/transport_pci.h"
#include "emu/host/dump_net.h"
#include "emu/host/socket_net.h"
#include "emu/host/tap_net.h"
#include "emu/host/user_net.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

namespace {

std::string property(const std::map<std::string, std::string>& properties, const char* key) {
  const auto it = properties.find(key);
  return it != properties.end() ? it->second : std::string();
}

bool is_off(const std::string& text) { return text == "off" || text == "no" || text == "n" || text == "false"; }

Result<std::unique_ptr<devices::NetBackend>> open_user(const NetdevConfig& config, host::EventLoop& loop) {
  host::UserNetOptions options;
  const auto take = [&](const char* key, std::string& to) {
    const std::string value = property(config.properties, key);
    if (!value.empty()) to = value;
  };
  take("net", options.network);
  take("host", options.host);
  take("dns", options.dns);
  take("dhcpstart", options.dhcp_start);
  take("hostname", options.hostname);
  take("domainname", options.domain_name);
  take("tftp", options.tftp);
  take("bootfile", options.boot_file);
  const std::string restricted = property(config.properties, "restrict");
  options.restricted = !restricted.empty() && !is_off(restricted);
  options.ipv6 = !is_off(property(config.properties, "ipv6"));
  for (const HostForward& forward : config.forwards) {
    options.forwards.push_back({.udp = forward.udp,
                                .host_address = forward.host_address,
                                .host_port = forward.host_port,
                                .guest_address = forward.guest_address,
                                .guest_port = forward.guest_port});
  }
  return std::unique_ptr<devices::NetBackend>(TRY(host::UserNet::create(options, loop)));
}

Result<std::unique_ptr<devices::NetBackend>> open_tap_netdev(const NetdevConfig& config, host::EventLoop& loop) {
  host::TapOptions options;
  options.interface = property(config.properties, "ifname");
  options.script = property(config.properties, "script");
  options.down_script = property(config.properties, "downscript");
  const std::string fd = property(config.properties, "fd");
  if (!fd.empty()) options.fd = std::atoi(fd.c_str());
  options.vnet_header = !is_off(property(config.properties, "vnet_hdr"));
  return host::open_tap(options, loop);
}

bool has(const NetdevConfig& config, const char* key) { return config.properties.contains(key); }

// -netdev socket: listen=, connect=, mcast=, udp= or fd=.
Result<std::unique_ptr<devices::NetBackend>> open_socket(const NetdevConfig& config, host::EventLoop& loop) {
  const unsigned ways =
      has(config, "listen") + has(config, "connect") + has(config, "mcast") + has(config, "udp") + has(config, "fd");
  if (ways != 1)
    return Error{"exactly one of listen=, connect=, mcast=, udp=, fd= is needed: -netdev socket,id=" + config.id};
  if (has(config, "mcast") || has(config, "udp")) {
    host::DatagramNetOptions options;
    options.multicast = has(config, "mcast");
    const char* key = options.multicast ? "mcast" : "udp";
    options.remote =
        TRY(host::parse_socket_place(property(config.properties, key), std::string("-netdev socket,") + key));
    const std::string local = property(config.properties, "localaddr");
    if (options.multicast)
      options.local.host = local;
    else if (local.empty())
      return Error{"udp= needs localaddr=: -netdev socket,id=" + config.id};
    else
      options.local = TRY(host::parse_socket_place(local, "-netdev socket,localaddr"));
    return host::open_datagram_net(options, loop);
  }
  host::StreamNetOptions options;
  if (has(config, "fd")) {
    options.fd = std::atoi(property(config.properties, "fd").c_str());
    return host::open_stream_net(options, loop);
  }
  options.server = has(config, "listen");
  const char* key = options.server ? "listen" : "connect";
  options.place = TRY(host::parse_socket_place(property(config.properties, key), std::string("-netdev socket,") + key));
  return host::open_stream_net(options, loop);
}

// "addr.type=inet,addr.host=..,addr.port=.." or "addr.type=unix,addr.path=..".
Result<host::SocketPlace> socket_place(const NetdevConfig& config, const std::string& prefix) {
  const auto value = [&](const char* key) { return property(config.properties, (prefix + key).c_str()); };
  host::SocketPlace place;
  const std::string type = value(".type");
  if (type == "unix") {
    place.unix_path = true;
    place.host = value(".path");
    if (place.host.empty()) return Error{"no path given: -netdev " + config.kind + "," + prefix + ".path"};
    return place;
  }
  if (type != "inet")
    return Error{"unsupported address type '" + type + "': -netdev " + config.kind + "," + prefix +
                 ".type; use inet or unix"};
  return host::parse_socket_place(value(".host") + ":" + value(".port"), "-netdev " + config.kind + "," + prefix);
}

Result<std::unique_ptr<devices::NetBackend>> open_stream(const NetdevConfig& config, host::EventLoop& loop) {
  host::StreamNetOptions options;
  const std::string server = property(config.properties, "server");
  options.server = !server.empty() && !is_off(server);
  options.reconnect_seconds = static_cast<unsigned>(std::atoi(property(config.properties, "reconnect").c_str()));
  if (property(config.properties, "addr.type") == "fd")
    options.fd = std::atoi(property(config.properties, "addr.str").c_str());
  else
    options.place = TRY(socket_place(config, "addr"));
  return host::open_stream_net(options, loop);
}

Result<std::unique_ptr<devices::NetBackend>> open_datagram(const NetdevConfig& config, host::EventLoop& loop) {
  host::DatagramNetOptions options;
  if (has(config, "remote.type")) options.remote = TRY(socket_place(config, "remote"));
  // A remote multicast group is joined, as in QEMU.
  const int first_byte = std::atoi(options.remote.host.c_str());
  options.multicast = !options.remote.unix_path && first_byte >= 224 && first_byte <= 239;
  if (has(config, "local.type"))
    options.local = TRY(socket_place(config, "local"));
  else if (!options.multicast)
    return Error{"no local address given: -netdev dgram,id=" + config.id +
                 "; add local.type=inet,local.host=..,local.port=.."};
  return host::open_datagram_net(options, loop);
}

Result<std::unique_ptr<devices::NetBackend>> open_netdev(const NetdevConfig& config, host::EventLoop& loop) {
  if (config.kind == "tap") return open_tap_netdev(config, loop);
  if (config.kind == "socket") return open_socket(config, loop);
  if (config.kind == "stream") return open_stream(config, loop);
  if (config.kind == "dgram") return open_datagram(config, loop);
  return open_user(config, loop);
}

// "52:54:00:12:34:56"; empty text counts up from QEMU's default.
Result<devices::MacAddress> parse_mac(const std::string& text, std::size_t number) {
  if (text.empty()) return devices::MacAddress{0x52, 0x54, 0x00, 0x12, 0x34, static_cast<u8>(0x56 + number)};
  unsigned bytes[6];
  char rest = 0;
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4],
                  &bytes[5], &rest) != 6) {
    return Error{"invalid hardware address '" + text + "': mac; use 52:54:00:12:34:56"};
  }
  devices::MacAddress mac;
  for (unsigned i = 0; i < 6; i++) mac[i] = static_cast<u8>(bytes[i]);
  if ((mac[0] & 1) != 0) return Error{"multicast hardware address '" + text + "': mac"};
  return mac;
}

std::string mac_text(const devices::MacAddress& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

}  // namespace

Result<void> Pc::build_network() {
  nics_ = std::make_unique<Nics>();
  const Config& config = parts_.config;
  const auto hub = [this](const NetdevConfig& port) -> devices::NetHub& {
    auto& made = nics_->hubs[std::strtoull(property(port.properties, "hubid").c_str(), nullptr, 0)];
    if (made == nullptr) made = std::make_unique<devices::NetHub>();
    return *made;
  };
  for (const NetdevConfig& netdev : config.netdevs) {
    if (netdev.kind == "hubport") continue;
    nics_->backends[netdev.id] = TRY(open_netdev(netdev, parts_.loop));
  }
  // A hub port stands for another netdev, or is what a card is plugged into.
  for (const NetdevConfig& port : config.netdevs) {
    if (port.kind != "hubport") continue;
    const std::string behind = property(port.properties, "netdev");
    if (behind.empty()) {
      nics_->hub_ports[port.id] = &hub(port).add_card_port();
      continue;
    }
    const auto it = nics_->backends.find(behind);
    if (it == nics_->backends.end()) return Error{"no such netdev '" + behind + "': -netdev hubport,id=" + port.id};
    hub(port).add_backend(*it->second);
  }
  for (const NicConfig& nic : config.nics) TRY(add_nic(nic.model, nic.netdev, nic.mac, "", nullptr));
  for (const DeviceConfig& device : config.devices) {
    const bool virtio = device.driver == "virtio-net-pci" || device.driver == "virtio-net";
    if (!virtio && device.driver != "e1000") continue;
    TRY(find_device(device));
    TRY(add_nic(virtio ? "virtio" : "e1000", property(device.properties, "netdev"), property(device.properties, "mac"),
                property(device.properties, "addr"), &device));
  }
  for (const NetDumpConfig& dump : config.net_dumps) {
    const auto uses = [&](const Nics::Entry& nic) { return nic.netdev == dump.netdev; };
    if (std::none_of(nics_->entries.begin(), nics_->entries.end(), uses))
      return Error{"no NIC uses netdev '" + dump.netdev + "': -object filter-dump,id=" + dump.id};
  }
  if (config.default_nic && !config.no_defaults && nics_->entries.empty() && config.netdevs.empty()) {
    nics_->backends["net0"] = TRY(open_user({.kind = "user", .id = "net0"}, parts_.loop));
    TRY(add_nic("virtio", "net0", "", "", nullptr));
  }
  return {};
}

Result<void> Pc::add_nic(const std::string& model, const std::string& netdev, const std::string& mac_words,
                         const std::string& address, const DeviceConfig* device) {
  const devices::MacAddress mac = TRY(parse_mac(mac_words, nics_->entries.size()));
  devices::NetBackend* backend = &nics_->unplugged;
  if (!netdev.empty()) {
    for (const Nics::Entry& other : nics_->entries) {
      if (other.netdev == netdev) return Error{"netdev is in use by another NIC: " + netdev};
    }
    const auto it = nics_->backends.find(netdev);
    const auto port = nics_->hub_ports.find(netdev);
    if (it != nics_->backends.end())
      backend = it->second.get();
    else if (port != nics_->hub_ports.end())
      backend = port->second;
    else
      return Error{"no such netdev '" + netdev + "': -device; add -netdev user,id=" + netdev};
    for (const NetDumpConfig& dump : parts_.config.net_dumps) {
      if (dump.netdev != netdev) continue;
      nics_->dumps.push_back(TRY(host::open_dump({.file = dump.file, .max_bytes = dump.max_bytes}, *backend)));
      backend = nics_->dumps.back().get();
    }
  }
  std::unique_ptr<devices::PciFunction> card;
  if (model == "e1000") {
    card = std::make_unique<devices::E1000>(pci_environment(), parts_.clock, *backend, mac);
  } else {
    card = std::make_unique<devices::VirtioPci>(
        pci_environment(), std::make_unique<devices::VirtioNet>(*backend, devices::VirtioNet::Options{.mac = mac}));
  }
  TRY(attach_net_rom(*card, model, device != nullptr && device->properties.contains("bootindex")));
  TRY(place(*card, address, 3));
  if (device != nullptr) TRY(add_boot_device(*device, "ethernet@" + pci_place(*card) + "/ethernet-phy@0"));
  const std::string id = device != nullptr ? property(device->properties, "id") : "";
  nics_->entries.push_back({.name = id.empty() ? "nic" + std::to_string(nics_->entries.size()) : id,
                            .model = model == "e1000" ? "e1000" : "virtio-net-pci",
                            .mac = mac_text(mac),
                            .netdev = netdev,
                            .backend = backend,
                            .card = std::move(card)});
  return {};
}

// A NIC by its name or by its netdev's id.
std::string Pc::set_link(const std::string& name, bool up) {
  for (Nics::Entry& nic : nics_->entries) {
    if (nic.name != name && (name.empty() || nic.netdev != name)) continue;
    nic.backend->set_link(up);
    return "";
  }
  return "no such NIC or netdev '" + name + "'; see info network";
}

Result<void> Pc::build_virtio_extras() {
  for (const DeviceConfig& device : parts_.config.devices) {
    std::unique_ptr<devices::VirtioDevice> function;
    if (device.driver == "virtio-rng-pci" || device.driver == "virtio-rng") {
      function = std::make_unique<devices::VirtioRng>(nics_->entropy);
    } else if (device.driver == "virtconsole") {
      const auto backend = parts_.consoles.find(property(device.properties, "chardev"));
      if (backend == parts_.consoles.end()) {
        return Error{"no such chardev '" + property(device.properties, "chardev") + "': -device virtconsole"};
      }
      function = std::make_unique<devices::VirtioConsole>(*backend->second);
    } else {
      continue;
    }
    nics_->extras.push_back(std::make_unique<devices::VirtioPci>(pci_environment(), std::move(function)));
    TRY(place(*nics_->extras.back(), property(device.properties, "addr"), 3));
  }
  return {};
}

std::string Pc::info_network() const {
  std::string text;
  for (const Nics::Entry& entry : nics_->entries) {
    text += entry.name + ": model=" + entry.model + ",macaddr=" + entry.mac + "\n \\ " + entry.backend->description() +
            (entry.backend->link_up() ? "" : " (link down)") + "\n";
  }
  return text;
}

}  // namespace xm::machine
