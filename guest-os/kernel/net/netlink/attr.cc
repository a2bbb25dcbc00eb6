// SPDX-License-Identifier: GPL-2.0-or-later
// Netlink messages and attributes: built into a socket buffer, and taken apart with every length checked.
#include "kernel/lib/string.h"
#include "kernel/net/netlink/netlink.h"

namespace xm::os {
namespace {

constexpr u32 kFixedSize[] = {0, 1, 2, 4, 8};

int check(const nlattr* a, const nla_policy& p, bool strict, netlink_ext_ack* ack) {
  const u32 n = nla_len(a);
  switch (p.type) {
    case NLA_U8:
    case NLA_U16:
    case NLA_U32:
    case NLA_U64:
      if (n < kFixedSize[p.type] || (strict && n != kFixedSize[p.type]))
        return nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
      return 0;
    case NLA_STRING:
      if (n == 0 || (p.len != 0 && strnlen(reinterpret_cast<const char*>(nla_data(a)), n) > p.len))
        return nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
      return 0;
    case NLA_FLAG: return n == 0 ? 0 : nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
    case NLA_NESTED:
      return n == 0 || n >= NLA_HDRLEN ? 0 : nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
    case NLA_BINARY:
      return p.len == 0 || n <= p.len ? 0 : nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
    case NLA_EXACT:
      return n == p.len || (!strict && n > p.len) ? 0 : nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
    case NLA_UNSPEC: break;
  }
  return n >= p.len ? 0 : nl_error(ack, -ERANGE, "Attribute failed policy validation", a);
}

}  // namespace

sk_buff* nlmsg_new(u32 payload, gfp_t gfp) { return alloc_skb(nl_align(NLMSG_HDRLEN + payload), gfp); }

nlmsghdr* nlmsg_put(sk_buff* skb, u32 portid, u32 seq, u16 type, u32 payload, u16 flags) {
  const u32 size = nl_align(NLMSG_HDRLEN + payload);
  if (skb_tailroom(skb) < size) return nullptr;
  auto* nlh = reinterpret_cast<nlmsghdr*>(skb_put(skb, size));
  memset(nlh, 0, size);
  *nlh = {NLMSG_HDRLEN + payload, type, flags, seq, portid};
  return nlh;
}
void nlmsg_end(sk_buff* skb, nlmsghdr* nlh) {
  nlh->nlmsg_len = static_cast<u32>(skb_tail_pointer(skb) - reinterpret_cast<u8*>(nlh));
}
void nlmsg_cancel(sk_buff* skb, nlmsghdr* nlh) {
  skb_trim(skb, static_cast<u32>(reinterpret_cast<u8*>(nlh) - skb->data));
}

nlattr* nla_reserve(sk_buff* skb, u16 type, u32 length) {
  const u32 size = nl_align(NLA_HDRLEN + length);
  if (length > 0xffff - NLA_HDRLEN || skb_tailroom(skb) < size) return nullptr;
  auto* a = reinterpret_cast<nlattr*>(skb_put(skb, size));
  memset(a, 0, size);
  *a = {static_cast<u16>(NLA_HDRLEN + length), type};
  return a;
}
bool nla_put(sk_buff* skb, u16 type, const void* data, u32 length) {
  nlattr* a = nla_reserve(skb, type, length);
  if (a == nullptr) return false;
  if (length != 0) memcpy(a + 1, data, length);
  return true;
}
bool nla_put_string(sk_buff* skb, u16 type, const char* text) {
  return nla_put(skb, type, text, static_cast<u32>(strlen(text)) + 1);
}
nlattr* nla_nest_start(sk_buff* skb, u16 type) { return nla_reserve(skb, static_cast<u16>(type | NLA_F_NESTED), 0); }
void nla_nest_end(sk_buff* skb, nlattr* nest) {
  nest->nla_len = static_cast<u16>(skb_tail_pointer(skb) - reinterpret_cast<u8*>(nest));
}
void nla_nest_cancel(sk_buff* skb, nlattr* nest) {
  skb_trim(skb, static_cast<u32>(reinterpret_cast<u8*>(nest) - skb->data));
}

u64 nla_uint(const nlattr* a, u32 size) {
  u64 v = 0;
  memcpy(&v, nla_data(a), min(size, nla_len(a)));
  return v;
}
void nla_get_string(const nlattr* a, char* to, u32 size) {
  const u32 n = min(static_cast<u32>(strnlen(reinterpret_cast<const char*>(nla_data(a)), nla_len(a))), size - 1);
  memcpy(to, nla_data(a), n);
  to[n] = 0;
}
bool nla_equals(const nlattr* a, const char* text) {
  const size_t n = strnlen(reinterpret_cast<const char*>(nla_data(a)), nla_len(a));
  return n == strlen(text) && memcmp(nla_data(a), text, n) == 0;
}

namespace {
const nlattr* attr_at(const u8* at, const u8* end) {
  if (end < at || static_cast<u64>(end - at) < NLA_HDRLEN) return nullptr;
  const auto* a = reinterpret_cast<const nlattr*>(at);
  return a->nla_len >= NLA_HDRLEN && a->nla_len <= end - at ? a : nullptr;
}
}  // namespace
const nlattr* nla_first(const void* head, u32 length) {
  const u8* at = static_cast<const u8*>(head);
  return attr_at(at, at + length);
}
const nlattr* nla_next(const nlattr* a, const void* head, u32 length) {
  const u8* end = static_cast<const u8*>(head) + length;
  return attr_at(reinterpret_cast<const u8*>(a) + nl_align(a->nla_len), end);
}

int nla_parse(const nlattr** tb, u32 max, const void* head, u32 length, const nla_policy* policy, bool strict,
              netlink_ext_ack* ack) {
  for (u32 i = 0; i <= max; ++i) tb[i] = nullptr;
  for (const nlattr* a = nla_first(head, length); a != nullptr; a = nla_next(a, head, length)) {
    const u16 type = nla_type(a);
    if (type == 0 || type > max) {
      if (strict) return nl_error(ack, -EINVAL, "Unknown attribute type", a);
      continue;
    }
    if (policy != nullptr) TRY_INT(check(a, policy[type], strict, ack));
    tb[type] = a;
  }
  return 0;
}

int nlmsg_parse(const nlmsghdr* nlh, u32 header, const nlattr** tb, u32 max, const nla_policy* policy, bool strict,
                netlink_ext_ack* ack) {
  if (nlh->nlmsg_len < NLMSG_HDRLEN + header) return nl_error(ack, -EINVAL, "Invalid header length");
  const u32 offset = NLMSG_HDRLEN + nl_align(header);
  const u32 length = nlh->nlmsg_len > offset ? nlh->nlmsg_len - offset : 0;
  return nla_parse(tb, max, reinterpret_cast<const u8*>(nlh) + offset, length, policy, strict, ack);
}

}  // namespace xm::os
