// SPDX-License-Identifier: GPL-2.0-or-later
// Network devices and the way of packets between them and the protocols: receive by NAPI, netif_receive_skb and the
// table of packet types; transmit by dev_queue_xmit, a qdisc and ndo_start_xmit.
//
// Contexts: ndo_open, ndo_stop and all changes of a device hold the rtnl mutex. Receive and transmit run in softirq
// context or with bottom halves off. Device lists are read under net_read_lock() (a read-copy-update stand-in: readers
// never wait for each other, and unregister_netdevice returns only when none is left).
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/net/byteorder.h"
#include "kernel/net/skbuff.h"
#include "kernel/sched/softirq.h"
#include "kernel/time/timer.h"

namespace xm::os {

constexpr u32 kIfNameSize = 16, kMaxAddrLen = 32, kEthAlen = 6, kEthHlen = 14;

enum : u16 {  // EtherTypes, host order
  ETH_P_ALL = 0x0003,
  ETH_P_IP = 0x0800,
  ETH_P_ARP = 0x0806,
  ETH_P_8021Q = 0x8100,
  ETH_P_IPV6 = 0x86DD
};
enum : u32 {  // netdev features
  NETIF_F_SG = 1,
  NETIF_F_HW_CSUM = 2,
  NETIF_F_RXCSUM = 4,
  NETIF_F_TSO = 8,
  NETIF_F_TSO6 = 16,
  NETIF_F_GSO = 32,
  NETIF_F_GRO = 64,
  NETIF_F_HIGHDMA = 128,
  NETIF_F_VLAN_TX = 256,
  NETIF_F_LLTX = 512
};
enum : u32 {  // flags [man 7 netdevice]
  IFF_UP = 1,
  IFF_BROADCAST = 2,
  IFF_LOOPBACK = 8,
  IFF_POINTOPOINT = 0x10,
  IFF_RUNNING = 0x40,
  IFF_NOARP = 0x80,
  IFF_PROMISC = 0x100,
  IFF_ALLMULTI = 0x200,
  IFF_MULTICAST = 0x1000,
  IFF_LOWER_UP = 0x10000
};
enum : u16 { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772, ARPHRD_NONE = 0xFFFE };
enum NetdevTx : int { NETDEV_TX_OK = 0, NETDEV_TX_BUSY = 16 };

struct ethhdr {
  u8 h_dest[kEthAlen], h_source[kEthAlen];
  u16 h_proto;
} __attribute__((packed));

struct rtnl_link_stats64 {
  u64 rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped, multicast, collisions,
      rx_length_errors, rx_over_errors, rx_crc_errors, rx_frame_errors, rx_fifo_errors, rx_missed_errors,
      tx_aborted_errors, tx_carrier_errors, tx_fifo_errors, tx_heartbeat_errors, tx_window_errors, rx_compressed,
      tx_compressed, rx_nohandler;
};

struct in_device;  // IPv4 addresses and settings, net/ipv4/devinet
struct inet6_dev;  // net/ipv6/addrconf
struct Qdisc;
struct net_device;
struct rtnl_link_ops;

struct napi_struct {
  list_head poll_list;
  net_device* dev = nullptr;
  int (*poll)(napi_struct*, int budget) = nullptr;  // packets done; fewer than budget: called napi_complete_done
  int weight = 64;
  Atomic<u32> state{0};  // bit 0: scheduled, bit 1: disabled
  sk_buff* gro_list = nullptr;
  u32 gro_count = 0;
};
void netif_napi_add(net_device* dev, napi_struct* n, int (*poll)(napi_struct*, int));
void napi_enable(napi_struct* n);
void napi_disable(napi_struct* n);   // waits for a poll that runs
bool napi_schedule(napi_struct* n);  // from the interrupt handler: raises NET_RX_SOFTIRQ. false: was scheduled
bool napi_complete_done(napi_struct* n, int done);
void napi_gro_receive(napi_struct* n, sk_buff* skb);  // may join TCP segments; consumes the skb

enum NetdevEvent : u32 {
  NETDEV_REGISTER,
  NETDEV_UNREGISTER,
  NETDEV_UP,
  NETDEV_GOING_DOWN,
  NETDEV_DOWN,
  NETDEV_CHANGE,
  NETDEV_CHANGEADDR,
  NETDEV_CHANGEMTU,
  NETDEV_CHANGENAME
};

struct net_device_ops {
  virtual int ndo_open(net_device*) const { return 0; }
  virtual int ndo_stop(net_device*) const { return 0; }
  // Consumes the skb unless it answers NETDEV_TX_BUSY. The queue's lock is held unless NETIF_F_LLTX.
  virtual NetdevTx ndo_start_xmit(sk_buff* skb, net_device*) const = 0;
  virtual int ndo_set_mac_address(net_device*, const u8* address) const;  // default: stores it
  virtual void ndo_set_rx_mode(net_device*) const {}                      // promiscuous and multicast changed
  virtual int ndo_change_mtu(net_device*, u32 mtu) const;
  virtual void ndo_get_stats64(net_device*, rtnl_link_stats64* stats) const;
  virtual int ndo_add_slave(net_device*, net_device* /*port*/) const;  // -EOPNOTSUPP
  virtual int ndo_del_slave(net_device*, net_device* /*port*/) const;
  virtual long ndo_ioctl(net_device*, u32 /*command*/, void* /*ifreq*/) const;
  virtual void ndo_free(net_device*) const {}  // last reference gone
};
// Link-layer header: eth_header_ops for Ethernet; null for devices without one.
struct header_ops {
  virtual int create(sk_buff*, net_device*, u16 type, const void* daddr, const void* saddr, u32 length) const = 0;
  virtual int parse(const sk_buff*, u8* haddr) const = 0;
};
extern const header_ops* const eth_header_ops;
u16 eth_type_trans(sk_buff* skb, net_device* dev);  // sets pkt_type, pulls the header, returns the protocol
inline bool is_multicast_ether_addr(const u8* a) { return (a[0] & 1) != 0; }
inline bool is_zero_ether_addr(const u8* a) { return (a[0] | a[1] | a[2] | a[3] | a[4] | a[5]) == 0; }
inline bool is_valid_ether_addr(const u8* a) { return !is_multicast_ether_addr(a) && !is_zero_ether_addr(a); }
inline bool ether_addr_equal(const u8* a, const u8* b) { return memcmp(a, b, kEthAlen) == 0; }
void eth_random_addr(u8* address);

struct netdev_hw_addr {  // an entry of mc_list
  list_head list;
  u8 addr[kMaxAddrLen] = {};
  u32 refcount = 1;
};
struct netdev_queue {
  net_device* dev = nullptr;
  spinlock_t xmit_lock{LockRank::Xmit};
  bool stopped = false;
  bool xmit_more = false;  // another packet follows at once: the driver may put the doorbell off
  Qdisc* qdisc = nullptr;
};

using rx_handler_func = bool (*)(sk_buff** skb);  // true: consumed. A bridge port's or VLAN parent's way in.

struct net_device {
  char name[kIfNameSize] = {};
  int ifindex = 0;
  u32 flags = 0, features = 0;
  u16 type = ARPHRD_ETHER;
  u16 hard_header_len = kEthHlen;
  u32 mtu = 1500, min_mtu = 68, max_mtu = 1500, tx_queue_len = 1000;
  u8 addr_len = kEthAlen;
  u8 dev_addr[kMaxAddrLen] = {}, broadcast[kMaxAddrLen] = {};
  u32 promiscuity = 0, allmulti = 0;
  u32 user_flags = 0;  // IFF_PROMISC and IFF_ALLMULTI as user space set them
  bool carrier = true, registered = false;
  u32 carrier_changes = 0;
  const net_device_ops* ops = nullptr;
  const header_ops* header = nullptr;
  const rtnl_link_ops* link_ops = nullptr;  // "veth", "bridge", "vlan", "tun": made by `ip link add`
  in_device* ip_ptr = nullptr;
  inet6_dev* ip6_ptr = nullptr;
  u32 real_num_tx_queues = 1;
  netdev_queue tx[8];
  Qdisc* qdisc = nullptr;  // root
  rx_handler_func rx_handler = nullptr;
  void* rx_handler_data = nullptr;
  net_device* master = nullptr;  // bridge it is a port of
  int link = 0;                  // ifindex of the lower or peer device, 0: none
  rtnl_link_stats64 stats{};     // changed with per-device atomics or under the queue's lock
  list_head dev_list;
  list_head mc_list;  // multicast addresses, netdev_hw_addr; under addr_lock
  spinlock_t addr_lock{LockRank::NetDevice};
  Atomic<s32> refcnt{1};
  u64 group = 0;
  char ifalias[64] = {};
  char qdisc_name[16] = "noqueue";
  char sysfs_name[kIfNameSize] = {};  // its directory in /sys/class/net
  const char* driver = "";            // for ethtool
  u32 hw_features = 0;                // what may be switched on
  work_struct carrier_work;
  void* priv = nullptr;  // the driver's
};
inline void dev_hold(net_device* d) { d->refcnt.inc(); }
void dev_put(net_device* d);

void rtnl_lock();
void rtnl_unlock();
bool rtnl_is_locked();  // by the caller
void net_read_lock();   // bottom halves off
void net_read_unlock();
void synchronize_net();                                      // waits until all readers that were inside have left
void for_each_cpu_in_turn(void (*work)(void*), void* data);  // runs `work` in this task on every processor

net_device* alloc_netdev(const char* name_pattern, u32 priv_size);  // "eth%d"; zeroed priv
void free_netdev(net_device* dev);                                  // one that was never registered
void ether_setup(net_device* dev);
int register_netdev(net_device* dev);  // takes rtnl
int register_netdevice(net_device* dev);
void unregister_netdevice(net_device* dev);
net_device* dev_get_by_name(const char* name);  // referenced
net_device* dev_get_by_index(int ifindex);      // referenced
extern list_head dev_base;                      // all devices by dev_list, in order of ifindex
int dev_open(net_device* dev);
void dev_close(net_device* dev);
int dev_change_flags(net_device* dev, u32 flags);
int dev_set_mtu(net_device* dev, u32 mtu);
int dev_set_mac_address(net_device* dev, const u8* address);
int dev_change_name(net_device* dev, const char* name);
int dev_set_promiscuity(net_device* dev, int change);
int dev_set_allmulti(net_device* dev, int change);
int dev_mc_add(net_device* dev, const u8* address);
int dev_mc_del(net_device* dev, const u8* address);
void dev_notify(NetdevEvent event, net_device* dev);
void netif_carrier_on(net_device* dev);
void netif_carrier_off(net_device* dev);
inline bool netif_running(const net_device* dev) { return (dev->flags & IFF_UP) != 0; }
u32 dev_get_flags(const net_device* dev);  // with IFF_RUNNING and IFF_LOWER_UP

// Sending: the skb has its link-layer header. Consumed in every case; 0, or a negative errno, or NET_XMIT_DROP.
constexpr int NET_XMIT_SUCCESS = 0, NET_XMIT_DROP = 1, NET_XMIT_CN = 2;
int dev_queue_xmit(sk_buff* skb);
// The end of a packet while locks of the way out are held, or in an interrupt: its destructor, which may end a socket,
// runs later in NET_TX_SOFTIRQ.
void dev_consume_skb_any(sk_buff* skb);
void dev_kfree_skb_any(sk_buff* skb, SkbDropReason why);
void netif_stop_queue(net_device* dev, u32 queue = 0);
void netif_wake_queue(net_device* dev, u32 queue = 0);
// Receiving.
int netif_rx(sk_buff* skb);           // from any context: to this processor's backlog
int netif_receive_skb(sk_buff* skb);  // softirq: taps, rx_handler, then the protocol
int netdev_rx_handler_register(net_device* dev, rx_handler_func handler, void* data);  // -EBUSY: has one
void netdev_rx_handler_unregister(net_device* dev);
void skb_scrub_packet(sk_buff* skb);  // forgets where it was before it came to another device
// While somebody wants receive times (SO_TIMESTAMP, packet sockets), every packet is stamped.
void net_enable_timestamp();
void net_disable_timestamp();
// dev_queue_xmit's last steps, for qdiscs: what the device cannot do is done here (segments, checksum, linear data),
// taps see the packets, ndo_start_xmit gets them. Returns NETDEV_TX_OK or NETDEV_TX_BUSY; *skb is what was not taken.
sk_buff* validate_xmit_skb(sk_buff* skb, net_device* dev);
NetdevTx dev_hard_start_xmit(sk_buff** skb, net_device* dev, netdev_queue* queue);
// Segmentation of TCP receive: napi_gro_receive keeps segments in n->gro_list until one does not fit.
void napi_gro_flush(napi_struct* n);
struct softnet_counters {  // of one processor, /proc/net/softnet_stat
  u64 processed, dropped, time_squeeze;
};
extern softnet_counters softnet_stats[kMaxCpus];
// 802.1Q, when present: gives a tagged packet to its VLAN device (true: go on with the new skb->dev).
using vlan_receive_func = bool (*)(sk_buff** skb);
extern vlan_receive_func vlan_do_receive;
inline void netdev_count(u64& counter, u64 n = 1) { __atomic_fetch_add(&counter, n, __ATOMIC_RELAXED); }

struct packet_type {
  u16 type = 0;               // ETH_P_*, host order; ETH_P_ALL: a tap that sees sent packets too
  net_device* dev = nullptr;  // only packets of this device
  int (*func)(sk_buff* skb, net_device* dev, packet_type* pt, net_device* orig) = nullptr;  // consumes
  void* af_packet_priv = nullptr;
  list_head list;
};
void dev_add_pack(packet_type* pt);
void dev_remove_pack(packet_type* pt);

// Told of changes of devices and addresses.
struct notifier_block {
  void (*call)(NetdevEvent event, net_device* dev) = nullptr;
  list_head list;
};
void register_netdevice_notifier(notifier_block* nb);

// A kind of device that `ip link add type KIND` makes. `data` points to the IFLA_INFO_DATA attributes or is null.
struct nlattr;
struct rtnl_link_ops {
  const char* kind;
  u32 priv_size;
  void (*setup)(net_device* dev);
  int (*newlink)(net_device* dev, const nlattr* tb[], const nlattr* data, u32 data_length);
  int (*changelink)(net_device* dev, const nlattr* data, u32 data_length);
  void (*dellink)(net_device* dev);
  int (*fill_info)(sk_buff* skb, const net_device* dev);
  int (*slave_changelink)(net_device* master, net_device* port, const nlattr* data, u32 data_length);
  list_head list;
};
int rtnl_link_register(rtnl_link_ops* ops);

long dev_ioctl(u32 command, u64 argument);  // -ENOIOCTLCMD: not about devices
void net_dev_init();
void dev_queues_init();  // softirqs and backlogs
void dev_flush_backlogs(net_device* dev);
void dev_activate(net_device* dev);  // its qdiscs
void dev_deactivate(net_device* dev);
void dev_release_qdiscs(net_device* dev);
void loopback_init();
void assert_rtnl();

}  // namespace xm::os
