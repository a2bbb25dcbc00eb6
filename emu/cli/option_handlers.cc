// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/option_handlers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <map>
#include <span>

#include "emu/cli/option_string.h"

namespace xm::cli {

using machine::CharConfig;
using machine::Config;
using machine::DisplayKind;
using machine::DriveConfig;
using machine::DriveInterface;
using machine::HostForward;
using machine::NetdevConfig;
using machine::NicConfig;

Result<void> handle_name(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "guest");
  options.take("guest", config.name);
  std::string ignored;
  options.take("process", ignored);
  options.take("debug-threads", ignored);
  return options.finish("-name");
}

Result<void> handle_accel(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "accel");
  std::string list;
  options.take("accel", list);
  if (!config.accelerator_given) config.accelerators.clear();
  config.accelerator_given = true;
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t end = std::min(list.find(':', start), list.size());
    std::string name = list.substr(start, end - start);
    if (name == "tcg") name = "interp";  // QEMU's word for "no hardware help"
    if (name != "interp" && name != "jit" && name != "kvm") {
      return Error{"unknown accelerator '" + name + "': -accel; use interp, jit or kvm"};
    }
    config.accelerators.push_back(name);
    start = end + 1;
  }
  std::string ignored;
  options.take("thread", ignored);
  return options.finish("-accel");
}

Result<void> handle_enable_kvm(Config& config, const std::string&) { return handle_accel(config, "kvm"); }

Result<void> handle_machine(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "type");
  std::string text;
  if (options.take("type", text)) {
    if (text != "help" && text != "?" && text != "pc" && !text.starts_with("pc-i440fx") && text != "none") {
      return Error{"unsupported machine type '" + text + "': -machine; use pc"};
    }
    config.machine_type = text;
  }
  if (options.take("accel", text)) TRY(handle_accel(config, text));
  for (const auto& [key, property] : options.rest()) config.machine_properties[key] = property;
  static constexpr std::array kKnown{
      "acpi", "graphics", "hpet", "i8042",  "kernel_irqchip", "kernel-irqchip", "mem-merge", "dump-guest-core",
      "usb",  "vmport",   "smm",  "nvdimm", "pcspk-audiodev"};
  for (const auto& [key, property] : config.machine_properties) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      return Error{"unknown property '" + key + "': -machine"};
    }
    if ((key == "kernel_irqchip" || key == "kernel-irqchip") && property != "off")
      return Error{"not supported: " + key + "=" + property +
                   ": -machine; the interrupt controllers are in user space, so that engines can change: use off"};
  }
  return {};
}

Result<void> handle_smp(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "cpus");
  std::string text;
  u64 product = 1;
  bool topology = false;
  config.cores_per_socket = 0;
  config.threads_per_core = 1;
  for (const char* key : {"sockets", "dies", "clusters", "cores", "threads"}) {
    if (!options.take(key, text)) continue;
    const u64 count = TRY(parse_number(text, 1, 255, std::string("-smp ") + key));
    product *= count;
    topology = true;
    if (key == std::string_view("cores")) config.cores_per_socket = static_cast<unsigned>(count);
    if (key == std::string_view("threads")) config.threads_per_core = static_cast<unsigned>(count);
    if (key == std::string_view("sockets") && config.cores_per_socket == 0) config.cores_per_socket = 1;
  }
  u64 cpus = product;
  if (options.take("cpus", text)) cpus = TRY(parse_number(text, 1, 255, "-smp"));
  if (options.take("maxcpus", text) && TRY(parse_number(text, 1, 255, "-smp maxcpus")) < cpus) {
    return Error{"maxcpus is below the number of CPUs: -smp " + value};
  }
  if (topology && product != cpus) {
    return Error{"sockets, cores and threads do not multiply to " + std::to_string(cpus) + ": -smp " + value};
  }
  config.cpus = static_cast<unsigned>(cpus);
  return options.finish("-smp");
}

Result<void> handle_memory(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "size");
  std::string text;
  if (!options.take("size", text)) return Error{"no size given: -m"};
  const u64 bytes = TRY(parse_size(text, u64{1} << 20, "-m"));
  if (bytes < (u64{2} << 20)) return Error{"too little memory for a PC: -m " + value + "; use at least 2M"};
  if (bytes > (u64{512} << 30)) return Error{"more memory than can be addressed: -m " + value + "; use at most 512G"};
  config.memory_bytes = (bytes + 0xFFF) & ~u64{0xFFF};
  std::string ignored;
  options.take("slots", ignored);
  options.take("maxmem", ignored);
  return options.finish("-m");
}

