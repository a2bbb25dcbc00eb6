// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82540EM (e1000): descriptor rings in memory, checksums and TCP segmentation by context descriptors, one
// interrupt, NAPI. [Intel 8254x Software Developer's Manual: 3, 13] GAP: no jumbo frames, no VLAN offload.
#include "kernel/drivers/pci.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/result.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/skb_walk.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

enum Register : u32 {  // [13.4]
  CTRL = 0x0000,
  STATUS = 0x0008,
  EERD = 0x0014,
  ICR = 0x00c0,
  IMS = 0x00d0,
  IMC = 0x00d8,
  RCTL = 0x0100,
  TCTL = 0x0400,
  TIPG = 0x0410,
  RDBAL = 0x2800,
  RDBAH = 0x2804,
  RDLEN = 0x2808,
  RDH = 0x2810,
  RDT = 0x2818,
  TDBAL = 0x3800,
  TDBAH = 0x3804,
  TDLEN = 0x3808,
  TDH = 0x3810,
  TDT = 0x3818,
  RXCSUM = 0x5000,
  MTA = 0x5200,
  RAL = 0x5400,
  RAH = 0x5404
};
constexpr u32 CTRL_SLU = 1 << 6, CTRL_RST = 1 << 26, CTRL_ASDE = 1 << 5;
constexpr u32 STATUS_LU = 2;
constexpr u32 RCTL_EN = 2, RCTL_UPE = 8, RCTL_MPE = 0x10, RCTL_BAM = 0x8000, RCTL_SECRC = 1 << 26;
constexpr u32 TCTL_EN = 2, TCTL_PSP = 8, TCTL_CT = 15 << 4, TCTL_COLD = 64 << 12;
constexpr u32 INT_TXDW = 1, INT_LSC = 4, INT_RXDMT0 = 0x10, INT_RXO = 0x40, INT_RXT0 = 0x80;
constexpr u32 kInterrupts = INT_TXDW | INT_LSC | INT_RXDMT0 | INT_RXO | INT_RXT0;
constexpr u32 kRing = 256, kBuffer = 2048, kMaxData = 4096;

struct RxDescriptor {
  u64 address;
  u16 length, checksum;
  u8 status, errors;
  u16 special;
};
constexpr u8 RX_DD = 1, RX_EOP = 2, RX_IXSM = 4, RX_TCPCS = 0x20, RX_ERR_TCPE = 0x20, RX_ERR_IPE = 0x40;
struct TxDescriptor {  // of data [3.3.7]
  u64 address;
  u32 command;  // length, type and command bits
  u8 status, options;
  u16 special;
};
struct TxContext {  // [3.3.6]
  u8 ipcss, ipcso;
  u16 ipcse;
  u8 tucss, tucso;
  u16 tucse;
  u32 command;
  u8 status, header_length;
  u16 mss;
};
static_assert(sizeof(RxDescriptor) == 16 && sizeof(TxDescriptor) == 16 && sizeof(TxContext) == 16);
constexpr u32 TX_EOP = 1 << 24, TX_IFCS = 2 << 24, TX_TSE = 4 << 24, TX_RS = 8 << 24, TX_DEXT = 0x20 << 24,
              TX_DATA = 1 << 20, TX_CONTEXT_TCP = 1 << 24, TX_CONTEXT_IP = 2 << 24;
constexpr u8 TX_DD = 1, TX_TXSM = 2, TX_IXSM = 1;

struct Adapter {
  net_device* dev = nullptr;
  volatile u8* registers = nullptr;
  napi_struct napi;
  volatile RxDescriptor* rx = nullptr;
  volatile TxDescriptor* tx = nullptr;
  u8* rx_buffers[kRing] = {};
  sk_buff* tx_skb[kRing] = {};  // at the last descriptor of a packet
  bool tx_last[kRing] = {};     // its status is written back
  u32 rx_next = 0, tx_next = 0, tx_clean = 0;
};

u32 read(const Adapter* a, u32 reg) { return *reinterpret_cast<volatile u32*>(a->registers + reg); }
void write(Adapter* a, u32 reg, u32 v) { *reinterpret_cast<volatile u32*>(a->registers + reg) = v; }
Adapter* adapter(const net_device* dev) { return static_cast<Adapter*>(dev->priv); }

void check_link(Adapter* a) {
  (read(a, STATUS) & STATUS_LU) != 0 ? netif_carrier_on(a->dev) : netif_carrier_off(a->dev);
}

