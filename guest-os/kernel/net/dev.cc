// SPDX-License-Identifier: GPL-2.0-or-later
// The table of network devices and changes of their state. All changes hold the rtnl mutex; readers of the list hold
// net_read_lock, which costs no more than bottom halves off.
#include "kernel/net/netdevice.h"

#include "kernel/arch/x86_64/smp.h"
#include "kernel/drivers/random.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/lib/result.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit list_head dev_base{};

namespace {

constinit mutex rtnl_mutex{};
constinit list_head notifiers{};
constinit int last_ifindex = 0;

net_device* find_name(const char* name) {
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (strcmp(d->name, name) == 0) return d;
  }
  return nullptr;
}

bool valid_name(const char* name) {
  const size_t n = strnlen(name, kIfNameSize);
  if (n == 0 || n >= kIfNameSize || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
  for (const char* p = name; *p != 0; ++p) {
    if (*p == '/' || *p == ':' || *p <= ' ') return false;
  }
  return true;
}

// "eth%d" becomes the first such name that is free.
int allocate_name(net_device* dev, const char* wanted) {
  char pattern[kIfNameSize];
  copy_string(pattern, wanted, sizeof pattern);
  char* percent = strchr(pattern, '%');
  if (percent == nullptr) {
    if (!valid_name(pattern)) return -EINVAL;
    if (const net_device* other = find_name(pattern); other != nullptr && other != dev) return -EEXIST;
    copy_string(dev->name, pattern, sizeof dev->name);
    return 0;
  }
  if (percent[1] != 'd' || strchr(percent + 2, '%') != nullptr) return -EINVAL;
  *percent = 0;
  for (u32 i = 0; i < 4096; ++i) {
    char name[kIfNameSize];
    const int n = format(name, sizeof name, "%s%u%s", pattern, i, percent + 2);
    if (n >= static_cast<int>(sizeof name)) return -ENAMETOOLONG;
    if (find_name(name) != nullptr) continue;
    copy_string(dev->name, name, sizeof dev->name);
    return valid_name(dev->name) ? 0 : -EINVAL;
  }
  return -ENFILE;
}

void drop_multicast_list(net_device* dev) {
  for (netdev_hw_addr* a : entries<&netdev_hw_addr::list>(dev->mc_list)) {
    list_del(&a->list);
    kdelete(a);
  }
}

}  // namespace

// --- locks ---
void rtnl_lock() { mutex_lock(rtnl_mutex); }
void rtnl_unlock() { mutex_unlock(rtnl_mutex); }
bool rtnl_is_locked() { return rtnl_mutex.owner.load() == current; }
void assert_rtnl() { BUG_ON(!rtnl_is_locked()); }
void net_read_lock() { local_bh_disable(); }
void net_read_unlock() { local_bh_enable(); }

void for_each_cpu_in_turn(void (*work)(void*), void* data) {
  const u64 mask = current->cpus_allowed;
  for (u32 cpu = 0; cpu < nr_cpus; ++cpu) {
    if (!cpus[cpu].online || set_cpus_allowed(current, 1ul << cpu) != 0) continue;
    work(data);
  }
  set_cpus_allowed(current, mask);
}

// A reader cannot be preempted; so once this task has run on a processor, every reader that was there has left.
void synchronize_net() {
  for_each_cpu_in_turn([](void*) {}, nullptr);
}

// --- defaults of the operations ---
int net_device_ops::ndo_set_mac_address(net_device* dev, const u8* address) const {
  memcpy(dev->dev_addr, address, dev->addr_len);
  return 0;
}
int net_device_ops::ndo_change_mtu(net_device* dev, u32 mtu) const {
  dev->mtu = mtu;
  return 0;
}
void net_device_ops::ndo_get_stats64(net_device* dev, rtnl_link_stats64* stats) const { *stats = dev->stats; }
int net_device_ops::ndo_add_slave(net_device*, net_device*) const { return -EOPNOTSUPP; }
int net_device_ops::ndo_del_slave(net_device*, net_device*) const { return -EOPNOTSUPP; }
long net_device_ops::ndo_ioctl(net_device*, u32, void*) const { return -EOPNOTSUPP; }

// --- the table ---
net_device* alloc_netdev(const char* name_pattern, u32 priv_size) {
  net_device* dev = knew<net_device>();
  if (dev == nullptr) return nullptr;
  if (priv_size != 0) {
    dev->priv = kzalloc(priv_size);
    if (dev->priv == nullptr) {
      kdelete(dev);
      return nullptr;
    }
  }
  copy_string(dev->name, name_pattern, sizeof dev->name);
  for (netdev_queue& q : dev->tx) q.dev = dev;
  return dev;
}