Result<void> handle_rtc(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "base");
  options.take("base", config.rtc_base);
  std::string text;
  if (options.take("clock", text) && text != "host" && text != "vm" && text != "rt") {
    return Error{"unknown clock '" + text + "': -rtc; use host or vm"};
  }
  options.take("driftfix", text);
  return options.finish("-rtc");
}

Result<void> handle_boot(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "order");
  std::string text;
  if (options.take("order", text)) {
    if (text.find_first_not_of("acdn") != std::string::npos) {
      return Error{"unknown boot device in '" + text + "': -boot; use the letters a, c, d, n"};
    }
    config.boot_order = text;
  }
  options.take("once", config.boot_once);
  config.boot_menu = TRY(options.take_bool("menu", config.boot_menu));
  if (options.take("splash-time", text)) {
    config.boot_menu_timeout_ms = static_cast<unsigned>(TRY(parse_number(text, 0, 65535, "-boot splash-time")));
  }
  TRY(options.take_bool("strict", false));
  return options.finish("-boot");
}

namespace {

// QEMU's "tcp|udp:[hostaddr]:hostport-[guestaddr]:guestport".
Result<HostForward> parse_forward(const std::string& text) {
  HostForward forward;
  const Error bad{"invalid hostfwd '" + text + "'; use tcp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"};
  std::string rest = text;
  if (rest.starts_with("udp:"))
    forward.udp = true;
  else if (!rest.starts_with("tcp:") && !rest.starts_with(":"))
    return bad;
  rest = rest.substr(rest.find(':') + 1);
  const std::size_t dash = rest.rfind('-');
  if (dash == std::string::npos) return bad;
  const std::string host = rest.substr(0, dash);
  const std::string guest = rest.substr(dash + 1);
  const std::size_t host_colon = host.rfind(':');
  const std::size_t guest_colon = guest.rfind(':');
  if (host_colon == std::string::npos || guest_colon == std::string::npos) return bad;
  forward.host_address = host.substr(0, host_colon);
  forward.guest_address = guest.substr(0, guest_colon);
  forward.host_port = static_cast<u16>(TRY(parse_number(host.substr(host_colon + 1), 0, 65535, "hostfwd host port")));
  forward.guest_port =
      static_cast<u16>(TRY(parse_number(guest.substr(guest_colon + 1), 1, 65535, "hostfwd guest port")));
  return forward;
}

Result<NetdevConfig> parse_netdev(OptionString& options, const std::string& kind, const char* option) {
  NetdevConfig netdev;
  netdev.kind = kind;
  options.take("id", netdev.id);
  for (const std::string& text : options.take_all("hostfwd")) netdev.forwards.push_back(TRY(parse_forward(text)));
  static constexpr std::string_view kUser[] = {"net",  "host",       "restrict", "hostname", "dhcpstart", "dns",
                                               "ipv4", "domainname", "ipv6",     "tftp",     "bootfile"};
  static constexpr std::string_view kTap[] = {"ifname", "script", "downscript", "br",
                                              "fd",     "vhost",  "vnet_hdr",   "sndbuf"};
  static constexpr std::string_view kSocket[] = {"listen", "connect", "mcast", "udp", "localaddr", "fd"};
  static constexpr std::string_view kStream[] = {"server",    "reconnect", "addr.type", "addr.host",
                                                 "addr.port", "addr.path", "addr.str"};
  static constexpr std::string_view kDatagram[] = {"local.type",  "local.host",  "local.port",  "local.path",
                                                   "remote.type", "remote.host", "remote.port", "remote.path"};
  static constexpr std::string_view kHubPort[] = {"hubid", "netdev"};
  const std::map<std::string_view, std::span<const std::string_view>> kinds{
      {"user", kUser},     {"tap", kTap},        {"socket", kSocket},
      {"stream", kStream}, {"dgram", kDatagram}, {"hubport", kHubPort}};
  const auto known = kinds.find(kind);
  if (known == kinds.end()) {
    return Error{"unsupported network back end '" + kind + "': " + option +
                 "; use user, tap, socket, stream, dgram or hubport"};
  }
  for (const auto& [key, value] : std::vector(options.rest())) {
    if (std::find(known->second.begin(), known->second.end(), key) == known->second.end()) continue;
    std::string text;
    options.take(key, text);
    netdev.properties[key] = text;
  }
  if (options.has("guestfwd"))
    return Error{std::string("option not supported: ") + option +
                 " guestfwd; use hostfwd or a service on the host at 10.0.2.2"};
  return netdev;
}

std::string next_netdev_id(const Config& config) { return "net" + std::to_string(config.netdevs.size()); }

Result<std::string> check_model(const std::string& model, const char* option) {
  if (model == "virtio" || model == "virtio-net-pci") return std::string("virtio");
  if (model == "e1000" || model == "e1000-82540em") return std::string("e1000");
  return Error{"unsupported NIC model '" + model + "': " + option + "; use virtio or e1000"};
}

}  // namespace