// --- receive ---
void receive(Adapter* a, volatile RxDescriptor& d, const u8* bytes) {
  net_device* dev = a->dev;
  const u8 status = d.status, errors = d.errors;
  const u32 length = d.length;
  const bool whole = (status & RX_EOP) != 0 && length >= kEthHlen && length <= kBuffer;
  if (!whole || (errors & static_cast<u8>(~(RX_ERR_TCPE | RX_ERR_IPE))) != 0) {
    netdev_count(dev->stats.rx_errors);
    return;
  }
  sk_buff* skb = netdev_alloc_skb(dev, length);
  if (skb == nullptr) {
    netdev_count(dev->stats.rx_dropped);
    return;
  }
  memcpy(skb_put(skb, length), bytes, length);
  if ((status & RX_IXSM) == 0 && (status & RX_TCPCS) != 0 && errors == 0 && (dev->features & NETIF_F_RXCSUM) != 0)
    skb->ip_summed = CHECKSUM_UNNECESSARY;
  netdev_count(dev->stats.rx_packets);
  netdev_count(dev->stats.rx_bytes, length);
  skb->protocol = eth_type_trans(skb, dev);
  napi_gro_receive(&a->napi, skb);
}

int clean_rx(Adapter* a, int budget) {
  int done = 0;
  u32 last = kRing;
  while (done < budget) {
    volatile RxDescriptor& d = a->rx[a->rx_next];
    if ((d.status & RX_DD) == 0) break;
    full_barrier();
    receive(a, d, a->rx_buffers[a->rx_next]);
    d.status = 0;
    last = a->rx_next;
    a->rx_next = (a->rx_next + 1) % kRing;
    ++done;
  }
  if (last != kRing) {
    full_barrier();
    write(a, RDT, last);
  }
  return done;
}

// --- transmit ---
u32 tx_free(const Adapter* a) { return (a->tx_clean + kRing - a->tx_next - 1) % kRing; }

void clean_tx(Adapter* a) {  // with the queue's xmit_lock
  while (a->tx_clean != a->tx_next) {
    u32 last = a->tx_clean;
    while (!a->tx_last[last]) last = (last + 1) % kRing;
    if ((a->tx[last].status & TX_DD) == 0) break;
    dev_consume_skb_any(a->tx_skb[last]);
    a->tx_skb[last] = nullptr;
    a->tx_last[last] = false;
    a->tx_clean = (last + 1) % kRing;
  }
  if (tx_free(a) > kMaxSkbFrags * 2 + 20) netif_wake_queue(a->dev);
}

// The first descriptor of a packet whose sums or segments are the device's work. [3.5, 3.6]
void put_context(Adapter* a, sk_buff* skb, bool segment) {
  const u32 network = skb_network_offset(skb), transport = skb->csum_start - skb_headroom(skb);
  u8* ip = skb->data + network;
  const bool ipv6 = ip[0] >> 4 == 6;
  TxContext c{};
  c.tucss = static_cast<u8>(transport);
  c.tucso = static_cast<u8>(transport + skb->csum_offset);
  c.command = TX_DEXT;
  if (segment) {
    u8* th = skb->data + transport;
    c.header_length = static_cast<u8>(transport + (th[12] >> 4) * 4u);
    c.mss = skb_shinfo(skb)->gso_size;
    c.command |= TX_TSE | TX_CONTEXT_TCP | (skb->len - c.header_length);
    // The device adds each segment's length to the pseudo-header's sum.
    u16 sum;
    if (ipv6) {
      ip[4] = ip[5] = 0;
      sum = static_cast<u16>(~csum_ipv6_magic(ip + 8, ip + 24, 0, 6, 0));
    } else {
      ip[2] = ip[3] = ip[10] = ip[11] = 0;
      c.ipcss = static_cast<u8>(network);
      c.ipcso = static_cast<u8>(network + 10);
      c.ipcse = static_cast<u16>(transport - 1);
      c.command |= TX_CONTEXT_IP;
      sum = static_cast<u16>(~csum_tcpudp_magic(get_unaligned<u32>(ip + 12), get_unaligned<u32>(ip + 16), 0, 6, 0));
    }
    memcpy(th + 16, &sum, 2);
  }
  memcpy(const_cast<TxDescriptor*>(&a->tx[a->tx_next]), &c, sizeof c);
  a->tx_last[a->tx_next] = false;
  a->tx_next = (a->tx_next + 1) % kRing;
}

u32 put_data(Adapter* a, const u8* bytes, u32 length, u32 command, u8 options) {
  u32 last = a->tx_next;
  while (length > 0) {
    const u32 n = min(length, kMaxData);
    volatile TxDescriptor& d = a->tx[a->tx_next];
    d.address = virt_to_phys(bytes);
    d.command = TX_DEXT | TX_DATA | TX_IFCS | command | n;
    d.status = 0;
    d.options = options;
    d.special = 0;
    a->tx_last[a->tx_next] = false;
    last = a->tx_next;
    a->tx_next = (a->tx_next + 1) % kRing;
    bytes += n;
    length -= n;
  }
  return last;
}

