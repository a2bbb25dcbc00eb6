// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/net/tun: a device whose cable ends in a program, which reads what is sent and writes what is to be received. tun
// carries IP packets, tap Ethernet frames. GAP: one queue.
#include "kernel/fs/fs.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u16 IFF_TUN = 1, IFF_TAP = 2, IFF_NO_PI = 0x1000, IFF_ONE_QUEUE = 0x2000, IFF_VNET_HDR = 0x4000,
              IFF_TUN_EXCL = 0x8000;
enum TunIoctl : u32 {
  kSetIff = 0x400454ca,
  kSetPersist = 0x400454cb,
  kSetOwner = 0x400454cc,
  kSetLink = 0x400454cd,
  kSetGroup = 0x400454ce,
  kGetFeatures = 0x800454cf,
  kSetOffload = 0x400454d0,
  kGetIff = 0x800454d2,
  kGetSndbuf = 0x800454d3,
  kSetSndbuf = 0x400454d4,
  kGetVnetHdrSize = 0x800454d7,
  kSetVnetHdrSize = 0x400454d8
};
constexpr u32 kOffloadCsum = 1, kOffloadTso4 = 2, kOffloadTso6 = 4;
constexpr u32 kMaxQueued = 500, kMaxPacket = 65536 + 64;
constexpr u8 kNeedsCsum = 1, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoEcn = 0x80;

struct virtio_net_hdr {
  u8 flags, gso_type;
  u16 hdr_len, gso_size, csum_start, csum_offset;
};
static_assert(sizeof(virtio_net_hdr) == 10);
struct tun_pi {
  u16 flags, proto;
};
struct ifreq {
  char name[kIfNameSize];
  u16 flags;
  u8 rest[22];
};

struct Tun {
  net_device* dev = nullptr;
  u16 flags = 0;
  Atomic<u32> attached{0};  // a file holds it
  bool persist = false;
  u32 owner = ~0u, group = ~0u;
  u32 vnet_header = sizeof(virtio_net_hdr);
  sk_buff_head queue;  // sent, not read yet
  wait_queue_head wait;
};
struct TunFile {
  Tun* tun = nullptr;
};
Tun* tun_of(const net_device* dev) { return static_cast<Tun*>(dev->priv); }

struct TunOps final : net_device_ops {
  int ndo_open(net_device*) const override { return 0; }
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override {
    Tun* t = tun_of(dev);
    const u32 length = skb->len;
    if (t->attached.load() == 0 || t->queue.qlen >= kMaxQueued) {
      netdev_count(dev->stats.tx_dropped);
      dev_kfree_skb_any(skb, SKB_DROP_FULL_RING);
      return NETDEV_TX_OK;
    }
    skb_queue_tail(&t->queue, skb);
    netdev_count(dev->stats.tx_packets);
    netdev_count(dev->stats.tx_bytes, length);
    wake_up(t->wait, POLLIN | POLLRDNORM);
    return NETDEV_TX_OK;
  }
  void ndo_free(net_device* dev) const override { skb_queue_purge(&tun_of(dev)->queue); }
};
constinit const TunOps tun_ops{};

void setup(net_device* dev) {
  dev->ops = &tun_ops;
  dev->tx_queue_len = 500;
  dev->carrier = false;
  new (dev->priv) Tun{};
  tun_of(dev)->dev = dev;
}
int fill_info(sk_buff* skb, const net_device* dev) {
  const Tun* t = tun_of(dev);
  const bool ok =
      (t->owner == ~0u || nla_put_u32(skb, 1, t->owner)) && (t->group == ~0u || nla_put_u32(skb, 2, t->group)) &&
      nla_put_u8(skb, 3, static_cast<u8>(t->flags & 3)) && nla_put_u8(skb, 4, (t->flags & IFF_NO_PI) == 0) &&
      nla_put_u8(skb, 5, (t->flags & IFF_VNET_HDR) != 0) && nla_put_u8(skb, 6, t->persist) && nla_put_u8(skb, 7, 0);
  return ok ? 0 : -EMSGSIZE;
}
void dellink(net_device* dev) {
  wake_up_all(tun_of(dev)->wait, POLLIN | POLLHUP);
  unregister_netdevice(dev);
}
rtnl_link_ops tun_link_ops{"tun", sizeof(Tun), setup, nullptr, nullptr, dellink, fill_info, nullptr, {}};

