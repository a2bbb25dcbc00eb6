// SPDX-License-Identifier: GPL-2.0-or-later
// Multicast groups of devices, and reports of them to routers: MLDv2 records that say "any source". [RFC 3810]
// GAP: no source filters, no MLDv1 mode.
#include "kernel/drivers/random.h"
#include "kernel/lib/result.h"
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u8 kModeIsExclude = 2, kChangeToInclude = 3, kChangeToExclude = 4;
constexpr u32 kRecord = 20, kMaxRecords = 40;

bool reportable(const in6_addr& g) { return !(g == ipv6_make(0xff020000, 0, 0, 1)) && (g.bytes[1] & 15) > 1; }

in6_addr source_of(net_device* dev) {
  in6_addr a;
  ipv6_get_lladdr(dev, &a, false);  // the unspecified address while there is none
  return a;
}

void put_record(u8* at, u8 mode, const in6_addr& group) {
  memset(at, 0, kRecord);
  at[0] = mode;
  memcpy(at + 4, &group, 16);
}

void send_report(net_device* dev, const u8* records, u32 count) {
  if (count == 0 || (dev->flags & (IFF_LOOPBACK | IFF_NOARP)) != 0 || !netif_running(dev)) return;
  u8 body[8 + kRecord * kMaxRecords]{};
  body[0] = ICMPV6_MLD2_REPORT;
  body[7] = static_cast<u8>(count);
  memcpy(body + 8, records, count * kRecord);
  icmpv6_send_message(dev, source_of(dev), ipv6_make(0xff020000, 0, 0, 0x16), body, 8 + count * kRecord, true);
}

void report_one(net_device* dev, const in6_addr& group, u8 mode) {
  if (!reportable(group)) return;
  u8 record[kRecord];
  put_record(record, mode, group);
  send_report(dev, record, 1);
}

ifmcaddr6* find_locked(const inet6_dev* idev, const in6_addr& group) {
  for (ifmcaddr6* g : entries<&ifmcaddr6::link>(const_cast<inet6_dev*>(idev)->groups)) {
    if (g->group == group) return g;
  }
  return nullptr;
}

}  // namespace

int ipv6_dev_mc_inc(net_device* dev, const in6_addr& group) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return -EINVAL;
  void* memory = kmalloc(sizeof(ifmcaddr6), GFP_ATOMIC);
  if (memory == nullptr) return -ENOMEM;
  {
    BhGuard guard(addrconf_lock);
    if (ifmcaddr6* g = find_locked(idev, group)) {
      ++g->users;
      kfree(memory);
      return 0;
    }
    auto* g = new (memory) ifmcaddr6{};
    g->group = group;
    list_add_tail(&g->link, &idev->groups);
  }
  u8 mac[kEthAlen];
  if (dev->type == ARPHRD_ETHER && ndisc_constructor_map(group, mac)) dev_mc_add(dev, mac);
  report_one(dev, group, kChangeToExclude);
  return 0;
}

int ipv6_dev_mc_dec(net_device* dev, const in6_addr& group) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return -EINVAL;
  {
    BhGuard guard(addrconf_lock);
    ifmcaddr6* g = find_locked(idev, group);
    if (g == nullptr) return -ENOENT;
    if (--g->users > 0) return 0;
    list_del(&g->link);
    kfree(g);
  }
  u8 mac[kEthAlen];
  if (dev->type == ARPHRD_ETHER && ndisc_constructor_map(group, mac)) dev_mc_del(dev, mac);
  report_one(dev, group, kChangeToInclude);
  return 0;
}

bool ipv6_chk_mcast(const net_device* dev, const in6_addr& group) {
  const inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return false;
  if (group == ipv6_make(0xff020000, 0, 0, 1) || group == ipv6_make(0xff010000, 0, 0, 1)) return true;
  BhGuard guard(addrconf_lock);
  return find_locked(idev, group) != nullptr;
}

void mld_report_all(net_device* dev) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return;
  u8 records[kRecord * kMaxRecords];
  u32 n = 0;
  {
    BhGuard guard(addrconf_lock);
    for (const ifmcaddr6* g : entries<&ifmcaddr6::link>(idev->groups)) {
      if (reportable(g->group) && n < kMaxRecords) put_record(records + kRecord * n++, kModeIsExclude, g->group);
    }
  }
  send_report(dev, records, n);
}

// Answered at once: a listener may take any time up to the one the query names.
void mld_query_rcv(sk_buff* skb) {
  if (ipv6_hdr(skb)->saddr.linklocal() && ipv6_hdr(skb)->hop_limit == 1) mld_report_all(skb->dev);
}

}  // namespace xm::os