Result<void> handle_netdev(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "type");
  std::string kind;
  options.take("type", kind);
  NetdevConfig netdev = TRY(parse_netdev(options, kind, "-netdev"));
  TRY(options.finish("-netdev"));
  if (netdev.id.empty()) return Error{"no id given: -netdev " + value + "; add id=NAME"};
  for (const NetdevConfig& other : config.netdevs) {
    if (other.id == netdev.id) return Error{"duplicate id '" + netdev.id + "': -netdev"};
  }
  config.netdevs.push_back(netdev);
  return {};
}

Result<void> handle_nic(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "type");
  std::string kind;
  options.take("type", kind);
  config.default_nic = false;
  if (kind == "none") return options.finish("-nic");
  NicConfig nic;
  std::string model;
  if (options.take("model", model)) nic.model = TRY(check_model(model, "-nic"));
  options.take("mac", nic.mac);
  NetdevConfig netdev = TRY(parse_netdev(options, kind, "-nic"));
  TRY(options.finish("-nic"));
  if (netdev.id.empty()) netdev.id = next_netdev_id(config);
  nic.netdev = netdev.id;
  config.netdevs.push_back(netdev);
  config.nics.push_back(nic);
  return {};
}

// -net nic and -net user are joined in finish_config: all of them stand on one hub, which for one NIC and one back end
// (the use people make of it) is a cable between the two.
Result<void> handle_net(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "type");
  std::string kind;
  options.take("type", kind);
  config.default_nic = false;
  if (kind == "none") return options.finish("-net");
  if (kind == "nic") {
    NicConfig nic;
    std::string text;
    nic.netdev = "-net";  // resolved in finish_config
    if (options.take("model", text)) nic.model = TRY(check_model(text, "-net nic"));
    options.take("macaddr", nic.mac);
    options.take("netdev", nic.netdev);
    options.take("name", text);
    options.take("addr", text);
    TRY(options.finish("-net nic"));
    config.nics.push_back(nic);
    return {};
  }
  std::string ignored;
  options.take("name", ignored);
  NetdevConfig netdev = TRY(parse_netdev(options, kind, "-net"));
  TRY(options.finish("-net"));
  if (netdev.id.empty()) netdev.id = "-net" + std::to_string(config.netdevs.size());
  config.netdevs.push_back(netdev);
  return {};
}

Result<void> handle_device(Config& config, const std::string& value) {
  machine::DeviceConfig device;
  device.properties = TRY(parse_properties(value, "driver", "-device"));
  if (const auto driver = device.properties.extract("driver"); !driver.empty()) device.driver = driver.mapped();
  if (const auto id = device.properties.find("id"); id != device.properties.end()) {
    for (const machine::DeviceConfig& other : config.devices) {
      const auto taken = other.properties.find("id");
      if (taken != other.properties.end() && taken->second == id->second)
        return Error{"duplicate id '" + id->second + "': -device " + device.driver};
    }
  }
  config.devices.push_back(device);
  return {};
}

Result<void> handle_vga(Config& config, const std::string& value) {
  if (value != "std" && value != "none")
    return Error{"unsupported display adapter '" + value + "': -vga; use std or none"};
  config.vga = value;
  return {};
}

Result<CharConfig> parse_char(const Config& config, const std::string& value, const char* option) {
  CharConfig result;
  OptionString options = OptionString::parse(value, "dev");
  std::string text;
  options.take("dev", text);
  result.server = TRY(options.take_bool("server", false));
  result.wait = TRY(options.take_bool("wait", true));
  if (options.has("nowait")) {
    result.wait = false;
    std::string flag;
    options.take("nowait", flag);
  }
  std::string ignored;
  options.take("nodelay", ignored);
  TRY(options.finish(option));
  if (text == "stdio" || text == "mon:stdio" || text == "null" || text == "none" || text == "pty" || text == "vc") {
    result.kind = text;
  } else if (text.starts_with("vc:")) {
    result.kind = "vc";
  } else if (text.starts_with("file:")) {
    result.kind = "file";
    result.path = text.substr(5);
  } else if (text.starts_with("unix:")) {
    result.kind = "unix";
    result.path = text.substr(5);
  } else if (text.starts_with("chardev:")) {
    const auto it = config.chardevs.find(text.substr(8));
    if (it == config.chardevs.end()) return Error{"no such chardev '" + text.substr(8) + "': " + option};
    result = it->second;
  } else if (text.starts_with("tcp:") || text.starts_with("telnet:")) {
    result.kind = "tcp";
    const std::string address = text.substr(text.find(':') + 1);
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos) return Error{"no port in '" + text + "': " + option + "; use tcp:HOST:PORT"};
    result.host = address.substr(0, colon);
    result.port = static_cast<u16>(TRY(parse_number(address.substr(colon + 1), 1, 65535, option)));
  } else {
    return Error{"unknown character device '" + text + "': " + option +
                 "; use stdio, mon:stdio, file:F, pty, tcp:HOST:PORT, unix:PATH or null"};
  }
  if ((result.kind == "file" || result.kind == "unix") && result.path.empty()) {
    return Error{"no path in '" + text + "': " + option};
  }
  return result;
}

