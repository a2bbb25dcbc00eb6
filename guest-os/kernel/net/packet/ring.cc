// SPDX-License-Identifier: GPL-2.0-or-later
// PACKET_RX_RING: packets go straight into memory that the program has mapped; a status word in each frame (versions 1
// and 2) or block (version 3) says whose it is. GAP: no transmit ring.
#include "kernel/mm/gfp.h"
#include "kernel/mm/mm_types.h"
#include "kernel/mm/slab.h"
#include "kernel/net/packet/packet.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u32 kMaxBlockOrder = 10;
constexpr u32 kBlockHeader = sizeof(tpacket_block_desc);
constexpr u64 kDefaultRetireNs = 8000000;

u32 align16(u32 n) { return (n + TPACKET_ALIGNMENT - 1) & ~(TPACKET_ALIGNMENT - 1); }

template <class T>
void store_status(T& word, T value) {
  full_barrier();
  write_once(word, value);
  full_barrier();
}

void free_blocks(u8** blocks, u32 n) {
  for (u32 i = 0; blocks != nullptr && i < n; ++i) {
    if (blocks[i] != nullptr) put_page(virt_to_page(blocks[i]));
  }
  kfree(blocks);
}

u8** allocate_blocks(u32 n, u32 order) {
  u8** blocks = static_cast<u8**>(kzalloc(n * sizeof(u8*)));
  for (u32 i = 0; blocks != nullptr && i < n; ++i) {
    page* p = alloc_pages(GFP_KERNEL | GFP_ZERO, order);
    if (p == nullptr) {
      free_blocks(blocks, n);
      return nullptr;
    }
    blocks[i] = static_cast<u8*>(page_to_virt(p));
  }
  return blocks;
}

tpacket_block_desc* block(packet_ring& r) { return reinterpret_cast<tpacket_block_desc*>(r.blocks[r.head]); }
tpacket_bd_ts stamp_of(u64 ns) { return {static_cast<u32>(ns / kNsPerSec), static_cast<u32>(ns % kNsPerSec)}; }

// --- version 3 ---
void open_block(packet_ring& r) {
  tpacket_block_desc* b = block(r);
  b->version = TPACKET_V3;
  b->offset_to_priv = kBlockHeader;
  b->num_pkts = 0;
  b->seq_num = r.sequence++;
  r.offset = static_cast<u32>(align_up(kBlockHeader + align_up(r.private_size, 8), 8));
  b->offset_to_first_pkt = r.offset;
  b->blk_len = r.offset;
  b->ts_first_pkt = stamp_of(ktime_get_real());
  r.last_packet = 0;
  r.frozen = false;
}

// Hands the open block to the program and opens the next, if the program has given it back.
void close_block(packet_sock* po, u32 status) {
  packet_ring& r = po->ring;
  tpacket_block_desc* b = block(r);
  if (r.last_packet != 0) {
    auto* last = reinterpret_cast<tpacket3_hdr*>(r.blocks[r.head] + r.last_packet);
    last->tp_next_offset = 0;
    b->ts_last_pkt = {last->tp_sec, last->tp_nsec};
  }
  b->blk_len = r.offset;
  if (po->drops.load() != 0) status |= TP_STATUS_LOSING;
  store_status(b->block_status, TP_STATUS_USER | status);
  r.head = r.head + 1 == r.block_nr ? 0 : r.head + 1;
  if ((read_once(block(r)->block_status) & TP_STATUS_USER) != 0) {
    r.frozen = true;
    ++r.freezes;
  } else {
    open_block(r);
  }
}

void retire_timer(timer_list* timer) {
  packet_sock* po = container_of(timer, packet_sock, ring.timer);
  packet_ring& r = po->ring;
  bool wake = false;
  {
    BhGuard guard(po->ring_lock);
    if (r.blocks == nullptr) return;
    if (r.frozen && (read_once(block(r)->block_status) & TP_STATUS_USER) == 0) open_block(r);
    if (!r.frozen && block(r)->num_pkts > 0) {
      close_block(po, TP_STATUS_BLK_TMO);
      wake = true;
    }
    mod_timer(timer, ktime_get() + r.retire_ns);
  }
  if (wake) sock_def_readable(po);
}