void free_netdev(net_device* dev) {
  drop_multicast_list(dev);
  kfree(dev->priv);
  kdelete(dev);
}

void dev_put(net_device* dev) {
  if (dev == nullptr || !dev->refcnt.dec_and_test()) return;
  dev->ops->ndo_free(dev);
  free_netdev(dev);
}

int register_netdevice(net_device* dev) {
  assert_rtnl();
  TRY_INT(allocate_name(dev, dev->name));
  dev->ifindex = ++last_ifindex;
  dev->registered = true;
  dev->hw_features = dev->features;
  list_add_tail_rcu(&dev->dev_list, &dev_base);
  dev_notify(NETDEV_REGISTER, dev);
  return 0;
}

int register_netdev(net_device* dev) {
  rtnl_lock();
  const int error = register_netdevice(dev);
  rtnl_unlock();
  return error;
}

void unregister_netdevice(net_device* dev) {
  assert_rtnl();
  if (!dev->registered) return;
  dev_close(dev);
  dev->registered = false;
  dev_notify(NETDEV_UNREGISTER, dev);
  list_del_rcu(&dev->dev_list);
  synchronize_net();
  dev_flush_backlogs(dev);
  dev_release_qdiscs(dev);
  dev_put(dev);
}

net_device* dev_get_by_name(const char* name) {
  net_read_lock();
  net_device* dev = find_name(name);
  if (dev != nullptr) dev_hold(dev);
  net_read_unlock();
  return dev;
}

net_device* dev_get_by_index(int ifindex) {
  net_device* found = nullptr;
  net_read_lock();
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (d->ifindex != ifindex) continue;
    dev_hold(d);
    found = d;
    break;
  }
  net_read_unlock();
  return found;
}

void register_netdevice_notifier(notifier_block* nb) {
  rtnl_lock();
  list_add_tail(&nb->list, &notifiers);
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    nb->call(NETDEV_REGISTER, d);
    if (netif_running(d)) nb->call(NETDEV_UP, d);
  }
  rtnl_unlock();
}

void dev_notify(NetdevEvent event, net_device* dev) {
  for (notifier_block* nb : entries<&notifier_block::list>(notifiers)) nb->call(event, dev);
}

// --- changes of state ---
int dev_open(net_device* dev) {
  assert_rtnl();
  if (netif_running(dev)) return 0;
  if (!dev->registered) return -ENODEV;
  TRY_INT(dev->ops->ndo_open(dev));
  dev->flags |= IFF_UP;
  dev->ops->ndo_set_rx_mode(dev);
  dev_activate(dev);
  dev_notify(NETDEV_UP, dev);
  return 0;
}

void dev_close(net_device* dev) {
  assert_rtnl();
  if (!netif_running(dev)) return;
  dev_notify(NETDEV_GOING_DOWN, dev);
  dev->flags &= ~IFF_UP;  // from here on nothing is sent
  dev_deactivate(dev);
  dev->ops->ndo_stop(dev);
  dev_notify(NETDEV_DOWN, dev);
}

namespace {
int change_counted(net_device* dev, u32& count, u32 flag, int change) {
  const u32 before = dev->flags;
  count = static_cast<u32>(max(static_cast<int>(count) + change, 0));
  dev->flags = count > 0 ? dev->flags | flag : dev->flags & ~flag;
  if (dev->flags == before) return 0;
  dev->ops->ndo_set_rx_mode(dev);
  dev_notify(NETDEV_CHANGE, dev);
  return 0;
}
}  // namespace

int dev_set_promiscuity(net_device* dev, int change) {
  assert_rtnl();
  return change_counted(dev, dev->promiscuity, IFF_PROMISC, change);
}
int dev_set_allmulti(net_device* dev, int change) {
  assert_rtnl();
  return change_counted(dev, dev->allmulti, IFF_ALLMULTI, change);
}

// IFF_PROMISC and IFF_ALLMULTI of user space count as one more wish beside those of packet sockets and bridges.
int dev_change_flags(net_device* dev, u32 flags) {
  assert_rtnl();
  constexpr u32 kPlain = IFF_NOARP | IFF_MULTICAST | 4 /* DEBUG */ | 0x20 /* NOTRAILERS */ | 0x4000 /* PORTSEL */;
  const u32 before = dev->flags;
  dev->flags = (dev->flags & ~kPlain) | (flags & kPlain);
  const bool promisc = (dev->user_flags & IFF_PROMISC) != 0, allmulti = (dev->user_flags & IFF_ALLMULTI) != 0;
  dev->user_flags = flags & (IFF_PROMISC | IFF_ALLMULTI);
  if (promisc != ((flags & IFF_PROMISC) != 0)) dev_set_promiscuity(dev, promisc ? -1 : 1);
  if (allmulti != ((flags & IFF_ALLMULTI) != 0)) dev_set_allmulti(dev, allmulti ? -1 : 1);
  if ((flags & IFF_UP) != 0 && !netif_running(dev)) return dev_open(dev);
  if ((flags & IFF_UP) == 0 && netif_running(dev)) {
    dev_close(dev);
    return 0;
  }
  if (((dev->flags ^ before) & kPlain) != 0) dev_notify(NETDEV_CHANGE, dev);
  return 0;
}