Result<void> handle_serial(Config& config, const std::string& value) {
  if (config.serials.size() >= 4) return Error{"more than four serial ports: -serial " + value};
  config.serials.push_back(TRY(parse_char(config, value, "-serial")));
  return {};
}

Result<void> handle_debugcon(Config& config, const std::string& value) {
  config.debugcon = TRY(parse_char(config, value, "-debugcon"));
  return {};
}

Result<void> handle_monitor(Config& config, const std::string& value) {
  config.monitor = TRY(parse_char(config, value, "-monitor"));
  return {};
}

Result<void> handle_chardev(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "backend");
  CharConfig result;
  std::string kind;
  options.take("backend", kind);
  options.take("id", result.id);
  if (result.id.empty()) return Error{"no id given: -chardev " + value};
  result.server = TRY(options.take_bool("server", false));
  result.wait = TRY(options.take_bool("wait", true));
  std::string text;
  const bool path = options.take("path", result.path);
  options.take("host", result.host);
  if (options.take("port", text)) result.port = static_cast<u16>(TRY(parse_number(text, 1, 65535, "-chardev port")));
  if (options.take("mux", text) && text == "on" && kind == "stdio") kind = "mon:stdio";
  options.take("signal", text);
  TRY(options.finish("-chardev"));
  if (kind == "socket") kind = path ? "unix" : "tcp";
  static constexpr std::array kKinds{"null", "stdio", "mon:stdio", "file", "pty", "unix", "tcp", "vc"};
  if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end())
    return Error{"unknown back end '" + kind + "': -chardev"};
  result.kind = kind;
  if (!config.chardevs.emplace(result.id, result).second) return Error{"duplicate id '" + result.id + "': -chardev"};
  return {};
}

Result<void> handle_display(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "type");
  std::string text;
  options.take("type", text);
  if (text == "sdl")
    config.display = DisplayKind::Sdl;
  else if (text == "none")
    config.display = DisplayKind::None;
  else
    return Error{"unsupported display '" + text + "': -display; use sdl or none"};
  std::string ignored;
  for (const char* accepted : {"gl", "show-cursor", "grab-mod", "window-close"}) options.take(accepted, ignored);
  return options.finish("-display");
}

Result<void> handle_nographic(Config& config, const std::string&) {
  config.display = DisplayKind::Nographic;
  return {};
}

Result<void> handle_budget(Config& config, const std::string& value) {
  if (value.ends_with("s")) {
    char* end = nullptr;
    const double seconds = std::strtod(value.c_str(), &end);
    if (end != value.c_str() + value.size() - 1 || seconds <= 0) return Error{"invalid time '" + value + "': -budget"};
    config.budget_seconds = seconds;
    return {};
  }
  config.budget_instructions = TRY(parse_size(value, 1, "-budget"));
  return {};
}

Result<void> handle_log_items(Config& config, const std::string& value) {
  static constexpr std::array kItems{"guest_errors", "unimp", "int", "in_asm"};
  OptionString options = OptionString::parse(value, "item");
  std::string first;
  std::vector<std::string> items;
  if (options.take("item", first)) items.push_back(first);
  for (const auto& part : options.rest()) items.push_back(part.first);
  for (const std::string& item : items) {
    if (std::find(kItems.begin(), kItems.end(), item) == kItems.end()) {
      return Error{"unknown log item '" + item + "': -d; use guest_errors, unimp, int, in_asm"};
    }
    config.log_items.push_back(item);
  }
  return {};
}

