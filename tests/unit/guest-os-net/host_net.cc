// SPDX-License-Identifier: GPL-2.0-or-later
// The world around the guest's network stack, on the host: memory from malloc (pages from an arena), a clock and timers
// that a test moves, devices that keep what is sent. Blocking is an error: tests use non-blocking calls.
#include "tests/unit/guest-os-net/host_net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <map>

#include "kernel/fs/proc/proc.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/net/inetdevice.h"
#include "kernel/net/neighbour.h"
#include "kernel/net/route.h"
#include "kernel/net/sock.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_info.h"
#include "kernel/net/udp.h"

namespace xm::os {

// --- memory ---
u64 kDirectMap = 0;
page* mem_map = nullptr;
pfn_t max_pfn = 0;
namespace {
constexpr u64 kArenaPages = 65536;
std::map<u32, std::vector<page*>> free_blocks;
u64 next_page = 0;
size_t live_skbs = 0;
}  // namespace

void* kmalloc(size_t size, gfp_t gfp) { return (gfp & GFP_ZERO) != 0 ? calloc(1, size) : malloc(size); }
void kfree(const void* p) { free(const_cast<void*>(p)); }
void* vmalloc(size_t size) { return calloc(1, size); }
void vfree(const void* p) { free(const_cast<void*>(p)); }
size_t ksize(const void*) { return 0; }
kmem_cache* kmem_cache_create(const char* name, u32 size, u32) {
  kmem_cache* c = new kmem_cache{};
  snprintf(c->name, sizeof c->name, "%s", name);
  c->object_size = size;
  return c;
}
void* kmem_cache_alloc(kmem_cache* c, gfp_t) {
  if (c->object_size == sizeof(sk_buff)) ++live_skbs;
  return malloc(c->object_size);
}
void kmem_cache_free(kmem_cache* c, void* p) {
  if (c->object_size == sizeof(sk_buff)) --live_skbs;
  free(p);
}
page* alloc_pages(gfp_t, u32 order) {
  page* p;
  if (!free_blocks[order].empty()) {
    p = free_blocks[order].back();
    free_blocks[order].pop_back();
  } else {
    const u64 n = 1ul << order;
    next_page = (next_page + n - 1) & ~(n - 1);
    if (next_page + n > kArenaPages) return nullptr;
    p = mem_map + next_page;
    next_page += n;
  }
  p->private_ = order;
  p->refcount.store(1);
  return p;
}
void put_page(page* p) {
  if (p->refcount.dec_and_test()) free_blocks[static_cast<u32>(p->private_)].push_back(p);
}
u64 total_ram_pages() { return kArenaPages; }

// --- tasks, user memory ---
task_struct* host_current = nullptr;
namespace {
cred host_cred;
}
const cred* current_cred() { return &host_cred; }
bool capable(Capability) { return true; }
u64 copy_to_user_partial(void* to, const void* from, u64 n) {
  memcpy(to, from, n);
  return 0;
}
u64 copy_from_user_partial(void* to, const void* from, u64 n) {
  memcpy(to, from, n);
  return 0;
}
long strncpy_from_user(char* to, const char* from, size_t size) {
  snprintf(to, size, "%s", from);
  return static_cast<long>(strlen(to));
}
bool signal_pending_current() { return false; }
bool fatal_signal_pending_current() { return false; }
void wake_up_nr(wait_queue_head&, int, u32) {}
void prepare_to_wait(wait_queue_head&, wait_queue_entry*, u32, bool) {}
void finish_wait(wait_queue_head&, wait_queue_entry*) {}
bool default_wake(wait_queue_entry*, u32) { return false; }
void schedule() { panic("a host test would block"); }
bool schedule_hrtimeout(u64) { panic("a host test would block"); }
void mutex_lock_slow(mutex&) { panic("a host test would block"); }
int printk(const char*, ...) { return 0; }
void panic(const char* format, ...) {
  va_list a;
  va_start(a, format);
  vfprintf(stderr, format, a);
  va_end(a);
  fputc('\n', stderr);
  abort();
}

// --- time ---
namespace {
u64 clock_ns = 1000000000000;
std::vector<hrtimer*> timers;
u32 pending_softirqs = 0;
void (*softirq_actions[NR_SOFTIRQS])() = {};
int bh_depth = 0;
bool in_softirq = false;
void run_softirqs() {
  if (in_softirq || bh_depth > 0) return;
  in_softirq = true;
  while (pending_softirqs != 0) {
    const u32 p = pending_softirqs;
    pending_softirqs = 0;
    for (u32 i = 0; i < NR_SOFTIRQS; ++i)
      if ((p >> i & 1) != 0 && softirq_actions[i] != nullptr) softirq_actions[i]();
  }
  in_softirq = false;
}
}  // namespace
u64 ktime_get() { return clock_ns; }
u64 ktime_get_real() { return clock_ns + 1700000000ul * kNsPerSec; }
bool hrtimer_cancel(hrtimer* t) {
  const bool was = t->queued;
  t->queued = false;
  std::erase(timers, t);
  return was;
}
void hrtimer_start(hrtimer* t, u64 expires) {
  hrtimer_cancel(t);
  t->expires = expires;
  t->queued = true;
  timers.push_back(t);
}
void open_softirq(Softirq nr, void (*action)()) { softirq_actions[nr] = action; }
void raise_softirq(Softirq nr) { pending_softirqs |= 1u << nr; }
void local_bh_disable() { ++bh_depth; }
void local_bh_enable() {
  if (--bh_depth == 0) run_softirqs();
}

// --- random, proc ---
namespace {
u64 random_state = 0x123456789abcdef;
std::map<std::string, proc_number*> numbers;
}  // namespace
u64 get_random_u64() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}
void get_random_bytes(void* to, size_t n) {
  for (size_t i = 0; i < n; ++i) static_cast<u8*>(to)[i] = static_cast<u8>(get_random_u64() >> 32);
}
proc_dir_entry proc_root, sysfs_root;
proc_dir_entry* proc_create(proc_dir_entry*, const char*, umode_t, proc_show_t, proc_store_t, void*) { return nullptr; }
void proc_create_number(const char* path, umode_t, proc_number* n) { numbers[path] = n; }