// Room for one packet in the open block; null: the program has not given a block back.
u8* reserve_v3(packet_sock* po, u32 size, bool* closed) {
  packet_ring& r = po->ring;
  if (r.frozen) {
    if ((read_once(block(r)->block_status) & TP_STATUS_USER) != 0) return nullptr;
    open_block(r);
  }
  if (r.offset + size > r.block_size) {
    close_block(po, 0);
    *closed = true;
    if (r.frozen) return nullptr;
  }
  u8* at = r.blocks[r.head] + r.offset;
  if (r.last_packet != 0)
    reinterpret_cast<tpacket3_hdr*>(r.blocks[r.head] + r.last_packet)->tp_next_offset = r.offset - r.last_packet;
  r.last_packet = r.offset;
  r.offset += size;
  block(r)->blk_len = r.offset;
  ++block(r)->num_pkts;
  return at;
}

// --- versions 1 and 2 ---
u8* frame_at(packet_ring& r, u32 i) { return r.blocks[i / r.frames_per_block] + i % r.frames_per_block * r.frame_size; }
u32 frame_status(const packet_sock* po, u8* frame) {
  return po->version == TPACKET_V1 ? static_cast<u32>(read_once(reinterpret_cast<tpacket_hdr*>(frame)->tp_status))
                                   : read_once(reinterpret_cast<tpacket2_hdr*>(frame)->tp_status);
}

struct Placement {
  u32 mac, net, snaplen;
};

Placement place(const packet_sock* po, const sk_buff* skb, u32 snaplen) {
  Placement p{};
  const u32 header = packet_header_length(po->version);
  if (po->sk_type == SOCK_DGRAM) {
    p.mac = p.net = align16(header) + 16 + po->reserve;
  } else {
    const u32 mac_length = skb_network_offset(skb);
    p.net = align16(header + max(mac_length, 16u)) + po->reserve;
    p.mac = p.net - mac_length;
  }
  const packet_ring& r = po->ring;
  const u32 limit = po->version == TPACKET_V3
                        ? r.block_size - static_cast<u32>(align_up(kBlockHeader + align_up(r.private_size, 8), 8))
                        : r.frame_size;
  p.snaplen = p.mac >= limit ? 0 : min(snaplen, limit - p.mac);
  return p;
}

void fill_v1(tpacket_hdr* h, const Placement& p, u32 length, u64 ns) {
  h->tp_len = length;
  h->tp_snaplen = p.snaplen;
  h->tp_mac = static_cast<u16>(p.mac);
  h->tp_net = static_cast<u16>(p.net);
  h->tp_sec = static_cast<u32>(ns / kNsPerSec);
  h->tp_usec = static_cast<u32>(ns % kNsPerSec / 1000);
}
void fill_v2(tpacket2_hdr* h, const Placement& p, const sk_buff* skb, u64 ns) {
  h->tp_len = skb->len;
  h->tp_snaplen = p.snaplen;
  h->tp_mac = static_cast<u16>(p.mac);
  h->tp_net = static_cast<u16>(p.net);
  h->tp_sec = static_cast<u32>(ns / kNsPerSec);
  h->tp_nsec = static_cast<u32>(ns % kNsPerSec);
  h->tp_vlan_tci = skb->vlan_present ? skb->vlan_tci : 0;
  h->tp_vlan_tpid = skb->vlan_present ? static_cast<u16>(ETH_P_8021Q) : 0;
}
void fill_v3(tpacket3_hdr* h, const Placement& p, const sk_buff* skb, u64 ns, u32 status) {
  *h = {};
  h->tp_len = skb->len;
  h->tp_snaplen = p.snaplen;
  h->tp_mac = static_cast<u16>(p.mac);
  h->tp_net = static_cast<u16>(p.net);
  h->tp_sec = static_cast<u32>(ns / kNsPerSec);
  h->tp_nsec = static_cast<u32>(ns % kNsPerSec);
  h->tp_rxhash = skb->hash;
  h->tp_vlan_tci = skb->vlan_present ? skb->vlan_tci : 0;
  h->tp_vlan_tpid = skb->vlan_present ? static_cast<u16>(ETH_P_8021Q) : 0;
  h->tp_status = status;
}