int dev_set_mtu(net_device* dev, u32 mtu) {
  assert_rtnl();
  if (mtu == dev->mtu) return 0;
  if (mtu < dev->min_mtu || mtu > dev->max_mtu) return -EINVAL;
  TRY_INT(dev->ops->ndo_change_mtu(dev, mtu));
  dev_notify(NETDEV_CHANGEMTU, dev);
  return 0;
}

int dev_set_mac_address(net_device* dev, const u8* address) {
  assert_rtnl();
  if (dev->addr_len == kEthAlen && dev->type == ARPHRD_ETHER && !is_valid_ether_addr(address)) return -EADDRNOTAVAIL;
  TRY_INT(dev->ops->ndo_set_mac_address(dev, address));
  dev_notify(NETDEV_CHANGEADDR, dev);
  return 0;
}

int dev_change_name(net_device* dev, const char* name) {
  assert_rtnl();
  if (strcmp(dev->name, name) == 0) return 0;
  if (netif_running(dev)) return -EBUSY;
  TRY_INT(allocate_name(dev, name));
  dev_notify(NETDEV_CHANGENAME, dev);
  return 0;
}

int dev_mc_add(net_device* dev, const u8* address) {
  netdev_hw_addr* fresh = static_cast<netdev_hw_addr*>(kmalloc(sizeof(netdev_hw_addr), GFP_ATOMIC));
  if (fresh == nullptr) return -ENOMEM;
  new (fresh) netdev_hw_addr{};
  memcpy(fresh->addr, address, dev->addr_len);
  {
    BhGuard guard(dev->addr_lock);
    for (netdev_hw_addr* a : entries<&netdev_hw_addr::list>(dev->mc_list)) {
      if (memcmp(a->addr, address, dev->addr_len) != 0) continue;
      ++a->refcount;
      kfree(fresh);
      return 0;
    }
    list_add_tail(&fresh->list, &dev->mc_list);
  }
  dev->ops->ndo_set_rx_mode(dev);
  return 0;
}

int dev_mc_del(net_device* dev, const u8* address) {
  {
    BhGuard guard(dev->addr_lock);
    netdev_hw_addr* found = nullptr;
    for (netdev_hw_addr* a : entries<&netdev_hw_addr::list>(dev->mc_list)) {
      if (memcmp(a->addr, address, dev->addr_len) == 0) found = a;
    }
    if (found == nullptr) return -ENOENT;
    if (--found->refcount > 0) return 0;
    list_del(&found->list);
    kfree(found);
  }
  dev->ops->ndo_set_rx_mode(dev);
  return 0;
}

u32 dev_get_flags(const net_device* dev) {
  u32 flags = dev->flags & ~(IFF_PROMISC | IFF_ALLMULTI | IFF_RUNNING | IFF_LOWER_UP);
  flags |= dev->flags & IFF_UP;
  flags |= dev->user_flags;
  if (netif_running(dev) && dev->carrier) flags |= IFF_RUNNING | IFF_LOWER_UP;
  return flags;
}

// Drivers tell of the carrier from interrupts; subscribers hear of it in a work item, under rtnl.
namespace {
void carrier_changed(work_struct* work) {
  net_device* dev = container_of(work, net_device, carrier_work);
  rtnl_lock();
  if (dev->registered) dev_notify(NETDEV_CHANGE, dev);
  rtnl_unlock();
  dev_put(dev);
}
void set_carrier(net_device* dev, bool on) {
  if (dev->carrier == on) return;
  dev->carrier = on;
  ++dev->carrier_changes;
  if (!dev->registered) return;
  dev->carrier_work.func = carrier_changed;
  if (dev->carrier_work.pending.load() != 0) return;
  dev_hold(dev);
  schedule_work(&dev->carrier_work);
}
}  // namespace
void netif_carrier_on(net_device* dev) { set_carrier(dev, true); }
void netif_carrier_off(net_device* dev) { set_carrier(dev, false); }

void eth_random_addr(u8* address) {
  get_random_bytes(address, kEthAlen);
  address[0] = static_cast<u8>((address[0] & ~1) | 2);  // not a group, locally administered
}

void net_dev_init() {
  skb_init();
  dev_queues_init();
  loopback_init();
}
BUS_INITCALL(net_dev_init);

}  // namespace xm::os
