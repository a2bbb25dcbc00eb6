// SPDX-License-Identifier: GPL-2.0-or-later
// What files tell about devices: /proc/net/dev, /proc/net/softnet_stat, /sys/class/net. [man 5 proc]
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/lib/result.h"
#include "kernel/net/netdevice.h"

namespace xm::os {
namespace {

rtnl_link_stats64 stats_of(net_device* dev) {
  rtnl_link_stats64 s{};
  dev->ops->ndo_get_stats64(dev, &s);
  return s;
}

void show_dev(TextBuffer& out, void*) {
  out.print(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "
      "carrier compressed\n");
  rtnl_lock();
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    const rtnl_link_stats64 s = stats_of(dev);
    out.print("%6s: %7lu %7lu %4lu %4lu %4lu %5lu %10lu %9lu %8lu %7lu %4lu %4lu %4lu %5lu %7lu %10lu\n", dev->name,
              s.rx_bytes, s.rx_packets, s.rx_errors, s.rx_dropped + s.rx_missed_errors, s.rx_fifo_errors,
              s.rx_length_errors + s.rx_over_errors + s.rx_crc_errors + s.rx_frame_errors, s.rx_compressed, s.multicast,
              s.tx_bytes, s.tx_packets, s.tx_errors, s.tx_dropped, s.tx_fifo_errors, s.collisions,
              s.tx_carrier_errors + s.tx_aborted_errors + s.tx_window_errors + s.tx_heartbeat_errors, s.tx_compressed);
  }
  rtnl_unlock();
}

void show_softnet(TextBuffer& out, void*) {
  for (u32 cpu = 0; cpu < kMaxCpus && cpus[cpu].online; ++cpu) {
    const softnet_counters& c = softnet_stats[cpu];
    out.print(
        "%08lx %08lx %08lx 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 %08x\n",
        c.processed, c.dropped, c.time_squeeze, cpu);
  }
}

void show_dev_mcast(TextBuffer& out, void*) {
  rtnl_lock();
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    BhGuard guard(dev->addr_lock);
    for (const netdev_hw_addr* a : entries<&netdev_hw_addr::list>(dev->mc_list)) {
      out.print("%-4d %-15s %-5u 0     ", dev->ifindex, dev->name, a->refcount);
      for (u32 i = 0; i < dev->addr_len; ++i) out.print("%02x", a->addr[i]);
      out.print("\n");
    }
  }
  rtnl_unlock();
}

// --- /sys/class/net ---
enum Attribute : u32 {
  kAddress,
  kBroadcast,
  kAddrLen,
  kMtu,
  kOperstate,
  kCarrier,
  kCarrierChanges,
  kIfindex,
  kIflink,
  kType,
  kFlags,
  kTxQueueLen,
  kIfalias,
  kLinkMode,
  kDormant,
  kGroup,
  kSpeed,
  kDuplex,
  kUevent,
  kFirstStatistic
};
const char* const attribute_names[] = {"address",      "broadcast",       "addr_len", "mtu",       "operstate",
                                       "carrier",      "carrier_changes", "ifindex",  "iflink",    "type",
                                       "flags",        "tx_queue_len",    "ifalias",  "link_mode", "dormant",
                                       "netdev_group", "speed",           "duplex",   "uevent"};
static_assert(array_size(attribute_names) == kFirstStatistic);
// In the order of rtnl_link_stats64.
const char* const statistic_names[] = {
    "rx_packets",       "tx_packets",        "rx_bytes",          "tx_bytes",        "rx_errors",
    "tx_errors",        "rx_dropped",        "tx_dropped",        "multicast",       "collisions",
    "rx_length_errors", "rx_over_errors",    "rx_crc_errors",     "rx_frame_errors", "rx_fifo_errors",
    "rx_missed_errors", "tx_aborted_errors", "tx_carrier_errors", "tx_fifo_errors",  "tx_heartbeat_errors",
    "tx_window_errors", "rx_compressed",     "tx_compressed",     "rx_nohandler"};
static_assert(sizeof(rtnl_link_stats64) == sizeof(u64) * array_size(statistic_names));

void* encode(const net_device* dev, u32 attribute) {
  return reinterpret_cast<void*>(static_cast<u64>(dev->ifindex) << 8 | attribute);
}
net_device* device_of(const void* data) { return dev_get_by_index(static_cast<int>(reinterpret_cast<u64>(data) >> 8)); }
u32 attribute_of(const void* data) { return static_cast<u32>(reinterpret_cast<u64>(data) & 0xff); }

void print_hw(TextBuffer& out, const u8* a, u32 n) {
  for (u32 i = 0; i < n; ++i) out.print("%s%02x", i == 0 ? "" : ":", a[i]);
  out.print("\n");
}

