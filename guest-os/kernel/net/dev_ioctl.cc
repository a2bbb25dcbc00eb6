// SPDX-License-Identifier: GPL-2.0-or-later
// The ioctls of network devices, which every socket answers [man 7 netdevice], and a little of SIOCETHTOOL.
#include "kernel/fs/proc/proc.h"
#include "kernel/lib/result.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/inetdevice.h"
#include "kernel/net/sock.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

enum DeviceIoctl : u32 {
  kGetName = 0x8910,
  kGetConf = 0x8912,
  kGetFlags = 0x8913,
  kSetFlags = 0x8914,
  kGetMetric = 0x891d,
  kSetMetric = 0x891e,
  kGetMtu = 0x8921,
  kSetMtu = 0x8922,
  kSetName = 0x8923,
  kSetHwaddr = 0x8924,
  kGetHwaddr = 0x8927,
  kAddMulti = 0x8931,
  kDelMulti = 0x8932,
  kGetIndex = 0x8933,
  kSetHwBroadcast = 0x8937,
  kGetTxqlen = 0x8942,
  kSetTxqlen = 0x8943,
  kEthtool = 0x8946,
  kGetMap = 0x8970,
  kPrivate = 0x89f0
};

struct ifreq {
  char name[kIfNameSize];
  union {
    struct {
      u16 family;
      u8 data[14];
    } hwaddr;
    s16 flags;
    s32 value;
    u64 data;
    u8 all[24];
  };
};
static_assert(sizeof(ifreq) == 40);

bool compat() { return compat_mode(task_pt_regs(current)); }
u64 ifreq_size() { return compat() ? 32 : sizeof(ifreq); }

// --- SIOCGIFCONF ---
long get_conf(u64 user) {
  s32 room;
  u64 buffer;
  TRY_INT(get_user_at(room, user));
  if (compat()) {
    u32 narrow;
    TRY_INT(get_user_at(narrow, user + 4));
    buffer = narrow;
  } else {
    TRY_INT(get_user_at(buffer, user + 8));
  }
  long total = 0;
  rtnl_lock();
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    const long n = buffer == 0 ? inet_gifconf(dev, 0, 0)
                               : inet_gifconf(dev, buffer + static_cast<u64>(total), room - static_cast<int>(total));
    if (n < 0) {
      rtnl_unlock();
      return n;
    }
    total += n;
  }
  rtnl_unlock();
  return put_user_at(static_cast<s32>(total), user);
}

long get_name(u64 user) {
  ifreq r;
  TRY_INT(copy_from_user(&r, reinterpret_cast<const void*>(user), ifreq_size()));
  net_device* dev = dev_get_by_index(r.value);
  if (dev == nullptr) return -ENODEV;
  memcpy(r.name, dev->name, sizeof r.name);
  dev_put(dev);
  return copy_to_user(reinterpret_cast<void*>(user), &r, ifreq_size());
}

// --- SIOCETHTOOL ---
constexpr u32 ETHTOOL_GDRVINFO = 3, ETHTOOL_GLINK = 0xa, ETHTOOL_GRXCSUM = 0x14, ETHTOOL_GTXCSUM = 0x16,
              ETHTOOL_GSG = 0x18, ETHTOOL_GTSO = 0x1e, ETHTOOL_GGSO = 0x23, ETHTOOL_GGRO = 0x2b, ETHTOOL_STXCSUM = 0x17,
              ETHTOOL_SRXCSUM = 0x15, ETHTOOL_SSG = 0x19, ETHTOOL_STSO = 0x1f, ETHTOOL_SGSO = 0x24, ETHTOOL_SGRO = 0x2c,
              ETHTOOL_GPERMADDR = 0x20;
struct drvinfo {
  u32 cmd;
  char driver[32], version[32], fw_version[32], bus_info[32], erom_version[32], reserved2[12];
  u32 n_priv_flags, n_stats, testinfo_len, eedump_len, regdump_len;
};
static_assert(sizeof(drvinfo) == 196);

u32 feature_of(u32 command) {
  switch (command) {
    case ETHTOOL_GRXCSUM:
    case ETHTOOL_SRXCSUM: return NETIF_F_RXCSUM;
    case ETHTOOL_GTXCSUM:
    case ETHTOOL_STXCSUM: return NETIF_F_HW_CSUM;
    case ETHTOOL_GSG:
    case ETHTOOL_SSG: return NETIF_F_SG;
    case ETHTOOL_GTSO:
    case ETHTOOL_STSO: return NETIF_F_TSO | NETIF_F_TSO6;
    case ETHTOOL_GGSO:
    case ETHTOOL_SGSO: return NETIF_F_GSO;
    case ETHTOOL_GGRO:
    case ETHTOOL_SGRO: return NETIF_F_GRO;
    default: return 0;
  }
}