struct RingVmOps final : vm_operations {
  int fault(vm_fault& f) const override {
    const auto* s = sock_from_file(f.vma->vm_file);
    packet_ring& r = static_cast<packet_sock*>(s->sk)->ring;
    const u64 pages = r.block_size >> kPageShift;
    if (r.blocks == nullptr || f.pgoff >= pages * r.block_nr) return -EIO;
    page* p = virt_to_page(r.blocks[f.pgoff / pages] + (f.pgoff % pages << kPageShift));
    get_page(p);
    f.result = p;
    return 0;
  }
  void open(vm_area_struct* vma) const override { ring_of(vma).mapped.inc(); }
  void close(vm_area_struct* vma) const override { ring_of(vma).mapped.sub(1); }
  static packet_ring& ring_of(vm_area_struct* vma) {
    return static_cast<packet_sock*>(sock_from_file(vma->vm_file)->sk)->ring;
  }
};
constinit const RingVmOps ring_vm_ops{};

int check_request(const packet_sock* po, const tpacket_req3& q) {
  const u32 header = packet_header_length(po->version);
  if (q.tp_block_size == 0 || q.tp_block_size % kPageSize != 0) return -EINVAL;
  if (q.tp_frame_size < header + po->reserve || q.tp_frame_size % TPACKET_ALIGNMENT != 0) return -EINVAL;
  const u32 per_block = q.tp_block_size / q.tp_frame_size;
  if (per_block == 0 || q.tp_block_nr > 0x10000 || per_block * q.tp_block_nr != q.tp_frame_nr) return -EINVAL;
  if (po->version == TPACKET_V3 &&
      (q.tp_sizeof_priv > q.tp_block_size ||
       q.tp_block_size <= kBlockHeader + align_up(q.tp_sizeof_priv, 8) + header + po->reserve + 16))
    return -EINVAL;
  return 0;
}

}  // namespace

u32 packet_header_length(int version) {
  const u32 h = version == TPACKET_V1   ? sizeof(tpacket_hdr)
                : version == TPACKET_V2 ? sizeof(tpacket2_hdr)
                                        : sizeof(tpacket3_hdr);
  return align16(h) + static_cast<u32>(sizeof(sockaddr_ll));
}

int packet_set_ring(packet_sock* po, const tpacket_req3& q) {
  packet_ring& r = po->ring;
  if (r.mapped.load() != 0) return -EBUSY;
  if (q.tp_block_nr != 0 && r.blocks != nullptr) return -EBUSY;
  if (q.tp_block_nr == 0) {
    if (q.tp_frame_nr != 0) return -EINVAL;
    u8** blocks;
    {
      BhGuard guard(po->ring_lock);
      blocks = r.blocks;
      r.blocks = nullptr;
    }
    if (r.timer.function != nullptr) del_timer_sync(&r.timer);
    free_blocks(blocks, r.block_nr);
    return 0;
  }
  TRY_INT(check_request(po, q));
  u32 order = 0;
  while ((kPageSize << order) < q.tp_block_size) ++order;
  if (order > kMaxBlockOrder || (kPageSize << order) != q.tp_block_size) return -ENOMEM;
  r.block_size = q.tp_block_size;
  r.block_order = order;
  r.frame_size = q.tp_frame_size;
  r.frames_per_block = q.tp_block_size / q.tp_frame_size;
  r.frame_nr = q.tp_frame_nr;
  r.private_size = q.tp_sizeof_priv;
  r.head = 0;
  r.sequence = 1;
  r.retire_ns = q.tp_retire_blk_tov == 0 ? kDefaultRetireNs : q.tp_retire_blk_tov * 1000000ul;
  r.block_nr = q.tp_block_nr;
  u8** blocks = allocate_blocks(r.block_nr, order);
  if (blocks == nullptr) return -ENOMEM;
  {
    BhGuard guard(po->ring_lock);
    r.blocks = blocks;
    if (po->version == TPACKET_V3) open_block(r);
  }
  if (po->version == TPACKET_V3) {
    timer_setup(&r.timer, retire_timer);
    mod_timer(&r.timer, ktime_get() + r.retire_ns);
  }
  return 0;
}

