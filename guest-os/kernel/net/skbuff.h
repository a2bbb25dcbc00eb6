// SPDX-License-Identifier: GPL-2.0-or-later
// Socket buffers: one packet on its way through the layers. Headers are pushed and pulled in one linear area (head,
// data, tail, end); payload may go on in page fragments (skb_shared_info, which lies at `end`). Clones share the data
// and have their own sk_buff. Names and meanings are those of the texts and of Linux, so that a reader of either finds
// the way.
//
//   head        data            tail              end
//    | headroom  | linear bytes  |  tailroom       | skb_shared_info
//
// len counts linear and paged bytes, data_len the paged ones. Header positions are offsets from head.
// An sk_buff has one owner at a time; only its reference count and dataref are shared between processors.
#pragma once

#include "kernel/lib/atomic.h"
#include "kernel/lib/spinlock.h"
#include "kernel/mm/gfp.h"

namespace xm::os {

struct dst_entry;
struct net_device;
struct nf_conn;
struct page;
struct sock;
struct sk_buff;

constexpr u32 kMaxSkbFrags = 17;  // 64 KiB of pages and one that begins in the middle
constexpr u32 kMaxHeader = 128;   // headroom that every sender leaves: link, tunnel, IPv6 and TCP headers

struct skb_frag_t {
  page* frag_page;
  u32 offset, size;  // within the page(s)
};

enum SkbGso : u16 {
  SKB_GSO_TCPV4 = 1,
  SKB_GSO_DODGY = 4,
  SKB_GSO_TCP_ECN = 8,
  SKB_GSO_TCPV6 = 16,
  SKB_GSO_UDP_L4 = 32
};

struct skb_shared_info {
  Atomic<s32> dataref{1};
  u8 nr_frags = 0;
  u16 gso_size = 0, gso_segs = 0, gso_type = 0;  // gso_size 0: not to be segmented
  sk_buff* frag_list = nullptr;                  // reassembled fragments: their skbs by `next`
  skb_frag_t frags[kMaxSkbFrags];
};

// ip_summed. On receive: what is known of the checksum; on send: PARTIAL asks the device (or skb_checksum_help) to
// store the sum from csum_start on at csum_start + csum_offset, where the pseudo-header's sum already lies.
enum SkbChecksum : u8 { CHECKSUM_NONE, CHECKSUM_UNNECESSARY, CHECKSUM_COMPLETE, CHECKSUM_PARTIAL };
// pkt_type [man 7 packet]
enum SkbPacketType : u8 {
  PACKET_HOST,
  PACKET_BROADCAST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  PACKET_OUTGOING,
  PACKET_LOOPBACK
};

// Why a packet was dropped: counted by reason, /proc/net/drop_reasons.
// Version 14 lays these rows out anew each time it runs.
// clang-format off
#define XM_SKB_DROP_REASONS(X)                                                                                        \
  X(NOT_SPECIFIED)                                                                                                    \
  X(NO_SOCKET) X(PKT_TOO_SMALL) X(TCP_CSUM) X(UDP_CSUM) X(ICMP_CSUM) X(IP_CSUM) X(IP_INHDR) X(IP_OUTNOROUTES)         \
      X(IP_INNOROUTES) X(IP_RPFILTER) X(IP_TTL) X(IP_NOPROTO) X(OTHERHOST) X(SOCKET_FILTER) X(SOCKET_RCVBUFF)         \
          X(SOCKET_BACKLOG) X(PROTO_MEM) X(TCP_FLAGS) X(TCP_ZEROWINDOW) X(TCP_OLD_DATA) X(TCP_OVERWINDOW)             \
              X(TCP_INVALID_SEQUENCE) X(TCP_RESET) X(TCP_CLOSE) X(TCP_OFO_QUEUE) X(NEIGH_FAILED) X(NEIGH_QUEUEFULL)   \
                  X(NEIGH_DEAD) X(QDISC_DROP) X(CPU_BACKLOG) X(UNHANDLED_PROTO) X(SKB_CSUM) X(SKB_GSO_SEG) X(DEV_HDR) \
                      X(DEV_READY) X(FULL_RING) X(NOMEM) X(NETFILTER_DROP) X(FRAG_REASM_TIMEOUT) X(DUP_FRAG)          \
                          X(BRIDGE_NO_PORT) X(TAP_FILTER)
// clang-format on
enum SkbDropReason : u16 {
#define X(name) SKB_DROP_##name,
  XM_SKB_DROP_REASONS(X)
#undef X
      SKB_DROP_MAX
};

struct sk_buff {
  sk_buff* next = nullptr;
  sk_buff* prev = nullptr;
  sock* sk = nullptr;  // who is charged for it; see destructor
  net_device* dev = nullptr;
  u64 tstamp = 0;             // CLOCK_REALTIME ns, 0: not stamped
  alignas(8) u8 cb[64] = {};  // the layer that holds the packet keeps its notes here
  dst_entry* dst = nullptr;   // referenced; ip_rcv_finish and ip_queue_xmit set it
  nf_conn* nfct = nullptr;    // referenced connection tracking entry
  u8 nfctinfo = 0;
  void (*destructor)(sk_buff*) = nullptr;  // takes the charge back from sk
  u32 len = 0, data_len = 0;
  u32 truesize = 0;  // memory it holds, for the socket's limits
  u16 mac_len = 0;
  u16 queue_mapping = 0;
  u8 pkt_type = PACKET_HOST;
  u8 ip_summed = CHECKSUM_NONE;
  bool cloned = false;
  bool peeked = false;
  u32 priority = 0, mark = 0, hash = 0;
  u32 skb_iif = 0;                      // interface index it came in by
  u32 csum = 0;                         // CHECKSUM_COMPLETE: sum of data..len
  u16 csum_start = 0, csum_offset = 0;  // CHECKSUM_PARTIAL; csum_start from head
  u16 protocol = 0;                     // ETH_P_*, network order
  u16 vlan_tci = 0;
  bool vlan_present = false;
  u32 transport_header = 0, network_header = 0, mac_header = ~0u;
  u8* head = nullptr;
  u8* data = nullptr;
  u32 tail = 0, end = 0;  // from head
  Atomic<s32> users{1};
};

inline skb_shared_info* skb_shinfo(const sk_buff* skb) {
  return reinterpret_cast<skb_shared_info*>(skb->head + skb->end);
}
inline u8* skb_tail_pointer(const sk_buff* skb) { return skb->head + skb->tail; }
inline u32 skb_headroom(const sk_buff* skb) { return static_cast<u32>(skb->data - skb->head); }
inline u32 skb_tailroom(const sk_buff* skb) { return skb->data_len != 0 ? 0 : skb->end - skb->tail; }
inline u32 skb_headlen(const sk_buff* skb) { return skb->len - skb->data_len; }
inline bool skb_is_nonlinear(const sk_buff* skb) { return skb->data_len != 0; }
inline bool skb_is_gso(const sk_buff* skb) { return skb_shinfo(skb)->gso_size != 0; }

inline u8* skb_mac_header(const sk_buff* skb) { return skb->head + skb->mac_header; }
inline u8* skb_network_header(const sk_buff* skb) { return skb->head + skb->network_header; }
inline u8* skb_transport_header(const sk_buff* skb) { return skb->head + skb->transport_header; }
inline bool skb_mac_header_was_set(const sk_buff* skb) { return skb->mac_header != ~0u; }
inline void skb_reset_mac_header(sk_buff* skb) { skb->mac_header = skb_headroom(skb); }
inline void skb_reset_network_header(sk_buff* skb) { skb->network_header = skb_headroom(skb); }
inline void skb_reset_transport_header(sk_buff* skb) { skb->transport_header = skb_headroom(skb); }
inline void skb_set_transport_header(sk_buff* skb, u32 from_data) {
  skb->transport_header = skb_headroom(skb) + from_data;
}
inline u32 skb_transport_offset(const sk_buff* skb) { return skb->transport_header - skb_headroom(skb); }
inline u32 skb_network_offset(const sk_buff* skb) { return skb->network_header - skb_headroom(skb); }

// `size` bytes of linear room; null without memory. GFP_ATOMIC in softirq context.
sk_buff* alloc_skb(u32 size, gfp_t gfp);
sk_buff* netdev_alloc_skb(net_device* dev, u32 size);    // with 2 bytes of NET_IP_ALIGN and headroom, GFP_ATOMIC
void kfree_skb_reason(sk_buff* skb, SkbDropReason why);  // a drop: counted
inline void kfree_skb(sk_buff* skb) { kfree_skb_reason(skb, SKB_DROP_NOT_SPECIFIED); }
void consume_skb(sk_buff* skb);  // the end of a packet that did its work
sk_buff* skb_get(sk_buff* skb);
sk_buff* skb_clone(sk_buff* skb, gfp_t gfp);                                  // shares the data; without sk
sk_buff* skb_copy(const sk_buff* skb, gfp_t gfp);                             // own, linear data
sk_buff* pskb_copy(sk_buff* skb, gfp_t gfp);                                  // own head, shared fragments
int pskb_expand_head(sk_buff* skb, u32 more_head, u32 more_tail, gfp_t gfp);  // also makes the head private
int skb_cow_head(sk_buff* skb, u32 headroom);                                 // a writable head with so much room
int skb_ensure_writable(sk_buff* skb, u32 length);  // the first `length` bytes are private and linear
bool skb_cloned(const sk_buff* skb);
bool skb_shared(const sk_buff* skb);
sk_buff* skb_share_check(sk_buff* skb, gfp_t gfp);  // an skb of one's own, the reference given is consumed
void skb_orphan(sk_buff* skb);                      // runs the destructor now

void skb_reserve(sk_buff* skb, u32 n);  // only while empty
u8* skb_put(sk_buff* skb, u32 n);       // panics past the end, as push past the head: a bug, never a packet's doing
u8* skb_push(sk_buff* skb, u32 n);
u8* skb_pull(sk_buff* skb, u32 n);        // null: shorter than that, or no memory to make it linear
bool pskb_may_pull(sk_buff* skb, u32 n);  // makes the first n bytes linear; false: shorter, or no memory
void skb_trim(sk_buff* skb, u32 length);  // linear ones
int pskb_trim(sk_buff* skb, u32 length);  // any
int skb_linearize(sk_buff* skb);
void skb_add_rx_frag(sk_buff* skb, page* p, u32 offset, u32 size, u32 truesize);  // takes the page's reference

int skb_copy_bits(const sk_buff* skb, u32 offset, void* to, u32 length);  // -EFAULT: past the end
int skb_store_bits(sk_buff* skb, u32 offset, const void* from, u32 length);
struct iov_iter;
int skb_copy_datagram_iter(const sk_buff* skb, u32 offset, iov_iter* to, u32 length);  // to user space
int skb_copy_datagram_from_iter(sk_buff* skb, u32 offset, iov_iter* from, u32 length);

// Checksums [RFC 1071]: 32-bit sums not yet folded.
u32 csum_partial(const void* data, u32 length, u32 sum);
u16 csum_fold(u32 sum);  // folded and complemented
u32 csum_add(u32 a, u32 b);
u16 ip_fast_csum(const void* header, u32 words);
u16 csum_tcpudp_magic(u32 saddr, u32 daddr, u32 length, u8 protocol, u32 sum);                // IPv4
u16 csum_ipv6_magic(const void* saddr, const void* daddr, u32 length, u8 protocol, u32 sum);  // IPv6
u32 skb_checksum(const sk_buff* skb, u32 offset, u32 length, u32 sum);
int skb_checksum_help(sk_buff* skb);  // does what CHECKSUM_PARTIAL asked for, in software
// Cuts a GSO packet into a list by `next` of segments with headers and sums of their own; the original is not consumed.
sk_buff* skb_gso_segment(sk_buff* skb);

struct sk_buff_head {
  sk_buff* first = nullptr;
  sk_buff* last = nullptr;
  u32 qlen = 0;
  spinlock_t lock{LockRank::SkbQueue};
};
// With the queue's lock (irq-safe); the __ forms are for those who hold a lock of their own.
void skb_queue_tail(sk_buff_head* q, sk_buff* skb);
void skb_queue_head(sk_buff_head* q, sk_buff* skb);
sk_buff* skb_dequeue(sk_buff_head* q);
void skb_queue_purge(sk_buff_head* q);
void __skb_queue_tail(sk_buff_head* q, sk_buff* skb);
void __skb_queue_head(sk_buff_head* q, sk_buff* skb);
void __skb_queue_after(sk_buff_head* q, sk_buff* prev, sk_buff* skb);
void __skb_unlink(sk_buff* skb, sk_buff_head* q);
sk_buff* __skb_dequeue(sk_buff_head* q);
inline sk_buff* skb_peek(const sk_buff_head* q) { return q->first; }
inline sk_buff* skb_peek_tail(const sk_buff_head* q) { return q->last; }

extern u64 skb_drop_counts[SKB_DROP_MAX];
extern const char* const skb_drop_names[SKB_DROP_MAX];

// References that a packet holds; connection tracking defines them.
void nf_conntrack_get(nf_conn* ct);
void nf_conntrack_put(nf_conn* ct);

void skb_init();

}  // namespace xm::os