void show_one(TextBuffer& out, net_device* dev, u32 attribute) {
  const bool up = netif_running(dev);
  switch (attribute) {
    case kAddress: print_hw(out, dev->dev_addr, dev->addr_len); break;
    case kBroadcast: print_hw(out, dev->broadcast, dev->addr_len); break;
    case kAddrLen: out.print("%u\n", dev->addr_len); break;
    case kMtu: out.print("%u\n", dev->mtu); break;
    case kOperstate:
      out.print("%s\n", !up || !dev->carrier ? "down" : (dev->flags & IFF_LOOPBACK) != 0 ? "unknown" : "up");
      break;
    case kCarrier:
      if (up) out.print("%d\n", dev->carrier);
      break;
    case kCarrierChanges: out.print("%u\n", dev->carrier_changes); break;
    case kIfindex: out.print("%d\n", dev->ifindex); break;
    case kIflink: out.print("%d\n", dev->link != 0 ? dev->link : dev->ifindex); break;
    case kType: out.print("%u\n", dev->type); break;
    case kFlags: out.print("0x%x\n", dev->flags & 0xffffu); break;
    case kTxQueueLen: out.print("%u\n", dev->tx_queue_len); break;
    case kIfalias:
      if (dev->ifalias[0] != 0) out.print("%s\n", dev->ifalias);
      break;
    case kGroup: out.print("%lu\n", dev->group); break;
    case kSpeed: out.print("-1\n"); break;
    case kDuplex: out.print("unknown\n"); break;
    case kUevent: out.print("INTERFACE=%s\nIFINDEX=%d\n", dev->name, dev->ifindex); break;
    default: out.print("0\n"); break;
  }
}

void show_attribute(TextBuffer& out, void* data) {
  net_device* dev = device_of(data);
  if (dev == nullptr) return;
  const u32 attribute = attribute_of(data);
  if (attribute < kFirstStatistic) {
    show_one(out, dev, attribute);
  } else {
    const rtnl_link_stats64 s = stats_of(dev);
    u64 v;
    memcpy(&v, reinterpret_cast<const u8*>(&s) + (attribute - kFirstStatistic) * sizeof v, sizeof v);
    out.print("%lu\n", v);
  }
  dev_put(dev);
}

int store_attribute(const char* text, size_t n, void* data) {
  net_device* dev = device_of(data);
  if (dev == nullptr) return -ENODEV;
  const char* end;
  const u32 value = static_cast<u32>(parse_number(text, &end, 0));
  int error = 0;
  rtnl_lock();
  switch (attribute_of(data)) {
    case kMtu: error = end == text ? -EINVAL : dev_set_mtu(dev, value); break;
    case kTxQueueLen:
      if (end == text) error = -EINVAL;
      if (error == 0) dev->tx_queue_len = value;
      break;
    case kFlags: error = end == text ? -EINVAL : dev_change_flags(dev, value); break;
    case kIfalias:
      copy_string(dev->ifalias, text, min(n + 1, sizeof dev->ifalias));
      if (char* newline = strchr(dev->ifalias, '\n')) *newline = 0;
      break;
    default: error = -EINVAL; break;
  }
  rtnl_unlock();
  dev_put(dev);
  return error;
}

bool writable(u32 a) { return a == kMtu || a == kTxQueueLen || a == kFlags || a == kIfalias; }

void make_directory(net_device* dev) {
  char name[80];
  copy_string(dev->sysfs_name, dev->name, sizeof dev->sysfs_name);
  for (u32 i = 0; i < kFirstStatistic; ++i) {
    format(name, sizeof name, "class/net/%s/%s", dev->name, attribute_names[i]);
    proc_create(&sysfs_root, name, writable(i) ? 0644 : 0444, show_attribute, writable(i) ? store_attribute : nullptr,
                encode(dev, i));
  }
  for (u32 i = 0; i < array_size(statistic_names); ++i) {
    format(name, sizeof name, "class/net/%s/statistics/%s", dev->name, statistic_names[i]);
    proc_create(&sysfs_root, name, 0444, show_attribute, nullptr, encode(dev, kFirstStatistic + i));
  }
}

void remove_directory(net_device* dev) {
  char name[40];
  format(name, sizeof name, "class/net/%s", dev->sysfs_name);
  proc_remove(&sysfs_root, name);
}

void device_event(NetdevEvent event, net_device* dev) {
  if (event == NETDEV_REGISTER) make_directory(dev);
  if (event == NETDEV_UNREGISTER) remove_directory(dev);
  if (event == NETDEV_CHANGENAME) {
    remove_directory(dev);
    make_directory(dev);
  }
}
constinit notifier_block files_notifier{device_event};

void net_files_init() {
  proc_mkdir(&sysfs_root, "class/net");
  proc_create(&proc_root, "net/dev", 0444, show_dev);
  proc_create(&proc_root, "net/dev_mcast", 0444, show_dev_mcast);
  proc_create(&proc_root, "net/softnet_stat", 0444, show_softnet);
  register_netdevice_notifier(&files_notifier);
}
FS_INITCALL(net_files_init);

}  // namespace
}  // namespace xm::os
