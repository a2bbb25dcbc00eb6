// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's side of the tests of socket buffers.
#include "skb_check.h"

#include <random>

#include "kernel/lib/result.h"
#include "kernel/mm/gfp.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/netlink/netlink.h"
#include "kernel/net/skb_walk.h"

namespace hostnet {
namespace {

using namespace xm::os;
using Model = std::vector<u8>;

Model random_bytes(std::mt19937& r, size_t n) {
  Model m(n);
  for (u8& b : m) b = static_cast<u8>(r());
  return m;
}

void add_fragment(sk_buff* skb, const u8* bytes, u32 n, std::mt19937& r) {
  page* p = alloc_page(GFP_ATOMIC);
  const u32 offset = static_cast<u32>(r() % (kPageSize - n + 1));
  memcpy(static_cast<u8*>(page_to_virt(p)) + offset, bytes, n);
  skb_add_rx_frag(skb, p, offset, n, kPageSize);
}

// A buffer of linear bytes, some in pages, some in buffers behind it.
sk_buff* build(std::mt19937& r, const Model& m, bool lists) {
  size_t at = std::min<size_t>(m.size(), r() % 300);
  sk_buff* skb = alloc_skb(static_cast<u32>(64 + at + r() % 64), GFP_ATOMIC);
  skb_reserve(skb, 64);
  memcpy(skb_put(skb, static_cast<u32>(at)), m.data(), at);
  while (at < m.size() && skb_shinfo(skb)->nr_frags < 8) {
    const size_t n = std::min<size_t>(m.size() - at, 1 + r() % 700);
    add_fragment(skb, m.data() + at, static_cast<u32>(n), r);
    at += n;
    if (lists && r() % 3 == 0) break;
  }
  sk_buff** tail = &skb_shinfo(skb)->frag_list;
  while (at < m.size()) {
    const size_t n = lists ? std::min<size_t>(m.size() - at, 1 + r() % 900) : m.size() - at;
    sk_buff* s = build(r, Model(m.begin() + static_cast<long>(at), m.begin() + static_cast<long>(at + n)), false);
    skb->len += s->len;
    skb->data_len += s->len;
    at += n;
    *tail = s;
    tail = &s->next;
  }
  return skb;
}

std::string compare(const sk_buff* skb, const Model& m, const char* when) {
  if (skb->len != m.size())
    return std::string(when) + ": length " + std::to_string(skb->len) + ", wanted " + std::to_string(m.size());
  Model got(m.size());
  if (skb_copy_bits(skb, 0, got.data(), static_cast<u32>(got.size())) != 0)
    return std::string(when) + ": bytes cannot be read";
  if (got != m) return std::string(when) + ": bytes differ";
  u32 sum = 0;
  for (size_t i = 0; i < m.size(); ++i) sum += i % 2 == 0 ? m[i] : static_cast<u32>(m[i]) << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  const u16 ours = static_cast<u16>(~csum_fold(skb_checksum(skb, 0, skb->len, 0)));
  const bool same = ours == sum || (ours % 0xffff == 0 && sum % 0xffff == 0);
  return same ? "" : std::string(when) + ": checksum " + std::to_string(ours) + ", wanted " + std::to_string(sum);
}

struct Held {
  sk_buff* skb;
  Model bytes;
};

}  // namespace

std::string check_skb_operations(uint32_t seed) {
  std::mt19937 r(seed);
  Model m = random_bytes(r, r() % 6000);
  sk_buff* skb = build(r, m, r() % 2 == 0);
  std::vector<Held> held;  // clones and copies: what is done to the other must not show in them
  std::string wrong = compare(skb, m, "built");
  for (int step = 0; step < 40 && wrong.empty(); ++step) {
    const u32 op = r() % 9, n = static_cast<u32>(m.empty() ? 0 : r() % m.size());
    const char* name = "";
    switch (op) {
      case 0:
        name = "pull";
        if (skb_pull(skb, n / 4) != nullptr) m.erase(m.begin(), m.begin() + n / 4);
        break;
      case 1: {
        name = "push";
        if (skb_cow_head(skb, 20) != 0) break;
        const Model add = random_bytes(r, 20);
        memcpy(skb_push(skb, 20), add.data(), 20);
        m.insert(m.begin(), add.begin(), add.end());
        break;
      }
      case 2:
        name = "trim";
        if (pskb_trim(skb, n) == 0) m.resize(n);
        break;
      case 3:
        name = "may_pull";
        if (!pskb_may_pull(skb, n)) wrong = "may_pull refused";
        break;
      case 4:
        name = "clone";
        held.push_back({skb_clone(skb, GFP_ATOMIC), m});
        break;
      case 5:
        name = "copy";
        held.push_back({r() % 2 == 0 ? skb_copy(skb, GFP_ATOMIC) : pskb_copy(skb, GFP_ATOMIC), m});
        break;
      case 6:
        name = "expand";
        pskb_expand_head(skb, r() % 50, r() % 50, GFP_ATOMIC);
        break;
      case 7:
        name = "write";
        if (skb_ensure_writable(skb, n) == 0 && n > 0) {
          const Model change = random_bytes(r, n);
          skb_store_bits(skb, 0, change.data(), n);
          std::copy(change.begin(), change.end(), m.begin());
        }
        break;
      default:
        name = "linearize";
        if (r() % 4 == 0) skb_linearize(skb);
        break;
    }
    if (wrong.empty()) wrong = compare(skb, m, name);
    for (const Held& h : held) {
      if (wrong.empty()) wrong = compare(h.skb, h.bytes, (std::string("another's ") + name).c_str());
    }
  }
  consume_skb(skb);
  for (const Held& h : held) consume_skb(h.skb);
  return wrong;
}

std::string check_gso(uint32_t seed) {
  std::mt19937 r(seed);
  const bool v6 = r() % 2 == 0;
  const u32 network = 14, header = v6 ? 40 : 20, mss = 200 + r() % 1300, payload = 1 + r() % 20000;
  Model m = random_bytes(r, network + header + 32 + payload);
  u8 *ip = m.data() + network, *th = ip + header;
  ip[0] = v6 ? 0x60 : 0x45;
  ip[v6 ? 6 : 9] = 6;
  th[12] = 8 << 4;
  sk_buff* skb = build(r, m, true);
  skb->mac_header = skb_headroom(skb);
  skb->network_header = skb->mac_header + network;
  skb->transport_header = skb->network_header + header;
  skb_shinfo(skb)->gso_size = static_cast<u16>(mss);
  skb_shinfo(skb)->gso_type = v6 ? SKB_GSO_TCPV6 : SKB_GSO_TCPV4;
  sk_buff* list = skb_gso_segment(skb);
  std::string wrong = list == nullptr ? "no segments" : "";
  const u32 seq = ntohl(get_unaligned<u32>(th + 4)), headers = network + header + 32;
  u32 done = 0;
  for (sk_buff *s = list, *next; s != nullptr; s = next) {
    next = s->next;
    s->next = nullptr;
    const u32 n = s->len - headers;
    const u8 *sip = s->data + network, *sth = sip + header;
    const u32 length = v6 ? (sip[4] << 8 | sip[5]) + 40u : static_cast<u32>(sip[2] << 8 | sip[3]);
    const u16 sum = v6 ? csum_ipv6_magic(sip + 8, sip + 24, 32 + n, 6, csum_partial(sth, 32 + n, 0))
                       : csum_tcpudp_magic(get_unaligned<u32>(sip + 12), get_unaligned<u32>(sip + 16), 32 + n, 6,
                                           csum_partial(sth, 32 + n, 0));
    if (wrong.empty() && (n == 0 || n > mss)) wrong = "a segment of " + std::to_string(n);
    if (wrong.empty() && length != s->len - network) wrong = "length field";
    if (wrong.empty() && ntohl(get_unaligned<u32>(sth + 4)) != seq + done) wrong = "sequence number";
    if (wrong.empty() && sum != 0) wrong = "TCP checksum";
    if (wrong.empty() && !v6 && ip_fast_csum(sip, 5) != 0) wrong = "IP checksum";
    if (wrong.empty() && memcmp(s->data + headers, m.data() + headers + done, n) != 0) wrong = "payload";
    if (wrong.empty() && next != nullptr && (sth[13] & 9) != 0) wrong = "FIN or PSH before the end";
    done += n;
    consume_skb(s);
  }
  if (wrong.empty() && done != payload) wrong = "payload is not all there";
  consume_skb(skb);
  return wrong;
}

std::string check_attributes(uint32_t seed) {
  std::mt19937 r(seed);
  const u32 n = r() % 200;
  Model m = random_bytes(r, n);
  for (u32 at = 0; at + 4 <= n && r() % 8 != 0;) {  // mostly well-formed, so that walks go far
    const u32 length = 4 + r() % 24;
    m[at] = static_cast<u8>(length);
    m[at + 1] = 0;
    m[at + 2] = static_cast<u8>(r() % 12);
    m[at + 3] = r() % 4 == 0 ? 0x80 : 0;
    at += (length + 3) & ~3u;
  }
  nla_policy policy[11] = {};
  for (nla_policy& p : policy) p = {static_cast<NlaType>(r() % 10), static_cast<u16>(r() % 16)};
  const nlattr* tb[11];
  netlink_ext_ack ack;
  const int error = nla_parse(tb, 10, m.data(), n, r() % 2 == 0 ? policy : nullptr, r() % 2 == 0, &ack);
  if (error != 0) return "";
  for (const nlattr* a : tb) {
    if (a == nullptr) continue;
    const u8* start = reinterpret_cast<const u8*>(a);
    if (start < m.data() || start + a->nla_len > m.data() + n || a->nla_len < 4)
      return "an attribute outside of the message";
  }
  return "";
}

}  // namespace hostnet