struct E1000Ops final : net_device_ops {
  int ndo_open(net_device* dev) const override {
    Adapter* a = adapter(dev);
    a->rx_next = a->tx_next = a->tx_clean = 0;
    for (u32 i = 0; i < kRing; ++i) {
      a->rx[i].address = virt_to_phys(a->rx_buffers[i]);
      a->rx[i].status = 0;
    }
    write(a, RDBAL, static_cast<u32>(virt_to_phys(const_cast<RxDescriptor*>(a->rx))));
    write(a, RDBAH, static_cast<u32>(virt_to_phys(const_cast<RxDescriptor*>(a->rx)) >> 32));
    write(a, RDLEN, kRing * 16);
    write(a, RDH, 0);
    write(a, TDBAL, static_cast<u32>(virt_to_phys(const_cast<TxDescriptor*>(a->tx))));
    write(a, TDBAH, static_cast<u32>(virt_to_phys(const_cast<TxDescriptor*>(a->tx)) >> 32));
    write(a, TDLEN, kRing * 16);
    write(a, TDH, 0);
    write(a, TDT, 0);
    write(a, RXCSUM, 0x300);
    write(a, TIPG, 10 | 8 << 10 | 6 << 20);
    write(a, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
    ndo_set_rx_mode(dev);
    napi_enable(&a->napi);
    write(a, RDT, kRing - 1);
    write(a, IMS, kInterrupts);
    check_link(a);
    return 0;
  }
  int ndo_stop(net_device* dev) const override {
    Adapter* a = adapter(dev);
    write(a, IMC, ~0u);
    napi_disable(&a->napi);
    write(a, RCTL, 0);
    write(a, TCTL, 0);
    for (u32 i = 0; i < kRing; ++i) {
      consume_skb(a->tx_skb[i]);
      a->tx_skb[i] = nullptr;
      a->tx_last[i] = false;
    }
    return 0;
  }
  void ndo_set_rx_mode(net_device* dev) const override {
    u32 control = RCTL_EN | RCTL_BAM | RCTL_SECRC;
    if ((dev->flags & IFF_PROMISC) != 0) control |= RCTL_UPE;
    // The filter of groups is coarse anyway: all of them, and the stack chooses.
    if ((dev->flags & (IFF_PROMISC | IFF_ALLMULTI)) != 0 || !dev->mc_list.empty()) control |= RCTL_MPE;
    write(adapter(dev), RCTL, control);
  }
  int ndo_set_mac_address(net_device* dev, const u8* address) const override {
    memcpy(dev->dev_addr, address, kEthAlen);
    write(adapter(dev), RAL, get_unaligned<u32>(address));
    write(adapter(dev), RAH, get_unaligned<u16>(address + 4) | 1u << 31);
    return 0;
  }
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override {
    Adapter* a = adapter(dev);
    const bool segment = skb_is_gso(skb), sum = skb->ip_summed == CHECKSUM_PARTIAL;
    const u32 needed = skb->len / kMaxData + skb_shinfo(skb)->nr_frags + 3;
    if (tx_free(a) < needed) clean_tx(a);
    if (tx_free(a) < needed) {
      netif_stop_queue(dev);
      return NETDEV_TX_BUSY;
    }
    // Segmentation writes into the headers, which a clone may share.
    if (segment && skb_ensure_writable(skb, skb_transport_offset(skb) + 20) != 0) {
      dev_kfree_skb_any(skb, SKB_DROP_NOMEM);
      return NETDEV_TX_OK;
    }
    netdev_count(dev->stats.tx_packets);
    netdev_count(dev->stats.tx_bytes, skb->len);
    if (sum) put_context(a, skb, segment);
    const bool sum_ip = segment && (skb->data[skb_network_offset(skb)] >> 4) == 4;
    const u8 options = static_cast<u8>((sum ? TX_TXSM : 0) | (sum_ip ? TX_IXSM : 0));
    const u32 command = segment ? TX_TSE : 0;
    u32 last = put_data(a, skb->data, skb_headlen(skb), command, options);
    const skb_shared_info* info = skb_shinfo(skb);
    for (u32 i = 0; i < info->nr_frags; ++i)
      last = put_data(a, skb_frag_address(info->frags[i]), info->frags[i].size, command, options);
    a->tx[last].command = a->tx[last].command | TX_EOP | TX_RS;
    a->tx_skb[last] = skb;
    a->tx_last[last] = true;
    if (tx_free(a) < kMaxSkbFrags * 2 + 20) netif_stop_queue(dev);
    full_barrier();
    if (!dev->tx[0].xmit_more || dev->tx[0].stopped) write(a, TDT, a->tx_next);
    return NETDEV_TX_OK;
  }
};
constinit const E1000Ops e1000_ops{};

int poll(napi_struct* n, int budget) {
  Adapter* a = container_of(n, Adapter, napi);
  {
    SpinGuard guard(a->dev->tx[0].xmit_lock);
    clean_tx(a);
  }
  const int done = clean_rx(a, budget);
  if (done < budget && napi_complete_done(n, done)) write(a, IMS, kInterrupts);
  return done;
}

IrqReturn interrupt(u32, void* device) {
  Adapter* a = static_cast<Adapter*>(device);
  const u32 cause = read(a, ICR);  // reading clears it
  if (cause == 0 || !netif_running(a->dev)) return cause == 0 ? IrqReturn::None : IrqReturn::Handled;
  if ((cause & INT_LSC) != 0) check_link(a);
  if (napi_schedule(&a->napi)) write(a, IMC, ~0u);
  return IrqReturn::Handled;
}

// --- start ---
u16 read_eeprom(Adapter* a, u32 word) {
  write(a, EERD, word << 8 | 1);
  for (u32 i = 0; i < 1000; ++i) {
    const u32 v = read(a, EERD);
    if ((v & 0x10) != 0) return static_cast<u16>(v >> 16);
    udelay(5);
  }
  return 0;
}

void read_address(Adapter* a) {
  for (u32 i = 0; i < 3; ++i) {
    const u16 w = read_eeprom(a, i);
    a->dev->dev_addr[2 * i] = static_cast<u8>(w);
    a->dev->dev_addr[2 * i + 1] = static_cast<u8>(w >> 8);
  }
  if (!is_valid_ether_addr(a->dev->dev_addr)) eth_random_addr(a->dev->dev_addr);
  e1000_ops.ndo_set_mac_address(a->dev, a->dev->dev_addr);
}

int allocate(Adapter* a) {
  page* rings = alloc_pages(GFP_KERNEL | GFP_DMA32 | GFP_ZERO, 1);
  if (rings == nullptr) return -ENOMEM;
  a->rx = static_cast<volatile RxDescriptor*>(page_to_virt(rings));
  a->tx = reinterpret_cast<volatile TxDescriptor*>(static_cast<u8*>(page_to_virt(rings)) + kPageSize);
  for (u32 i = 0; i < kRing; i += 2) {
    page* p = alloc_page(GFP_KERNEL);
    if (p == nullptr) return -ENOMEM;
    a->rx_buffers[i] = static_cast<u8*>(page_to_virt(p));
    a->rx_buffers[i + 1] = a->rx_buffers[i] + kBuffer;
  }
  return 0;
}

int start(Adapter* a, pci_dev* pci) {
  pci_enable(pci);
  const pci_bar bar = pci_read_bar(pci, 0);
  if (bar.is_io || bar.address == 0) return -ENODEV;
  a->registers = static_cast<volatile u8*>(ioremap(bar.address, 0x20000));
  if (a->registers == nullptr) return -ENOMEM;
  TRY_INT(allocate(a));
  write(a, IMC, ~0u);
  write(a, CTRL, read(a, CTRL) | CTRL_RST);
  udelay(10);
  write(a, IMC, ~0u);
  write(a, CTRL, (read(a, CTRL) & ~CTRL_RST) | CTRL_SLU | CTRL_ASDE);
  for (u32 i = 0; i < 128; ++i) write(a, MTA + 4 * i, 0);
  read_address(a);
  netif_napi_add(a->dev, &a->napi, poll);
  bool msix;
  TRY_INT(pci_request_irq(pci, interrupt, "e1000", a, &msix));
  return register_netdev(a->dev);
}

void probe(pci_dev* pci) {
  net_device* dev = alloc_netdev("eth%d", 0);
  Adapter* a = knew<Adapter>();
  if (dev == nullptr || a == nullptr) return;
  ether_setup(dev);
  dev->ops = &e1000_ops;
  dev->driver = "e1000";
  dev->priv = a;
  dev->features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_GSO |
                  NETIF_F_GRO | NETIF_F_HIGHDMA;
  a->dev = dev;
  if (const int error = start(a, pci); error != 0)
    printk(KERN_ERR "e1000: device at %02x:%02x does not start (%d)\n", pci->bus, pci->device, error);
}

void e1000_init() {
  for (pci_dev* d = pci_devices; d != nullptr; d = d->next) {
    const bool known = d->id == 0x100e || d->id == 0x100f || d->id == 0x1004;
    if (d->vendor == 0x8086 && known) probe(d);
  }
}
DEVICE_INITCALL(e1000_init);

}  // namespace
}  // namespace xm::os