// An image that two drives write comes to harm.
Result<void> check_drives(const Config& config) {
  const auto writes = [&](const DriveConfig& drive) {
    return !drive.file.empty() && !drive.cdrom && !drive.read_only && !drive.snapshot && !config.snapshot_all;
  };
  for (std::size_t i = 0; i < config.drives.size(); i++) {
    for (std::size_t j = 0; j < i; j++) {
      if (config.drives[i].file == config.drives[j].file && writes(config.drives[i]) && writes(config.drives[j]))
        return Error{"two drives write the same image: " + config.drives[i].file + "; use snapshot=on or a copy"};
    }
  }
  return {};
}

Result<void> handle_uuid(Config& config, const std::string& value) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  bool good = value.size() == kForm.size();
  for (std::size_t i = 0; good && i < kForm.size(); i++) {
    good = kForm[i] == '-' ? value[i] == '-' : std::isxdigit(static_cast<unsigned char>(value[i])) != 0;
  }
  if (!good) return Error{"invalid UUID '" + value + "': -uuid; use " + std::string(kForm)};
  config.uuid = value;
  return {};
}

namespace {

// Everything of -net stands on one hub. One card and one back end need none: that is a cable between the two, which
// keeps what both can do about checksums and segmentation.
void join_net_hub(Config& config) {
  std::vector<std::string> backends;
  for (const NetdevConfig& netdev : config.netdevs) {
    if (netdev.id.starts_with("-net")) backends.push_back(netdev.id);
  }
  const auto on_hub = [](const NicConfig& nic) { return nic.netdev == "-net"; };
  const auto cards = std::count_if(config.nics.begin(), config.nics.end(), on_hub);
  const bool cable = cards <= 1 && backends.size() <= 1;
  for (NicConfig& nic : config.nics) {
    if (!on_hub(nic)) continue;
    if (cable) {
      nic.netdev = backends.empty() ? "" : backends.front();
      continue;
    }
    nic.netdev = "-net-port" + std::to_string(config.netdevs.size());
    config.netdevs.push_back({.kind = "hubport", .id = nic.netdev, .properties = {{"hubid", "0"}}});
  }
  for (const std::string& backend : backends) {
    if (cable) break;
    config.netdevs.push_back({.kind = "hubport",
                              .id = "-net-port" + std::to_string(config.netdevs.size()),
                              .properties = {{"hubid", "0"}, {"netdev", backend}}});
  }
}

}  // namespace

Result<void> handle_object(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "qom-type");
  std::string type, text;
  options.take("qom-type", type);
  if (type != "filter-dump") return Error{"unsupported object '" + type + "': -object; use filter-dump"};
  machine::NetDumpConfig dump;
  options.take("id", dump.id);
  options.take("netdev", dump.netdev);
  options.take("file", dump.file);
  if (options.take("maxlen", text))
    dump.max_bytes = static_cast<u32>(TRY(parse_number(text, 1, 65536 + 64, "-object filter-dump,maxlen")));
  if (options.take("queue", text) && text != "all")
    return Error{"unsupported queue '" + text + "': -object filter-dump; use all"};
  options.take("status", text);
  TRY(options.finish("-object filter-dump"));
  if (dump.netdev.empty() || dump.file.empty())
    return Error{"netdev= and file= are needed: -object filter-dump,id=" + dump.id};
  config.net_dumps.push_back(dump);
  return {};
}

Result<void> finish_config(Config& config) {
  if (config.icount_shift) {
    if (config.cpus > 1) return Error{"more than one CPU: -icount; use -smp 1"};
    if (config.accelerator_given && config.accelerators.front() != "interp")
      return Error{"only the interpreter counts instructions: -icount; use -accel interp"};
    // The same calendar on every run.
    if (config.rtc_base == "utc") config.rtc_base = "2026-01-01T00:00:00";
  }
  TRY(check_drives(config));
  if (config.kernel.empty() && !config.initrd.empty()) return Error{"-initrd without -kernel: " + config.initrd};
  if (config.kernel.empty() && !config.append.empty()) return Error{"-append without -kernel: " + config.append};
  join_net_hub(config);
  // The serial port has the terminal; the monitor shares it unless it was put elsewhere.
  if (config.display == DisplayKind::Nographic && config.serials.empty() &&
      !(config.monitor && config.monitor->kind == "stdio")) {
    config.serials.push_back({.kind = config.monitor ? "stdio" : "mon:stdio"});
  }
  unsigned stdio_users = 0;
  for (const CharConfig& serial : config.serials) stdio_users += serial.kind == "stdio" || serial.kind == "mon:stdio";
  if (config.monitor && config.monitor->kind == "stdio") stdio_users++;
  if (config.debugcon && config.debugcon->kind == "stdio") stdio_users++;
  if (stdio_users > 1)
    return Error{"the terminal can serve only one device: stdio; use -serial mon:stdio to share it with the monitor"};
  return {};
}

}  // namespace xm::cli