void dress(net_device* dev, u16 flags) {
  dev->features = NETIF_F_SG;
  if ((flags & IFF_TAP) != 0) {
    ether_setup(dev);
    eth_random_addr(dev->dev_addr);
    dev->max_mtu = 65535 - kEthHlen;
  } else {
    dev->type = ARPHRD_NONE;
    dev->hard_header_len = 0;
    dev->addr_len = 0;
    dev->max_mtu = 65535;
    dev->flags = IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
  }
  dev->tx_queue_len = 500;
}

bool may_use(const Tun* t) {
  if (capable(CAP_NET_ADMIN)) return true;
  const cred* c = current_cred();
  return t->owner != ~0u && c->euid == t->owner;
}

int attach(TunFile* f, Tun* t) {
  if (!may_use(t)) return -EPERM;
  if (t->attached.exchange(1) != 0) return -EBUSY;
  dev_hold(t->dev);
  f->tun = t;
  netif_carrier_on(t->dev);
  return 0;
}

int set_iff(TunFile* f, ifreq& r) {  // with rtnl
  if (f->tun != nullptr) return -EINVAL;
  const u16 kind = r.flags & (IFF_TUN | IFF_TAP);
  if (kind != IFF_TUN && kind != IFF_TAP) return -EINVAL;
  r.name[kIfNameSize - 1] = 0;
  constexpr u16 kKept = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (net_device* dev = r.name[0] != 0 ? dev_get_by_name(r.name) : nullptr) {
    int error = -EBUSY;
    if (dev->ops != &tun_ops || (tun_of(dev)->flags & 3) != kind) {
      error = -EINVAL;
    } else if ((r.flags & IFF_TUN_EXCL) == 0) {
      error = attach(f, tun_of(dev));
      if (error == 0) tun_of(dev)->flags = r.flags & kKept;
    }
    dev_put(dev);
    return error;
  }
  if (!capable(CAP_NET_ADMIN)) return -EPERM;
  net_device* dev = rtnl_create_link(r.name[0] != 0 ? r.name : kind == IFF_TUN ? "tun%d" : "tap%d", &tun_link_ops);
  if (dev == nullptr) return -ENOMEM;
  tun_of(dev)->flags = r.flags & kKept;
  dress(dev, kind);
  if (const int error = register_netdevice(dev); error != 0) {
    free_netdev(dev);
    return error;
  }
  memcpy(r.name, dev->name, sizeof r.name);
  return attach(f, tun_of(dev));
}

void detach(TunFile* f) {
  Tun* t = f->tun;
  if (t == nullptr) return;
  f->tun = nullptr;
  rtnl_lock();
  net_device* dev = t->dev;
  netif_carrier_off(dev);
  t->attached.store(0);
  skb_queue_purge(&t->queue);
  if (!t->persist && dev->registered) unregister_netdevice(dev);
  rtnl_unlock();
  dev_put(dev);
}

// --- packets ---
int parse_vnet(sk_buff* skb, const virtio_net_hdr& h) {
  if ((h.flags & kNeedsCsum) != 0) {
    if (static_cast<u32>(h.csum_start) + h.csum_offset + 2 > skb->len) return -EINVAL;
    skb->ip_summed = CHECKSUM_PARTIAL;
    skb->csum_start = static_cast<u16>(skb_headroom(skb) + h.csum_start);
    skb->csum_offset = h.csum_offset;
  }
  if (h.gso_type == 0) return 0;
  const u8 type = h.gso_type & static_cast<u8>(~kGsoEcn);
  if ((type != kGsoTcp4 && type != kGsoTcp6) || h.gso_size == 0 || (h.flags & kNeedsCsum) == 0) return -EINVAL;
  skb_shared_info* info = skb_shinfo(skb);
  info->gso_size = h.gso_size;
  info->gso_type = static_cast<u16>((type == kGsoTcp4 ? SKB_GSO_TCPV4 : SKB_GSO_TCPV6) | SKB_GSO_DODGY);
  return 0;
}