long ethtool(net_device* dev, u64 data) {
  u32 words[2]{};
  TRY_INT(get_user_at(words[0], data));
  const u32 command = words[0];
  if (command == ETHTOOL_GDRVINFO) {
    drvinfo info{};
    info.cmd = command;
    copy_string(info.driver, dev->link_ops != nullptr ? dev->link_ops->kind : dev->driver, sizeof info.driver);
    copy_string(info.version, "6.1.0", sizeof info.version);
    return put_user_at(info, data);
  }
  if (command == ETHTOOL_GLINK) {
    words[1] = netif_running(dev) && dev->carrier;
    return put_user_at(words, data);
  }
  const u32 feature = feature_of(command);
  if (feature == 0) return -EOPNOTSUPP;
  const bool set = (command & 1) != 0 ? command != ETHTOOL_GGSO && command != ETHTOOL_GGRO
                                      : command == ETHTOOL_SGSO || command == ETHTOOL_SGRO;
  if (!set) {
    words[1] = (dev->features & feature) != 0;
    return put_user_at(words, data);
  }
  if (!capable(CAP_NET_ADMIN)) return -EPERM;
  TRY_INT(get_user_at(words, data));
  dev->features = words[1] != 0 ? dev->features | (feature & dev->hw_features) : dev->features & ~feature;
  return 0;
}

// --- one device, by name ---
long get_request(net_device* dev, u32 command, ifreq& r) {
  switch (command) {
    case kGetFlags: r.flags = static_cast<s16>(dev_get_flags(dev)); return 0;
    case kGetMetric: r.value = 0; return 0;
    case kGetMtu: r.value = static_cast<s32>(dev->mtu); return 0;
    case kGetIndex: r.value = dev->ifindex; return 0;
    case kGetTxqlen: r.value = static_cast<s32>(dev->tx_queue_len); return 0;
    case kGetHwaddr:
      r.hwaddr = {};
      r.hwaddr.family = dev->type;
      memcpy(r.hwaddr.data, dev->dev_addr, min<u32>(dev->addr_len, sizeof r.hwaddr.data));
      return 0;
    case kGetMap: memset(r.all, 0, sizeof r.all); return 0;
    default: return -ENOIOCTLCMD;
  }
}

long set_request(net_device* dev, u32 command, ifreq& r) {
  switch (command) {
    case kSetFlags: return dev_change_flags(dev, static_cast<u16>(r.flags) | (dev->flags & ~0xffffu));
    case kSetMetric: return -EOPNOTSUPP;
    case kSetMtu: return dev_set_mtu(dev, static_cast<u32>(r.value));
    case kSetHwaddr: return r.hwaddr.family == dev->type ? dev_set_mac_address(dev, r.hwaddr.data) : -EINVAL;
    case kSetHwBroadcast: memcpy(dev->broadcast, r.hwaddr.data, min<u32>(dev->addr_len, 14)); return 0;
    case kAddMulti: return dev_mc_add(dev, r.hwaddr.data);
    case kDelMulti: return dev_mc_del(dev, r.hwaddr.data);
    case kSetTxqlen:
      if (r.value < 0) return -EINVAL;
      dev->tx_queue_len = static_cast<u32>(r.value);
      return 0;
    case kSetName: {
      char name[kIfNameSize];
      memcpy(name, r.all, sizeof name);
      name[kIfNameSize - 1] = 0;
      return dev_change_name(dev, name);
    }
    default: return -ENOIOCTLCMD;
  }
}

bool is_get(u32 c) {
  return c == kGetFlags || c == kGetMetric || c == kGetMtu || c == kGetIndex || c == kGetTxqlen || c == kGetHwaddr ||
         c == kGetMap;
}
bool is_set(u32 c) {
  return c == kSetFlags || c == kSetMetric || c == kSetMtu || c == kSetHwaddr || c == kSetHwBroadcast ||
         c == kAddMulti || c == kDelMulti || c == kSetTxqlen || c == kSetName;
}

}  // namespace

long dev_ioctl(u32 command, u64 argument) {
  if (command == kGetConf) return get_conf(argument);
  if (command == kGetName) return get_name(argument);
  const bool driver = command >= kPrivate && command < kPrivate + 16;
  if (!is_get(command) && !is_set(command) && command != kEthtool && !driver) return -ENOIOCTLCMD;
  if ((is_set(command) || driver) && !capable(CAP_NET_ADMIN)) return -EPERM;
  ifreq r{};
  TRY_INT(copy_from_user(&r, reinterpret_cast<const void*>(argument), ifreq_size()));
  r.name[kIfNameSize - 1] = 0;
  if (char* colon = strchr(r.name, ':')) *colon = 0;
  rtnl_lock();
  net_device* dev = dev_get_by_name(r.name);
  long result = -ENODEV;
  if (dev != nullptr && command == kEthtool) {
    result = ethtool(dev, compat() ? static_cast<u32>(r.data) : r.data);
  } else if (dev != nullptr && driver) {
    result = dev->ops->ndo_ioctl(dev, command, &r);
  } else if (dev != nullptr) {
    result = is_get(command) ? get_request(dev, command, r) : set_request(dev, command, r);
  }
  dev_put(dev);
  rtnl_unlock();
  if (result == 0 && is_get(command)) return copy_to_user(reinterpret_cast<void*>(argument), &r, ifreq_size());
  return result;
}

}  // namespace xm::os