// --- sockets above ---
namespace {
const net_proto_family* inet_family_ptr = nullptr;
}
int sock_register(const net_proto_family* f) {
  if (f->family == AF_INET) inet_family_ptr = f;
  return 0;
}
int sock_error(sock* sk) { return sk->sk_err.load() == 0 ? 0 : -sk->sk_err.exchange(0); }
u64 sock_deadline(u64 timeout) { return timeout == kNoTimeout ? 0 : ktime_get() + timeout; }
int put_option(u64 user, u64 user_length, const void* value, u32 length) {
  const u32 n = min(*reinterpret_cast<u32*>(user_length), length);
  memcpy(reinterpret_cast<void*>(user), value, n);
  *reinterpret_cast<u32*>(user_length) = n;
  return 0;
}
void put_cmsg(msghdr&, int, int, const void*, u32) {}
const cmsghdr* next_cmsg(const msghdr&, u64&, int* error) {
  *error = 0;
  return nullptr;
}

// --- devices ---
list_head dev_base;
namespace {
struct HostDevice {
  std::vector<hostnet::Bytes> sent;
};
std::map<int, HostDevice> host_devices;
std::vector<sk_buff*> backlog;
notifier_block* notifiers[8];
u32 nr_notifiers = 0;
packet_type* ip_packets = nullptr;
bool gso_allowed = false;
bool rtnl = false;

void net_rx() {
  for (size_t i = 0; i < backlog.size(); ++i) {
    sk_buff* skb = backlog[i];
    skb->skb_iif = static_cast<u32>(skb->dev->ifindex);
    skb_reset_network_header(skb);
    skb_reset_transport_header(skb);
    ip_packets->func(skb, skb->dev, ip_packets, skb->dev);
  }
  backlog.clear();
}

void keep(sk_buff* skb, net_device* dev) {
  if (skb->ip_summed == CHECKSUM_PARTIAL && !skb_is_gso(skb)) skb_checksum_help(skb);
  hostnet::Bytes bytes(skb->len);
  skb_copy_bits(skb, 0, bytes.data(), skb->len);
  host_devices[dev->ifindex].sent.push_back(std::move(bytes));
  consume_skb(skb);
}
}  // namespace

int netif_rx(sk_buff* skb) {
  backlog.push_back(skb);
  raise_softirq(NET_RX_SOFTIRQ);
  run_softirqs();
  return 0;
}

int dev_queue_xmit(sk_buff* skb) {
  net_device* dev = skb->dev;
  if ((dev->flags & IFF_LOOPBACK) != 0) {
    skb_orphan(skb);
    skb_pull(skb, kEthHlen);
    skb->pkt_type = PACKET_HOST;
    return netif_rx(skb);
  }
  if (!skb_is_gso(skb) || gso_allowed) {
    keep(skb, dev);
    return 0;
  }
  sk_buff* segments = skb_gso_segment(skb);
  consume_skb(skb);
  while (segments != nullptr) {
    sk_buff* next = segments->next;
    segments->next = nullptr;
    keep(segments, dev);
    segments = next;
  }
  return 0;
}