ssize_t from_program(Tun* t, iov_iter& from) {
  net_device* dev = t->dev;
  const u64 total = from.count();
  tun_pi pi{0, htons(ETH_P_IP)};
  virtio_net_hdr vnet{};
  u64 length = total;
  if ((t->flags & IFF_NO_PI) == 0) {
    if (length < sizeof pi || from.copy_from(&pi, sizeof pi) != sizeof pi) return -EINVAL;
    length -= sizeof pi;
  }
  if ((t->flags & IFF_VNET_HDR) != 0) {
    u8 room[64]{};
    if (length < t->vnet_header || t->vnet_header > sizeof room ||
        from.copy_from(room, t->vnet_header) != t->vnet_header)
      return -EINVAL;
    memcpy(&vnet, room, sizeof vnet);
    length -= t->vnet_header;
  }
  const bool tap = (t->flags & IFF_TAP) != 0;
  if (length > kMaxPacket || length < (tap ? kEthHlen : 1u)) return -EINVAL;
  sk_buff* skb = alloc_skb(static_cast<u32>(length) + 66, GFP_KERNEL);
  if (skb == nullptr) return -ENOMEM;
  skb_reserve(skb, tap ? 66 : 64);
  if (from.copy_from(skb_put(skb, static_cast<u32>(length)), length) != length || parse_vnet(skb, vnet) != 0) {
    kfree_skb(skb);
    netdev_count(dev->stats.rx_frame_errors);
    return -EINVAL;
  }
  skb->dev = dev;
  if (tap) {
    skb->protocol = eth_type_trans(skb, dev);
  } else {
    skb_reset_mac_header(skb);
    skb->protocol = pi.proto;
    if ((t->flags & IFF_NO_PI) != 0) {
      const u8 version = skb->data[0] >> 4;
      skb->protocol = version == 4 ? htons(ETH_P_IP) : version == 6 ? htons(ETH_P_IPV6) : 0;
      if (skb->protocol == 0) {
        kfree_skb_reason(skb, SKB_DROP_UNHANDLED_PROTO);
        netdev_count(dev->stats.rx_dropped);
        return -EINVAL;
      }
    }
  }
  if (!netif_running(dev)) {
    kfree_skb_reason(skb, SKB_DROP_DEV_READY);
    return -EIO;
  }
  netdev_count(dev->stats.rx_packets);
  netdev_count(dev->stats.rx_bytes, length);
  netif_rx(skb);
  return static_cast<ssize_t>(total);
}

ssize_t to_program(Tun* t, sk_buff* skb, iov_iter& to) {
  u64 done = 0;
  if ((t->flags & IFF_NO_PI) == 0) {
    const u64 header = sizeof(tun_pi) + ((t->flags & IFF_VNET_HDR) != 0 ? t->vnet_header : 0);
    const tun_pi pi{static_cast<u16>(to.count() < skb->len + header ? 1 : 0), skb->protocol};
    if (to.count() < sizeof pi) return -EINVAL;
    if (to.copy_to(&pi, sizeof pi) != sizeof pi) return -EFAULT;
    done += sizeof pi;
  }
  if ((t->flags & IFF_VNET_HDR) != 0) {
    u8 room[64]{};
    virtio_net_hdr h{};
    if (skb->ip_summed == CHECKSUM_PARTIAL) {
      h.flags = kNeedsCsum;
      h.csum_start = static_cast<u16>(skb->csum_start - skb_headroom(skb));
      h.csum_offset = skb->csum_offset;
    }
    if (skb_is_gso(skb)) {
      h.gso_type = (skb_shinfo(skb)->gso_type & SKB_GSO_TCPV4) != 0 ? kGsoTcp4 : kGsoTcp6;
      h.gso_size = skb_shinfo(skb)->gso_size;
      h.hdr_len = static_cast<u16>(min(skb_headlen(skb), 0xffffu));
    }
    memcpy(room, &h, sizeof h);
    if (to.count() < t->vnet_header) return -EINVAL;
    if (to.copy_to(room, t->vnet_header) != t->vnet_header) return -EFAULT;
    done += t->vnet_header;
  }
  const u32 n = static_cast<u32>(min<u64>(skb->len, to.count()));
  if (skb_copy_datagram_iter(skb, 0, &to, n) != 0) return -EFAULT;
  return static_cast<ssize_t>(done + n);
}