bool packet_ring_store(packet_sock* po, sk_buff* skb, const net_device* dev, u32 snaplen) {
  const u64 ns = skb->tstamp != 0 ? skb->tstamp : ktime_get_real();
  const u32 status = TP_STATUS_USER | packet_status(skb);
  bool closed = false, stored = false;
  {
    BhGuard guard(po->ring_lock);
    packet_ring& r = po->ring;
    if (r.blocks == nullptr) return false;
    const Placement p = place(po, skb, snaplen);
    u8* frame = nullptr;
    if (po->version == TPACKET_V3) {
      frame = reserve_v3(po, static_cast<u32>(align_up(p.mac + p.snaplen, TPACKET_ALIGNMENT)), &closed);
    } else if (u8* next = frame_at(r, r.head); frame_status(po, next) == TP_STATUS_KERNEL) {
      frame = next;
      r.head = r.head + 1 == r.frame_nr ? 0 : r.head + 1;
    }
    if (frame != nullptr) {
      skb_copy_bits(skb, 0, frame + p.mac, p.snaplen);
      packet_fill_address(
          reinterpret_cast<sockaddr_ll*>(frame + packet_header_length(po->version) - sizeof(sockaddr_ll)), skb, dev);
      if (po->version == TPACKET_V1) {
        fill_v1(reinterpret_cast<tpacket_hdr*>(frame), p, skb->len, ns);
        store_status(reinterpret_cast<tpacket_hdr*>(frame)->tp_status, static_cast<u64>(status));
      } else if (po->version == TPACKET_V2) {
        fill_v2(reinterpret_cast<tpacket2_hdr*>(frame), p, skb, ns);
        store_status(reinterpret_cast<tpacket2_hdr*>(frame)->tp_status, status);
      } else {
        fill_v3(reinterpret_cast<tpacket3_hdr*>(frame), p, skb, ns, status);
      }
      stored = true;
    }
  }
  if (po->version != TPACKET_V3 ? stored : closed) sock_def_readable(po);
  return stored;
}

bool packet_ring_readable(packet_sock* po) {
  BhGuard guard(po->ring_lock);
  packet_ring& r = po->ring;
  if (r.blocks == nullptr) return false;
  if (po->version == TPACKET_V3) {
    const u32 previous = r.head == 0 ? r.block_nr - 1 : r.head - 1;
    return r.frozen ||
           read_once(reinterpret_cast<tpacket_block_desc*>(r.blocks[previous])->block_status) != TP_STATUS_KERNEL;
  }
  return frame_status(po, frame_at(r, r.head == 0 ? r.frame_nr - 1 : r.head - 1)) != TP_STATUS_KERNEL;
}

int packet_ring_mmap(packet_sock* po, vm_area_struct* vma) {
  MutexGuard guard(po->control_lock);
  packet_ring& r = po->ring;
  if (vma->vm_pgoff != 0 || r.blocks == nullptr) return -EINVAL;
  if (vma->vm_end - vma->vm_start != static_cast<u64>(r.block_size) * r.block_nr) return -EINVAL;
  vma->vm_flags |= VM_DONTEXPAND;
  vma->vm_ops = &ring_vm_ops;
  r.mapped.inc();
  return 0;
}

}  // namespace xm::os