void rtnl_lock() { rtnl = true; }
void rtnl_unlock() { rtnl = false; }
void net_read_lock() { ++bh_depth; }
void net_read_unlock() { --bh_depth; }
void synchronize_net() {}
void register_netdevice_notifier(notifier_block* nb) {
  notifiers[nr_notifiers++] = nb;
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    nb->call(NETDEV_REGISTER, d);
    if (netif_running(d)) nb->call(NETDEV_UP, d);
  }
}
void dev_add_pack(packet_type* pt) { ip_packets = pt; }
net_device* dev_get_by_index(int ifindex) {
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (d->ifindex == ifindex) {
      dev_hold(d);
      return d;
    }
  }
  return nullptr;
}
net_device* dev_get_by_name(const char* name) {
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (strcmp(d->name, name) == 0) {
      dev_hold(d);
      return d;
    }
  }
  return nullptr;
}
void dev_put(net_device* d) { d->refcnt.sub(1); }
u32 dev_get_flags(const net_device* d) { return d->flags; }
int dev_change_flags(net_device* d, u32 flags) {
  d->flags = flags;
  return 0;
}
int dev_mc_add(net_device*, const u8*) { return 0; }
int dev_mc_del(net_device*, const u8*) { return 0; }
void nf_conntrack_get(nf_conn*) {}
void nf_conntrack_put(nf_conn*) {}
neigh_table arp_tbl{};
neighbour* neigh_lookup(neigh_table*, const void*, net_device*) { return nullptr; }
neighbour* neigh_create(neigh_table*, const void*, net_device*) { return nullptr; }
void neigh_destroy(neighbour*) {}
int neigh_output(neighbour*, sk_buff* skb) {
  kfree_skb(skb);
  return 0;
}
void inet_init();
void net_timer_init();

}  // namespace xm::os