long set_offload(Tun* t, u64 wanted) {
  if ((t->flags & IFF_VNET_HDR) == 0 && wanted != 0) return -EINVAL;
  u32 features = NETIF_F_SG;
  if ((wanted & kOffloadCsum) != 0) features |= NETIF_F_HW_CSUM;
  if ((wanted & kOffloadTso4) != 0) features |= NETIF_F_TSO;
  if ((wanted & kOffloadTso6) != 0) features |= NETIF_F_TSO6;
  t->dev->features = features;
  return 0;
}

struct TunFileOps final : file_operations {
  int open(inode*, file* f) const override {
    f->private_data = knew<TunFile>();
    return f->private_data == nullptr ? -ENOMEM : 0;
  }
  void release(inode*, file* f) const override {
    auto* tf = static_cast<TunFile*>(f->private_data);
    detach(tf);
    kdelete(tf);
  }
  bool has_poll() const override { return true; }
  loff_t llseek(file*, loff_t, int) const override { return -ESPIPE; }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    Tun* t = static_cast<TunFile*>(f->private_data)->tun;
    if (t == nullptr) return -EBADFD;
    sk_buff* skb = skb_dequeue(&t->queue);
    while (skb == nullptr) {
      if (!t->dev->registered) return -EIO;
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      const long r = wait_event_interruptible(
          t->wait, [t] { return read_once(t->queue.first) != nullptr || !read_once(t->dev->registered); });
      if (r != 0) return r;
      skb = skb_dequeue(&t->queue);
    }
    const ssize_t n = to_program(t, skb, to);
    consume_skb(skb);
    return n;
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    Tun* t = static_cast<TunFile*>(f->private_data)->tun;
    return t == nullptr ? -EBADFD : from_program(t, from);
  }
  u32 poll(file* f, poll_table* table) const override {
    Tun* t = static_cast<TunFile*>(f->private_data)->tun;
    if (t == nullptr) return POLLERR;
    poll_wait(f, t->wait, table);
    u32 events = POLLOUT | POLLWRNORM;
    if (read_once(t->queue.first) != nullptr) events |= POLLIN | POLLRDNORM;
    if (!t->dev->registered) events |= POLLERR;
    return events;
  }
  long ioctl(file* f, u32 command, u64 argument) const override {
    auto* tf = static_cast<TunFile*>(f->private_data);
    if (command == kGetFeatures)
      return put_user_at<u32>(IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR, argument);
    if (command == kSetIff) {
      ifreq r;
      TRY_INT(get_user_at(r, argument));
      rtnl_lock();
      const int error = set_iff(tf, r);
      rtnl_unlock();
      return error != 0 ? error : put_user_at(r, argument);
    }
    Tun* t = tf->tun;
    if (t == nullptr) return -EBADFD;
    switch (command) {
      case kGetIff: {
        ifreq r{};
        memcpy(r.name, t->dev->name, sizeof r.name);
        r.flags = t->flags;
        return put_user_at(r, argument);
      }
      case kSetPersist: t->persist = argument != 0; return 0;
      case kSetOwner: t->owner = static_cast<u32>(argument); return 0;
      case kSetGroup: t->group = static_cast<u32>(argument); return 0;
      case kSetOffload: return set_offload(t, argument);
      case kGetSndbuf: return put_user_at<s32>(0x7fffffff, argument);
      case kSetSndbuf: return 0;
      case kGetVnetHdrSize: return put_user_at(t->vnet_header, argument);
      case kSetVnetHdrSize: {
        u32 size;
        TRY_INT(get_user_at(size, argument));
        if (size < sizeof(virtio_net_hdr) || size > 64) return -EINVAL;
        t->vnet_header = size;
        return 0;
      }
      case kSetLink:
        if (netif_running(t->dev)) return -EBUSY;
        t->dev->type = static_cast<u16>(argument);
        return 0;
      default: return -ENOTTY;
    }
  }
};
constinit const TunFileOps tun_file_ops{};

void tun_init() {
  constexpr u32 kMiscMajor = 10, kTunMinor = 200;
  register_chrdev(kMiscMajor, kTunMinor, 1, "tun", &tun_file_ops);
  devtmpfs_create("net/tun", S_IFCHR | 0666, make_dev(kMiscMajor, kTunMinor));
  rtnl_link_register(&tun_link_ops);
}
DEVICE_INITCALL(tun_init);

}  // namespace
}  // namespace xm::os
