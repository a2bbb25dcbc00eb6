// SPDX-License-Identifier: GPL-2.0-or-later
// IPv4 addresses of devices: the list of each device, the table of all, choice of a source address, the ioctls of
// ifconfig. [man 7 netdevice]
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/sched/clock.h"
#include "kernel/task/cred.h"

namespace xm::os {

ipv4_devconf ipv4_devconf_all, ipv4_devconf_dflt;
void (*rtmsg_ifa_hook)(int event, const in_ifaddr* ifa) = nullptr;

namespace {

constexpr int kRtmNewAddr = 20, kRtmDelAddr = 21;
constexpr u32 kAddrBuckets = 64;
list_head addr_hash[kAddrBuckets];
list_head& addr_bucket(be32 a) { return addr_hash[(a ^ a >> 16 ^ a >> 24) % kAddrBuckets]; }

void free_ifa(in_ifaddr* ifa) { kdelete(ifa); }
void tell(int event, const in_ifaddr* ifa) {
  if (rtmsg_ifa_hook != nullptr) rtmsg_ifa_hook(event, ifa);
}

#define X(name) #name,
const char* const kConfNames[] = {XM_IPV4_DEVCONF(X)};
#undef X

struct ConfEntry {
  proc_number number;
  char path[64];
};
void register_conf(const char* name, ipv4_devconf* cnf) {
  for (u32 i = 0; i < IPV4_DEVCONF_MAX; ++i) {
    ConfEntry* e = static_cast<ConfEntry*>(kzalloc(sizeof(ConfEntry)));
    if (e == nullptr) return;
    e->number = {&cnf->data[i], -1, 0x7fffffff};
    format(e->path, sizeof e->path, "sys/net/ipv4/conf/%s/%s", name, kConfNames[i]);
    proc_create_number(e->path, 0644, &e->number);
  }
}

}  // namespace

u32 inet_mask_len(be32 mask) {
  const u32 m = ntohl(mask);
  return m == 0 ? 0 : 32 - static_cast<u32>(__builtin_ctz(m));
}

in_device* inetdev_init(net_device* dev) {
  if (dev->ip_ptr != nullptr) return dev->ip_ptr;
  in_device* in = knew<in_device>();
  if (in == nullptr) return nullptr;
  in->dev = dev;
  in->cnf = ipv4_devconf_dflt;
  dev_hold(dev);
  write_once(dev->ip_ptr, in);
  register_conf(dev->name, &in->cnf);
  if (netif_running(dev)) ip_mc_up(in);
  return in;
}

in_ifaddr* inet_alloc_ifa() { return knew<in_ifaddr>(); }

in_ifaddr* inet_ifa_byprefix(in_device* in, be32 prefix, be32 mask) {
  for (in_ifaddr* ifa = in->ifa_list; ifa != nullptr; ifa = ifa->ifa_next) {
    if (ifa->ifa_mask == mask && inet_ifa_match(prefix, ifa)) return ifa;
  }
  return nullptr;
}

int inet_insert_ifa(in_device* in, in_ifaddr* ifa) {
  if (ifa->ifa_local == 0) {
    free_ifa(ifa);
    return 0;
  }
  ifa->ifa_flags &= ~IFA_F_SECONDARY;
  in_ifaddr** at = &in->ifa_list;
  in_ifaddr** last_primary = &in->ifa_list;
  for (; *at != nullptr; at = &(*at)->ifa_next) {
    in_ifaddr* other = *at;
    if ((other->ifa_flags & IFA_F_SECONDARY) == 0 && ifa->ifa_scope <= other->ifa_scope)
      last_primary = &other->ifa_next;
    if (other->ifa_mask != ifa->ifa_mask || !inet_ifa_match(ifa->ifa_address, other)) continue;
    if (other->ifa_local == ifa->ifa_local || other->ifa_scope != ifa->ifa_scope) {
      const int error = other->ifa_local == ifa->ifa_local ? -EEXIST : -EINVAL;
      free_ifa(ifa);
      return error;
    }
    ifa->ifa_flags |= IFA_F_SECONDARY;
  }
  if ((ifa->ifa_flags & IFA_F_SECONDARY) == 0) at = last_primary;
  ifa->ifa_dev = in;
  ifa->ifa_cstamp = ifa->ifa_tstamp = ktime_get();
  ifa->ifa_next = *at;
  __atomic_store_n(at, ifa, __ATOMIC_RELEASE);
  list_add_tail_rcu(&ifa->hash, &addr_bucket(ifa->ifa_local));
  fib_add_ifaddr(ifa);
  rt_cache_flush();
  tell(kRtmNewAddr, ifa);
  return 0;
}

// Without promote_secondaries the other addresses of a prefix go with its primary one.
void inet_del_ifa(in_device* in, in_ifaddr* doomed) {
  const bool primary = (doomed->ifa_flags & IFA_F_SECONDARY) == 0;
  const bool promote = in_dev_conf(in, IPV4_DEVCONF_promote_secondaries) != 0 ||
                       ipv4_devconf_all.data[IPV4_DEVCONF_promote_secondaries] != 0;
  if (primary && !promote) {
    for (in_ifaddr* ifa = in->ifa_list; ifa != nullptr;) {
      in_ifaddr* next = ifa->ifa_next;
      if (ifa != doomed && (ifa->ifa_flags & IFA_F_SECONDARY) != 0 && ifa->ifa_mask == doomed->ifa_mask &&
          inet_ifa_match(doomed->ifa_address, ifa))
        inet_del_ifa(in, ifa);
      ifa = next;
    }
  }
  for (in_ifaddr** at = &in->ifa_list; *at != nullptr; at = &(*at)->ifa_next) {
    if (*at != doomed) continue;
    __atomic_store_n(at, doomed->ifa_next, __ATOMIC_RELEASE);
    break;
  }
  list_del_rcu(&doomed->hash);
  fib_del_ifaddr(doomed);
  if (primary && promote) {
    for (in_ifaddr* ifa = in->ifa_list; ifa != nullptr; ifa = ifa->ifa_next) {
      if ((ifa->ifa_flags & IFA_F_SECONDARY) == 0 || ifa->ifa_mask != doomed->ifa_mask ||
          !inet_ifa_match(doomed->ifa_address, ifa))
        continue;
      ifa->ifa_flags &= ~IFA_F_SECONDARY;
      fib_add_ifaddr(ifa);
      break;
    }
  }
  rt_cache_flush();
  tell(kRtmDelAddr, doomed);
  synchronize_net();
  free_ifa(doomed);
}

// The first address of the device that suits, then of any other one: loopback's own addresses stay on loopback.
be32 inet_select_addr(const net_device* dev, be32 dst, int scope) {
  be32 found = 0;
  net_read_lock();
  const in_device* in = dev != nullptr ? in_dev_get(dev) : nullptr;
  for (const in_ifaddr* ifa = in != nullptr ? in->ifa_list : nullptr; ifa != nullptr; ifa = ifa->ifa_next) {
    if ((ifa->ifa_flags & IFA_F_SECONDARY) != 0 || min<int>(ifa->ifa_scope, RT_SCOPE_LINK) > scope) continue;
    if (dst == 0 || inet_ifa_match(dst, ifa)) {
      found = ifa->ifa_local;
      break;
    }
    if (found == 0) found = ifa->ifa_local;
  }
  if (found == 0) {
    for (net_device* other : entries<&net_device::dev_list>(dev_base)) {
      in = in_dev_get(other);
      for (const in_ifaddr* ifa = in != nullptr ? in->ifa_list : nullptr; ifa != nullptr && found == 0;
           ifa = ifa->ifa_next) {
        if ((ifa->ifa_flags & IFA_F_SECONDARY) == 0 && ifa->ifa_scope != RT_SCOPE_LINK && ifa->ifa_scope <= scope)
          found = ifa->ifa_local;
      }
      if (found != 0) break;
    }
  }
  net_read_unlock();
  return found;
}

net_device* ip_dev_find(be32 address) {
  net_device* found = nullptr;
  net_read_lock();
  for (in_ifaddr* ifa : entries<&in_ifaddr::hash>(addr_bucket(address))) {
    if (ifa->ifa_local != address) continue;
    found = ifa->ifa_dev->dev;
    dev_hold(found);
    break;
  }
  net_read_unlock();
  return found;
}

bool inet_addr_onlink(in_device* in, be32 a, be32 b) {
  bool found = false;
  net_read_lock();
  for (const in_ifaddr* ifa = in->ifa_list; ifa != nullptr && !found; ifa = ifa->ifa_next)
    found = inet_ifa_match(a, ifa) && (b == 0 || inet_ifa_match(b, ifa));
  net_read_unlock();
  return found;
}

be32 inet_confirm_addr(in_device* in, be32 dst, be32 local, int scope) {
  be32 found = 0;
  net_read_lock();
  const auto look = [&](const in_device* d) {
    for (const in_ifaddr* ifa = d != nullptr ? d->ifa_list : nullptr; ifa != nullptr && found == 0;
         ifa = ifa->ifa_next) {
      if ((local == 0 || ifa->ifa_local == local) && ifa->ifa_scope <= scope &&
          (dst == 0 || inet_ifa_match(dst, ifa) || local != 0))
        found = ifa->ifa_local;
    }
  };
  if (in != nullptr) {
    look(in);
  } else {
    for (net_device* dev : entries<&net_device::dev_list>(dev_base)) look(in_dev_get(dev));
  }
  net_read_unlock();
  return found;
}

// --- ioctls ---
namespace {

u8 default_prefix(be32 a) {  // the class of the address [RFC 791, 2.3]
  const u32 h = ntohl(a);
  if ((h & 0x80000000) == 0) return 8;
  if ((h & 0xc0000000) == 0x80000000) return 16;
  return (h & 0xe0000000) == 0xc0000000 ? 24 : 32;
}

int set_ifa(net_device* dev, in_ifaddr* ifa) {
  in_device* in = inetdev_init(dev);
  if (in == nullptr) {
    free_ifa(ifa);
    return -ENOBUFS;
  }
  if (ipv4_is_loopback(ifa->ifa_local)) ifa->ifa_scope = RT_SCOPE_HOST;
  return inet_insert_ifa(in, ifa);
}

in_ifaddr* copy_ifa(const in_ifaddr* from) {
  in_ifaddr* to = inet_alloc_ifa();
  if (to == nullptr) return nullptr;
  to->ifa_local = from->ifa_local;
  to->ifa_address = from->ifa_address;
  to->ifa_mask = from->ifa_mask;
  to->ifa_prefixlen = from->ifa_prefixlen;
  to->ifa_broadcast = from->ifa_broadcast;
  to->ifa_scope = from->ifa_scope;
  to->ifa_flags = from->ifa_flags;
  memcpy(to->ifa_label, from->ifa_label, sizeof to->ifa_label);
  return to;
}

int replace_ifa(net_device* dev, in_ifaddr* old, in_ifaddr* fresh) {
  if (fresh == nullptr) return -ENOBUFS;
  if (old != nullptr) inet_del_ifa(dev->ip_ptr, old);
  return set_ifa(dev, fresh);
}

int set_address(net_device* dev, in_ifaddr* ifa, const sockaddr_in& sin, const char* label) {
  in_ifaddr* fresh = ifa != nullptr ? copy_ifa(ifa) : inet_alloc_ifa();
  if (fresh == nullptr) return -ENOBUFS;
  if (ifa == nullptr) copy_string(fresh->ifa_label, label, sizeof fresh->ifa_label);
  fresh->ifa_flags = IFA_F_PERMANENT;
  fresh->ifa_local = fresh->ifa_address = sin.addr;
  fresh->ifa_broadcast = 0;
  if ((dev->flags & IFF_POINTOPOINT) == 0) {
    fresh->ifa_prefixlen = default_prefix(sin.addr);
    fresh->ifa_mask = inet_make_mask(fresh->ifa_prefixlen);
    if ((dev->flags & IFF_BROADCAST) != 0 && fresh->ifa_prefixlen < 31)
      fresh->ifa_broadcast = fresh->ifa_address | ~fresh->ifa_mask;
  } else {
    fresh->ifa_prefixlen = 32;
    fresh->ifa_mask = inet_make_mask(32);
  }
  return replace_ifa(dev, ifa, fresh);
}

int set_netmask(net_device* dev, in_ifaddr* ifa, const sockaddr_in& sin) {
  const u32 plen = inet_mask_len(sin.addr);
  if (inet_make_mask(plen) != sin.addr) return -EINVAL;
  if (ifa->ifa_mask == sin.addr) return 0;
  in_ifaddr* fresh = copy_ifa(ifa);
  if (fresh == nullptr) return -ENOBUFS;
  const bool derived = ifa->ifa_prefixlen < 31 && ifa->ifa_broadcast == (ifa->ifa_local | ~ifa->ifa_mask);
  fresh->ifa_mask = sin.addr;
  fresh->ifa_prefixlen = static_cast<u8>(plen);
  if ((dev->flags & IFF_BROADCAST) != 0 && derived) fresh->ifa_broadcast = fresh->ifa_local | ~sin.addr;
  return replace_ifa(dev, ifa, fresh);
}

long get_ioctl(u32 command, const net_device* dev, const in_ifaddr* ifa, ifreq& r) {
  if (command == SIOCGIFFLAGS) {
    r.flags = static_cast<u16>(dev_get_flags(dev));
    return 0;
  }
  if (ifa == nullptr) return -EADDRNOTAVAIL;
  memset(&r.addr, 0, sizeof r.addr);
  r.addr.family = AF_INET;
  switch (command) {
    case SIOCGIFADDR: r.addr.addr = ifa->ifa_local; break;
    case SIOCGIFBRDADDR: r.addr.addr = ifa->ifa_broadcast; break;
    case SIOCGIFDSTADDR: r.addr.addr = ifa->ifa_address; break;
    default: r.addr.addr = ifa->ifa_mask; break;
  }
  return 0;
}

long set_ioctl(u32 command, net_device* dev, in_ifaddr* ifa, const ifreq& r, bool alias) {
  const sockaddr_in& sin = r.addr;
  if (command == SIOCSIFFLAGS) {
    if (!alias) return dev_change_flags(dev, r.flags);
    if ((r.flags & IFF_UP) == 0 && ifa != nullptr) inet_del_ifa(dev->ip_ptr, ifa);  // eth0:1 down: the address goes
    return ifa == nullptr ? -EADDRNOTAVAIL : 0;
  }
  if (command == SIOCSIFADDR) {
    if (sin.family != AF_INET) return -EINVAL;
    if (sin.addr == 0) {
      if (ifa != nullptr) inet_del_ifa(dev->ip_ptr, ifa);
      return 0;
    }
    const int error = set_address(dev, ifa, sin, r.name);
    return error != 0 ? error : dev_change_flags(dev, dev_get_flags(dev) | IFF_UP);
  }
  if (ifa == nullptr) return -EADDRNOTAVAIL;
  switch (command) {
    case SIOCSIFNETMASK: return set_netmask(dev, ifa, sin);
    case SIOCSIFBRDADDR: {
      if (ifa->ifa_broadcast == sin.addr) return 0;
      in_ifaddr* fresh = copy_ifa(ifa);
      if (fresh != nullptr) fresh->ifa_broadcast = sin.addr;
      return replace_ifa(dev, ifa, fresh);
    }
    case SIOCSIFDSTADDR: {
      in_ifaddr* fresh = copy_ifa(ifa);
      if (fresh != nullptr) fresh->ifa_address = sin.addr;
      return replace_ifa(dev, ifa, fresh);
    }
    case SIOCDIFADDR: inet_del_ifa(dev->ip_ptr, ifa); return 0;
    default: return -EINVAL;
  }
}

bool is_set(u32 c) {
  return c == SIOCSIFADDR || c == SIOCSIFBRDADDR || c == SIOCSIFNETMASK || c == SIOCSIFDSTADDR || c == SIOCSIFFLAGS ||
         c == SIOCDIFADDR;
}

}  // namespace

long devinet_ioctl(u32 command, u64 argument) {
  ifreq r;
  TRY_INT(get_user_at(r, argument));
  r.name[kIfNameSize - 1] = 0;
  const bool set = is_set(command);
  if (set && !capable(CAP_NET_ADMIN)) return -EPERM;
  char base[kIfNameSize];
  memcpy(base, r.name, sizeof base);
  char* colon = strchr(base, ':');
  if (colon != nullptr) *colon = 0;
  rtnl_lock();
  net_device* dev = dev_get_by_name(base);
  long result = -ENODEV;
  if (dev != nullptr) {
    in_ifaddr* ifa = dev->ip_ptr != nullptr ? dev->ip_ptr->ifa_list : nullptr;
    while (ifa != nullptr && strcmp(ifa->ifa_label, r.name) != 0) ifa = ifa->ifa_next;
    if (ifa == nullptr && colon == nullptr && !set && dev->ip_ptr != nullptr) ifa = dev->ip_ptr->ifa_list;
    result = set ? set_ioctl(command, dev, ifa, r, colon != nullptr) : get_ioctl(command, dev, ifa, r);
    dev_put(dev);
  }
  rtnl_unlock();
  if (result == 0 && !set) return put_user_at(r, argument);
  return result;
}

// The addresses of a device as SIOCGIFCONF lists them: bytes written, or with user 0 the bytes needed.
long inet_gifconf(net_device* dev, u64 user, int room) {
  const in_device* in = in_dev_get(dev);
  long done = 0;
  for (const in_ifaddr* ifa = in != nullptr ? in->ifa_list : nullptr; ifa != nullptr; ifa = ifa->ifa_next) {
    if (user != 0) {
      if (room - done < static_cast<long>(sizeof(ifreq))) break;
      ifreq r{};
      memcpy(r.name, ifa->ifa_label[0] != 0 ? ifa->ifa_label : dev->name, sizeof r.name);
      r.addr.family = AF_INET;
      r.addr.addr = ifa->ifa_local;
      TRY_INT(put_user_at(r, user + static_cast<u64>(done)));
    }
    done += sizeof(ifreq);
  }
  return done;
}

// --- events ---
namespace {
void inetdev_event(NetdevEvent event, net_device* dev) {
  in_device* in = dev->ip_ptr;
  switch (event) {
    case NETDEV_REGISTER: inetdev_init(dev); break;
    case NETDEV_UP:
      if (in == nullptr) break;
      if ((dev->flags & IFF_LOOPBACK) != 0 && in->ifa_list == nullptr) {
        in_ifaddr* ifa = inet_alloc_ifa();
        if (ifa == nullptr) break;
        ifa->ifa_local = ifa->ifa_address = htonl(0x7f000001);
        ifa->ifa_prefixlen = 8;
        ifa->ifa_mask = inet_make_mask(8);
        ifa->ifa_scope = RT_SCOPE_HOST;
        ifa->ifa_flags = IFA_F_PERMANENT;
        copy_string(ifa->ifa_label, dev->name, sizeof ifa->ifa_label);
        inet_insert_ifa(in, ifa);
      }
      ip_mc_up(in);
      break;
    case NETDEV_DOWN:
      if (in != nullptr) ip_mc_down(in);
      break;
    case NETDEV_UNREGISTER:
      if (in == nullptr) break;
      ip_mc_destroy_dev(in);
      while (in->ifa_list != nullptr) inet_del_ifa(in, in->ifa_list);
      write_once(dev->ip_ptr, static_cast<in_device*>(nullptr));
      in->dead = true;
      synchronize_net();
      dev_put(dev);  // the in_device stays: its entries under /proc/sys point into it
      break;
    default: break;
  }
}
notifier_block inetdev_notifier{inetdev_event, {}};
}  // namespace

void devinet_init() {
  for (list_head& b : addr_hash) b.init();
  static constexpr u32 kOn[] = {IPV4_DEVCONF_accept_redirects, IPV4_DEVCONF_secure_redirects,
                                IPV4_DEVCONF_send_redirects, IPV4_DEVCONF_shared_media};
  for (const u32 i : kOn) ipv4_devconf_all.data[i] = ipv4_devconf_dflt.data[i] = 1;
  register_conf("all", &ipv4_devconf_all);
  register_conf("default", &ipv4_devconf_dflt);
  register_netdevice_notifier(&inetdev_notifier);
}

}  // namespace xm::os