namespace hostnet {

using namespace xm::os;

namespace {

net_device* make_device(const char* name, int ifindex, u32 flags) {
  net_device* d = new net_device{};
  snprintf(d->name, sizeof d->name, "%s", name);
  d->ifindex = ifindex;
  d->flags = flags | IFF_UP;
  d->registered = true;
  d->header = nullptr;
  d->mtu = (flags & IFF_LOOPBACK) != 0 ? 65536 : 1500;
  list_add_tail(&d->dev_list, &dev_base);
  return d;
}
std::vector<xm::os::socket*> sockets;
int keep_socket(xm::os::socket* s) {
  sockets.push_back(s);
  return static_cast<int>(sockets.size()) - 1;
}
sockaddr_storage address_of(u32 address, u16 port) {
  sockaddr_storage a{};
  sockaddr_in sin{AF_INET, htons(port), htonl(address), {}};
  memcpy(&a, &sin, sizeof sin);
  return a;
}

}  // namespace

void start() {
  static bool started = false;
  if (started) return;
  started = true;
  void* memory = aligned_alloc(kPageSize << 3, kArenaPages * kPageSize);
  kDirectMap = reinterpret_cast<u64>(memory);
  mem_map = new page[kArenaPages];
  max_pfn = kArenaPages;
  dev_base.init();
  skb_init();
  net_timer_init();
  open_softirq(NET_RX_SOFTIRQ, net_rx);
  make_device("lo", 1, IFF_LOOPBACK);
  inet_init();
}

int add_device(const char* name, uint32_t address, int prefix) {
  static int next = 2;
  net_device* d = make_device(name, next++, IFF_BROADCAST | IFF_MULTICAST);
  for (u32 i = 0; i < nr_notifiers; ++i) notifiers[i]->call(NETDEV_REGISTER, d);
  in_ifaddr* ifa = inet_alloc_ifa();
  ifa->ifa_local = ifa->ifa_address = htonl(address);
  ifa->ifa_prefixlen = static_cast<u8>(prefix);
  ifa->ifa_mask = inet_make_mask(static_cast<u32>(prefix));
  ifa->ifa_broadcast = ifa->ifa_address | ~ifa->ifa_mask;
  inet_insert_ifa(d->ip_ptr, ifa);
  for (u32 i = 0; i < nr_notifiers; ++i) notifiers[i]->call(NETDEV_UP, d);
  sent(d->ifindex);
  return d->ifindex;
}
void set_mtu(int ifindex, uint32_t mtu) {
  net_device* d = dev_get_by_index(ifindex);
  d->mtu = mtu;
  for (u32 i = 0; i < nr_notifiers; ++i) notifiers[i]->call(NETDEV_CHANGEMTU, d);
}
void set_gso(bool on) { gso_allowed = on; }

uint64_t now_ns() { return clock_ns; }
void advance_ms(double ms) {
  const u64 end = clock_ns + static_cast<u64>(ms * 1e6);
  for (;;) {
    hrtimer* first = nullptr;
    for (hrtimer* t : timers)
      if (t->expires <= end && (first == nullptr || t->expires < first->expires)) first = t;
    if (first == nullptr) break;
    clock_ns = max(clock_ns, first->expires);
    hrtimer_cancel(first);
    const u64 next = first->function(first);
    if (next != 0 && !first->queued) hrtimer_start(first, next);
    run_softirqs();
  }
  clock_ns = end;
}
std::vector<Bytes> sent(int ifindex) {
  std::vector<Bytes> out;
  out.swap(host_devices[ifindex].sent);
  return out;
}
void inject(int ifindex, const Bytes& packet) {
  net_device* d = dev_get_by_index(ifindex);
  sk_buff* skb = alloc_skb(static_cast<u32>(packet.size()) + 128, GFP_ATOMIC);
  skb_reserve(skb, 128);
  memcpy(skb_put(skb, static_cast<u32>(packet.size())), packet.data(), packet.size());
  skb->dev = d;
  skb->protocol = htons(ETH_P_IP);
  netif_rx(skb);
}

int route_add(uint32_t prefix, int length, uint32_t gateway, int oif, uint32_t priority, uint32_t table) {
  fib_config c;
  c.fc_dst = htonl(prefix);
  c.fc_dst_len = static_cast<u8>(length);
  c.fc_gw = htonl(gateway);
  c.fc_oif = oif;
  c.fc_priority = priority;
  c.fc_table = table;
  c.fc_scope = gateway != 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  c.fc_nlflags = NLM_F_CREATE | NLM_F_EXCL;
  return fib_table_insert(fib_new_table(table), &c);
}
int route_delete(uint32_t prefix, int length, uint32_t gateway, int oif, uint32_t table) {
  fib_config c;
  c.fc_dst = htonl(prefix);
  c.fc_dst_len = static_cast<u8>(length);
  c.fc_gw = htonl(gateway);
  c.fc_oif = oif;
  c.fc_scope = RT_SCOPE_NOWHERE;
  c.fc_type = 0;
  c.fc_protocol = 0;
  return fib_table_delete(fib_new_table(table), &c);
}
Lookup lookup(uint32_t destination) {
  flowi4 fl;
  fl.daddr = htonl(destination);
  fib_result res;
  const int error = fib_lookup(&fl, &res);
  if (error != 0) return {error, 0, 0, 0, 0};
  const fib_nh& nh = res.fi->nh()[res.nh_sel];
  flowi4 full;
  full.daddr = htonl(destination);
  const auto rt = ip_route_output_key(&full);
  if (rt.ok()) ip_rt_put(rt.value());
  return {rt.ok() ? 0 : -rt.error(), nh.nh_oif, ntohl(nh.nh_gw), ntohl(full.saddr), res.prefixlen};
}

int socket(int type, int protocol) {
  xm::os::socket* s = new xm::os::socket;
  s->type = type;
  if (const int error = inet_family_ptr->create(s, protocol); error != 0) {
    delete s;
    return error;
  }
  return keep_socket(s);
}
int bind(int fd, uint32_t address, uint16_t port) {
  return sockets[fd]->ops->bind(sockets[fd], address_of(address, port), sizeof(sockaddr_in));
}
int listen(int fd, int backlog) { return sockets[fd]->ops->listen(sockets[fd], backlog); }
int connect(int fd, uint32_t address, uint16_t port) {
  return sockets[fd]->ops->connect(sockets[fd], address_of(address, port), sizeof(sockaddr_in), O_NONBLOCK);
}
int accept(int fd) {
  xm::os::socket* s = new xm::os::socket;
  s->type = sockets[fd]->type;
  s->ops = sockets[fd]->ops;
  const int error = sockets[fd]->ops->accept(sockets[fd], s, O_NONBLOCK);
  if (error == 0) return keep_socket(s);
  delete s;
  return error;
}
long send(int fd, const Bytes& data, uint32_t flags) {
  iov_iter it = iov_iter::kernel(const_cast<uint8_t*>(data.data()), data.size());
  xm::os::msghdr m;
  m.iter = &it;
  m.flags = flags | MSG_DONTWAIT;
  return sockets[fd]->ops->sendmsg(sockets[fd], m);
}
long sendto(int fd, const Bytes& data, uint32_t address, uint16_t port) {
  iov_iter it = iov_iter::kernel(const_cast<uint8_t*>(data.data()), data.size());
  xm::os::msghdr m;
  sockaddr_storage a = address_of(address, port);
  m.name = &a;
  m.name_len = sizeof(sockaddr_in);
  m.iter = &it;
  m.flags = MSG_DONTWAIT;
  return sockets[fd]->ops->sendmsg(sockets[fd], m);
}
long recv(int fd, size_t room, Bytes* data, uint32_t flags) {
  data->assign(room, 0);
  iov_iter it = iov_iter::kernel(data->data(), room);
  xm::os::msghdr m;
  m.iter = &it;
  m.flags = flags | MSG_DONTWAIT;
  const long n = sockets[fd]->ops->recvmsg(sockets[fd], m);
  data->resize(n > 0 ? static_cast<size_t>(n) : 0);
  return n;
}
int shutdown(int fd, int how) { return sockets[fd]->ops->shutdown(sockets[fd], how); }
void close(int fd) {
  sockets[fd]->ops->release(sockets[fd]);
  delete sockets[fd];
  sockets[fd] = nullptr;
}
int setsockopt(int fd, int level, int name, int value) {
  if (level == 1) {
    sock* sk = sockets[fd]->sk;
    if (name == SO_REUSEADDR) sk->sk_reuseaddr = value != 0;
    if (name == SO_REUSEPORT) sk->sk_reuseport = value != 0;
    if (name == SO_RCVBUF) {
      sk->sk_rcvbuf = static_cast<u32>(2 * value);
      sk->sk_userlocks |= SOCK_RCVBUF_LOCK;
    }
    if (name == SO_LINGER) sk->sk_linger = value;
    if (name == SO_KEEPALIVE) {
      sk->sk_keepalive = value != 0;
      sk->sk_prot->keepalive(sk, value != 0);
    }
    return 0;
  }
  return sockets[fd]->ops->setsockopt(sockets[fd], level, name, reinterpret_cast<u64>(&value), sizeof value);
}
int getsockopt(int fd, int level, int name) {
  int value = 0, length = sizeof value;
  if (level == 1) return -sock_error(sockets[fd]->sk);
  const int error = sockets[fd]->ops->getsockopt(sockets[fd], level, name, reinterpret_cast<u64>(&value), length,
                                                 reinterpret_cast<u64>(&length));
  return error != 0 ? error : value;
}
uint32_t poll(int fd) { return sockets[fd]->ops->poll(nullptr, sockets[fd], nullptr); }
TcpInfo info(int fd) {
  const tcp_sock* t = tcp_sk(sockets[fd]->sk);
  return {t->sk_state,     t->icsk_ca_state, t->snd_cwnd,    t->snd_ssthresh,  t->packets_out,
          t->sacked_out,   t->lost_out,      t->retrans_out, t->total_retrans, static_cast<u32>(t->icsk_rto / 1000),
          t->srtt_us >> 3, t->snd_wnd,       t->snd_nxt,     t->rcv_nxt,       tcp_receive_window(t)};
}

namespace {
#define X(name) {#name, &linux_stats[LINUX_MIB_##name]},
std::map<std::string, u64*> counters() {
  std::map<std::string, u64*> m{XM_TCPEXT_MIB(X)};
#undef X
#define X(name) {"Tcp" #name, &tcp_stats[TCP_MIB_##name]},
  m.insert({XM_TCP_MIB(X)});
#undef X
#define X(name) {"Ip" #name, &ip_stats[IPSTATS_##name]},
  m.insert({XM_IP_MIB(X)});
#undef X
#define X(name) {"Icmp" #name, &icmp_stats[ICMP_MIB_##name]},
  m.insert({XM_ICMP_MIB(X)});
#undef X
#define X(name) {"Udp" #name, &udp_stats[UDP_MIB_##name]},
  m.insert({XM_UDP_MIB(X)});
#undef X
  return m;
}
}  // namespace
uint64_t counter(const char* name) {
  static const auto all = counters();
  return *all.at(name);
}
void sysctl(const char* name, int64_t value) { *numbers.at(std::string("sys/net/ipv4/") + name)->value = value; }
int sockets_alive() { return sockets_allocated.load(); }
size_t skbs_alive() { return live_skbs; }

}  // namespace hostnet
