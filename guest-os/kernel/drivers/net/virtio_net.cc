// SPDX-License-Identifier: GPL-2.0-or-later
// virtio network device [VIRTIO 1.1: 5.1]: pairs of receive and transmit queues, each pair polled by its own NAPI
// contexts; checksums and segmentation left to the device both ways; receive buffers of one page that large packets
// span (mergeable). GAP: no receive filter (the device starts promiscuous and the stack filters), no RSS, no XDP.
#include "kernel/arch/x86_64/smp.h"
#include "kernel/drivers/virtio.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/skb_walk.h"

namespace xm::os {
namespace {

constexpr u64 VIRTIO_NET_F_CSUM = 1ul << 0, VIRTIO_NET_F_GUEST_CSUM = 1ul << 1, VIRTIO_NET_F_MTU = 1ul << 3,
              VIRTIO_NET_F_MAC = 1ul << 5, VIRTIO_NET_F_GUEST_TSO4 = 1ul << 7, VIRTIO_NET_F_GUEST_TSO6 = 1ul << 8,
              VIRTIO_NET_F_GUEST_ECN = 1ul << 9, VIRTIO_NET_F_HOST_TSO4 = 1ul << 11, VIRTIO_NET_F_HOST_TSO6 = 1ul << 12,
              VIRTIO_NET_F_HOST_ECN = 1ul << 13, VIRTIO_NET_F_MRG_RXBUF = 1ul << 15, VIRTIO_NET_F_STATUS = 1ul << 16,
              VIRTIO_NET_F_CTRL_VQ = 1ul << 17, VIRTIO_NET_F_MQ = 1ul << 22;
constexpr u8 kNeedsCsum = 1, kDataValid = 2;
constexpr u8 kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoUdpL4 = 5, kGsoEcn = 0x80;
constexpr u32 kMaxPairs = 8, kRingLimit = 256;
constexpr u32 kCopyLimit = 1600;  // packets up to this size are copied, and their page goes straight back to the ring
constexpr u32 kHeadCopy = 128;    // of larger ones: the headers

struct virtio_net_hdr {
  u8 flags, gso_type;
  u16 hdr_len, gso_size, csum_start, csum_offset;
  u16 num_buffers;  // only with MRG_RXBUF or VERSION_1
};
static_assert(sizeof(virtio_net_hdr) == 12);

struct Adapter;
struct QueuePair {
  Adapter* adapter = nullptr;
  u32 index = 0;
  virtqueue rx, tx;
  napi_struct rx_napi, tx_napi;
  virtio_net_hdr* tx_headers = nullptr;  // one for each descriptor, by the first of its packet
};
struct Adapter {
  virtio_device virtio;
  net_device* dev = nullptr;
  u32 header_length = 10;
  bool mergeable = false, own_vectors = false;
  u32 pairs = 1, max_pairs = 1;
  QueuePair pair[kMaxPairs];
  virtqueue control;
  u8* control_page = nullptr;
};

bool has(const Adapter* a, u64 feature) { return (a->virtio.features & feature) != 0; }

// --- receive ---
bool post_page(QueuePair* q, page* p) {
  const phys_addr_t at = page_to_phys(p);
  const u32 header = q->adapter->header_length;
  // Without mergeable buffers an old device wants its header in a descriptor of its own.
  const virtio_segment split[2] = {{at, header, true}, {at + header, static_cast<u32>(kPageSize) - header, true}};
  const virtio_segment whole{at, static_cast<u32>(kPageSize), true};
  return q->adapter->mergeable ? virtqueue_add(&q->rx, &whole, 1, p) : virtqueue_add(&q->rx, split, 2, p);
}

void refill(QueuePair* q, gfp_t gfp) {
  const u32 each = q->adapter->mergeable ? 1 : 2;
  bool posted = false;
  while (q->rx.free_count >= each) {
    page* p = alloc_page(gfp);
    if (p == nullptr) break;
    if (!post_page(q, p)) {
      put_page(p);
      break;
    }
    posted = true;
  }
  if (posted) virtqueue_kick(&q->adapter->virtio, &q->rx);
}

// What the device says of checksum and segments; all of it is checked, it may come from another guest.
bool apply_header(sk_buff* skb, const virtio_net_hdr& h) {
  if ((h.flags & kNeedsCsum) != 0) {
    const u32 end = static_cast<u32>(h.csum_start) + h.csum_offset + 2;
    if (!pskb_may_pull(skb, end)) return false;
    skb->ip_summed = CHECKSUM_PARTIAL;
    skb->csum_start = static_cast<u16>(skb_headroom(skb) + h.csum_start);
    skb->csum_offset = h.csum_offset;
  } else if ((h.flags & kDataValid) != 0) {
    skb->ip_summed = CHECKSUM_UNNECESSARY;
  }
  const u8 type = h.gso_type & static_cast<u8>(~kGsoEcn);
  if (type == kGsoNone) return true;
  if (h.gso_size == 0 || (type != kGsoTcp4 && type != kGsoTcp6 && type != kGsoUdpL4)) return false;
  skb_shared_info* info = skb_shinfo(skb);
  info->gso_size = h.gso_size;
  info->gso_segs = 0;
  info->gso_type = type == kGsoTcp4 ? SKB_GSO_TCPV4 : type == kGsoTcp6 ? SKB_GSO_TCPV6 : SKB_GSO_UDP_L4;
  info->gso_type = static_cast<u16>(info->gso_type | SKB_GSO_DODGY);
  if ((h.gso_type & kGsoEcn) != 0) info->gso_type = static_cast<u16>(info->gso_type | SKB_GSO_TCP_ECN);
  return true;
}

void drop_buffers(QueuePair* q, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    page* p = static_cast<page*>(virtqueue_take(&q->rx, nullptr));
    if (p == nullptr) return;
    put_page(p);
  }
}

// The packet that begins in page p; further pages are taken from the ring. Null: dropped.
sk_buff* build_skb(QueuePair* q, page* p, u32 length) {
  Adapter* a = q->adapter;
  const auto* header = static_cast<const virtio_net_hdr*>(page_to_virt(p));
  const u32 more = a->mergeable && header->num_buffers > 0 ? header->num_buffers - 1u : 0;
  const u32 payload = length - a->header_length;
  const u8* bytes = static_cast<const u8*>(page_to_virt(p)) + a->header_length;
  const bool copy_all = more == 0 && payload <= kCopyLimit;
  sk_buff* skb = netdev_alloc_skb(a->dev, copy_all ? payload : kHeadCopy);
  if (skb == nullptr || more >= kMaxSkbFrags) {
    kfree_skb_reason(skb, SKB_DROP_NOMEM);
    if (!post_page(q, p)) put_page(p);
    drop_buffers(q, more);
    netdev_count(a->dev->stats.rx_dropped);
    return nullptr;
  }
  const u32 linear = copy_all ? payload : min(payload, kHeadCopy);
  memcpy(skb_put(skb, linear), bytes, linear);
  if (copy_all) {
    if (!post_page(q, p)) put_page(p);
    return skb;
  }
  if (payload > linear) {
    skb_add_rx_frag(skb, p, a->header_length + linear, payload - linear, kPageSize);
  } else {
    put_page(p);
  }
  for (u32 i = 0; i < more; ++i) {
    u32 n = 0;
    page* next = static_cast<page*>(virtqueue_take(&q->rx, &n));
    if (next == nullptr || n == 0 || n > kPageSize) {  // the device promised more than it gave
      if (next != nullptr) put_page(next);
      netdev_count(a->dev->stats.rx_length_errors);
      kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
      return nullptr;
    }
    skb_add_rx_frag(skb, next, 0, n, kPageSize);
  }
  return skb;
}

void receive_packet(QueuePair* q, page* p, u32 length) {
  net_device* dev = q->adapter->dev;
  if (length < q->adapter->header_length + kEthHlen || length > kPageSize) {
    netdev_count(dev->stats.rx_length_errors);
    if (!post_page(q, p)) put_page(p);
    return;
  }
  virtio_net_hdr header{};
  memcpy(&header, page_to_virt(p), q->adapter->header_length);
  sk_buff* skb = build_skb(q, p, length);
  if (skb == nullptr) return;
  netdev_count(dev->stats.rx_packets);
  netdev_count(dev->stats.rx_bytes, skb->len);
  if (!apply_header(skb, header)) {
    netdev_count(dev->stats.rx_frame_errors);
    kfree_skb_reason(skb, SKB_DROP_DEV_HDR);
    return;
  }
  skb->protocol = eth_type_trans(skb, dev);
  napi_gro_receive(&q->rx_napi, skb);
}

int poll_rx(napi_struct* n, int budget) {
  QueuePair* q = container_of(n, QueuePair, rx_napi);
  int done = 0;
  while (done < budget) {
    u32 length = 0;
    page* p = static_cast<page*>(virtqueue_take(&q->rx, &length));
    if (p == nullptr) break;
    receive_packet(q, p, length);
    ++done;
  }
  if (done > 0) refill(q, GFP_ATOMIC);
  if (done < budget && napi_complete_done(n, done) && !virtqueue_enable_cb(&q->rx)) {
    virtqueue_disable_cb(&q->rx);
    napi_schedule(n);
  }
  return done;
}

// --- transmit ---
u32 free_sent(QueuePair* q) {  // with the queue's xmit_lock
  u32 done = 0;
  while (void* token = virtqueue_take(&q->tx, nullptr)) {
    dev_consume_skb_any(static_cast<sk_buff*>(token));
    ++done;
  }
  return done;
}

bool room_for_packet(const QueuePair* q) { return q->tx.free_count >= kMaxSkbFrags + 2; }

void wake_if_room(QueuePair* q) {
  if (room_for_packet(q)) netif_wake_queue(q->adapter->dev, q->index);
}

int poll_tx(napi_struct* n, int) {
  QueuePair* q = container_of(n, QueuePair, tx_napi);
  netdev_queue* txq = &q->adapter->dev->tx[q->index];
  bool again;
  {
    SpinGuard guard(txq->xmit_lock);
    free_sent(q);
    wake_if_room(q);
    napi_complete_done(n, 0);
    again = !virtqueue_enable_cb_delayed(&q->tx);
    if (again) virtqueue_disable_cb(&q->tx);
  }
  if (again) napi_schedule(n);
  return 0;
}

void fill_header(const sk_buff* skb, virtio_net_hdr* h) {
  *h = {};
  if (skb->ip_summed == CHECKSUM_PARTIAL) {
    h->flags = kNeedsCsum;
    h->csum_start = static_cast<u16>(skb->csum_start - skb_headroom(skb));
    h->csum_offset = skb->csum_offset;
  }
  if (!skb_is_gso(skb)) return;
  const skb_shared_info* info = skb_shinfo(skb);
  h->gso_size = info->gso_size;
  h->gso_type = (info->gso_type & SKB_GSO_TCPV4) != 0 ? kGsoTcp4 : kGsoTcp6;
  if ((info->gso_type & SKB_GSO_TCP_ECN) != 0) h->gso_type |= kGsoEcn;
  const u32 transport = skb_transport_offset(skb);
  h->hdr_len = static_cast<u16>(transport + (skb->data[transport + 12] >> 4) * 4);
}

bool queue_packet(QueuePair* q, sk_buff* skb) {
  virtio_segment segments[kMaxSkbFrags + 2];
  virtio_net_hdr* header = &q->tx_headers[q->tx.free_head];
  fill_header(skb, header);
  u32 n = 0;
  segments[n++] = {virt_to_phys(header), q->adapter->header_length, false};
  if (skb_headlen(skb) > 0) segments[n++] = {virt_to_phys(skb->data), skb_headlen(skb), false};
  const skb_shared_info* info = skb_shinfo(skb);
  for (u32 i = 0; i < info->nr_frags; ++i)
    segments[n++] = {virt_to_phys(skb_frag_address(info->frags[i])), info->frags[i].size, false};
  return virtqueue_add(&q->tx, segments, n, skb);
}

struct VirtioNetOps final : net_device_ops {
  int ndo_open(net_device* dev) const override {
    Adapter* a = static_cast<Adapter*>(dev->priv);
    for (u32 i = 0; i < a->pairs; ++i) {
      QueuePair* q = &a->pair[i];
      refill(q, GFP_KERNEL);
      napi_enable(&q->rx_napi);
      napi_enable(&q->tx_napi);
      local_bh_disable();
      if (!virtqueue_enable_cb(&q->rx)) napi_schedule(&q->rx_napi);
      local_bh_enable();
    }
    return 0;
  }
  int ndo_stop(net_device* dev) const override {
    Adapter* a = static_cast<Adapter*>(dev->priv);
    for (u32 i = 0; i < a->pairs; ++i) {
      napi_disable(&a->pair[i].rx_napi);
      napi_disable(&a->pair[i].tx_napi);
    }
    return 0;
  }
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override {
    QueuePair* q = &static_cast<Adapter*>(dev->priv)->pair[skb->queue_mapping];
    netdev_queue* txq = &dev->tx[q->index];
    free_sent(q);
    const u32 length = skb->len;
    if (!queue_packet(q, skb)) {  // cannot be: the queue is stopped before
      netif_stop_queue(dev, q->index);
      return NETDEV_TX_BUSY;
    }
    netdev_count(dev->stats.tx_packets);
    netdev_count(dev->stats.tx_bytes, length);
    const bool ready = virtqueue_enable_cb_delayed(&q->tx);
    if (!room_for_packet(q)) {
      netif_stop_queue(dev, q->index);
      if (!virtqueue_enable_cb(&q->tx)) {
        free_sent(q);
        wake_if_room(q);
      }
    }
    if (!txq->xmit_more || txq->stopped) virtqueue_kick(&q->adapter->virtio, &q->tx);
    if (!ready) napi_schedule(&q->tx_napi);
    return NETDEV_TX_OK;
  }
};
constinit const VirtioNetOps virtio_net_ops{};

// --- interrupts ---
void poke_pair(QueuePair* q) {
  if (virtqueue_pending(&q->rx) && napi_schedule(&q->rx_napi)) virtqueue_disable_cb(&q->rx);
  if (virtqueue_pending(&q->tx) && napi_schedule(&q->tx_napi)) virtqueue_disable_cb(&q->tx);
}

IrqReturn pair_interrupt(u32, void* device) {
  poke_pair(static_cast<QueuePair*>(device));
  return IrqReturn::Handled;
}

void read_link(Adapter* a) {
  if (!has(a, VIRTIO_NET_F_STATUS)) return;
  (virtio_config8(&a->virtio, 6) & 1) != 0 ? netif_carrier_on(a->dev) : netif_carrier_off(a->dev);
}

IrqReturn config_interrupt(u32, void* device) {
  read_link(static_cast<Adapter*>(device));
  return IrqReturn::Handled;
}

// One interrupt for everything: the line, or the only MSI-X entry.
IrqReturn shared_interrupt(u32, void* device) {
  Adapter* a = static_cast<Adapter*>(device);
  if (!a->virtio.msix) {
    const u8 isr = virtio_read_isr(&a->virtio);
    if (isr == 0) return IrqReturn::None;
    if ((isr & 2) != 0) read_link(a);
  }
  for (u32 i = 0; i < a->pairs; ++i) poke_pair(&a->pair[i]);
  return IrqReturn::Handled;
}

// --- start ---
int request_interrupts(Adapter* a) {
  const u32 entries_wanted = a->pairs + 1;
  if (pci_msix_count(a->virtio.pci) < entries_wanted)
    return virtio_request_irq(&a->virtio, shared_interrupt, "virtio-net", a);
  for (u32 i = 0; i < a->pairs; ++i)
    TRY_INT(
        virtio_request_vector(&a->virtio, static_cast<u16>(i), i % nr_cpus, pair_interrupt, "virtio-net", &a->pair[i]));
  TRY_INT(virtio_request_vector(&a->virtio, static_cast<u16>(a->pairs), 0, config_interrupt, "virtio-net-config", a));
  virtio_config_vector(&a->virtio, static_cast<u16>(a->pairs));
  a->own_vectors = true;
  return 0;
}

int setup_pair(Adapter* a, u32 i) {
  QueuePair* q = &a->pair[i];
  q->adapter = a;
  q->index = i;
  const u16 vector = a->own_vectors ? static_cast<u16>(i) : 0;
  TRY_INT(virtio_setup_queue(&a->virtio, &q->rx, static_cast<u16>(2 * i), kRingLimit, vector));
  TRY_INT(virtio_setup_queue(&a->virtio, &q->tx, static_cast<u16>(2 * i + 1), kRingLimit, vector));
  q->tx_headers = static_cast<virtio_net_hdr*>(kzalloc(q->tx.size * sizeof(virtio_net_hdr)));
  if (q->tx_headers == nullptr) return -ENOMEM;
  if (q->tx.size < kMaxSkbFrags + 2) return -EINVAL;
  netif_napi_add(a->dev, &q->rx_napi, poll_rx);
  netif_napi_add(a->dev, &q->tx_napi, poll_tx);
  virtqueue_disable_cb(&q->rx);
  virtqueue_disable_cb(&q->tx);
  return 0;
}

// One command to the device, which answers at once. [VIRTIO 5.1.6.5]
int control_command(Adapter* a, u8 group, u8 command, const void* data, u32 length) {
  u8* page_bytes = a->control_page;
  page_bytes[0] = group;
  page_bytes[1] = command;
  memcpy(page_bytes + 8, data, length);
  page_bytes[64] = 0xff;
  const phys_addr_t at = virt_to_phys(page_bytes);
  const virtio_segment segments[3] = {{at, 2, false}, {at + 8, length, false}, {at + 64, 1, true}};
  if (!virtqueue_add(&a->control, segments, 3, a)) return -ENOSPC;
  virtqueue_kick(&a->virtio, &a->control);
  for (u32 spins = 0; virtqueue_take(&a->control, nullptr) == nullptr; ++spins) {
    if (spins > 100000000) return -EIO;
    cpu_relax();
  }
  return page_bytes[64] == 0 ? 0 : -EINVAL;
}

int setup_queues(Adapter* a) {
  for (u32 i = 0; i < a->pairs; ++i) TRY_INT(setup_pair(a, i));
  if (a->max_pairs == 1) return 0;
  a->control_page = static_cast<u8*>(get_free_page(GFP_KERNEL | GFP_ZERO));
  if (a->control_page == nullptr) return -ENOMEM;
  const u16 vector = a->own_vectors ? kVirtioNoVector : 0;
  TRY_INT(virtio_setup_queue(&a->virtio, &a->control, static_cast<u16>(2 * a->max_pairs), 64, vector));
  virtqueue_disable_cb(&a->control);
  return 0;
}

void read_config(Adapter* a) {
  net_device* dev = a->dev;
  if (has(a, VIRTIO_NET_F_MAC)) {
    for (u32 i = 0; i < kEthAlen; ++i) dev->dev_addr[i] = virtio_config8(&a->virtio, i);
  }
  if (!is_valid_ether_addr(dev->dev_addr)) eth_random_addr(dev->dev_addr);
  if (has(a, VIRTIO_NET_F_MQ) && has(a, VIRTIO_NET_F_CTRL_VQ))
    a->max_pairs = max<u32>(virtio_config8(&a->virtio, 8) | virtio_config8(&a->virtio, 9) << 8, 1);
  a->pairs = min(min(a->max_pairs, nr_cpus), kMaxPairs);
  a->mergeable = has(a, VIRTIO_NET_F_MRG_RXBUF);
  a->header_length = a->mergeable || has(a, VIRTIO_F_VERSION_1) ? 12 : 10;
  dev->max_mtu = a->mergeable ? 65535 : static_cast<u32>(kPageSize) - a->header_length - kEthHlen - 4;
  if (has(a, VIRTIO_NET_F_MTU)) {
    const u32 mtu = virtio_config8(&a->virtio, 10) | static_cast<u32>(virtio_config8(&a->virtio, 11)) << 8;
    if (mtu >= dev->min_mtu && mtu <= dev->max_mtu) dev->mtu = dev->max_mtu = mtu;
  }
  dev->real_num_tx_queues = a->pairs;
  dev->features = NETIF_F_GRO | NETIF_F_HIGHDMA | NETIF_F_GSO;
  if (has(a, VIRTIO_NET_F_CSUM)) {
    dev->features |= NETIF_F_HW_CSUM | NETIF_F_SG;
    if (has(a, VIRTIO_NET_F_HOST_TSO4)) dev->features |= NETIF_F_TSO;
    if (has(a, VIRTIO_NET_F_HOST_TSO6)) dev->features |= NETIF_F_TSO6;
  }
  if (has(a, VIRTIO_NET_F_GUEST_CSUM)) dev->features |= NETIF_F_RXCSUM;
}

u64 wanted_features() {
  // Segments of up to 64 KiB come in only where a packet may span buffers.
  return VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_GUEST_TSO4 |
         VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN | VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 |
         VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ |
         VIRTIO_F_ANY_LAYOUT | VIRTIO_F_EVENT_IDX;
}

int start(Adapter* a, pci_dev* pci) {
  u64 wanted = wanted_features();
  TRY_INT(virtio_open(&a->virtio, pci, wanted));
  if (!has(a, VIRTIO_NET_F_MRG_RXBUF)) {
    wanted &= ~(VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN);
    TRY_INT(virtio_open(&a->virtio, pci, wanted));
  }
  read_config(a);
  TRY_INT(request_interrupts(a));
  TRY_INT(setup_queues(a));
  virtio_ready(&a->virtio);
  if (a->pairs > 1) {
    const u16 pairs = static_cast<u16>(a->pairs);
    if (control_command(a, 4, 0, &pairs, sizeof pairs) != 0) a->dev->real_num_tx_queues = 1;
  }
  read_link(a);
  return register_netdev(a->dev);
}

int probe(virtio_node* node) {
  pci_dev* pci = node->pci;
  net_device* dev = alloc_netdev("eth%d", 0);
  Adapter* a = knew<Adapter>();
  if (dev == nullptr || a == nullptr) return -ENOMEM;
  ether_setup(dev);
  dev->ops = &virtio_net_ops;
  dev->driver = "virtio_net";
  dev->priv = a;
  a->dev = dev;
  const int error = start(a, pci);
  if (error != 0)
    printk(KERN_ERR "virtio-net: device at %02x:%02x does not start (%d)\n", pci->bus, pci->device, error);
  return error;
}

constinit virtio_driver virtio_net_driver{"virtio_net", VIRTIO_ID_NET, probe};
void virtio_net_init() { virtio_register_driver(&virtio_net_driver); }
DEVICE_INITCALL(virtio_net_init);

}  // namespace
}  // namespace xm::os
