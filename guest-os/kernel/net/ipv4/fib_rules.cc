// SPDX-License-Identifier: GPL-2.0-or-later
// Policy routing: rules in order of preference choose the table that is asked. [man 8 ip-rule] At start there are
// three: 0 local, 32766 main, 32767 default. As long as nobody adds one, the tables are asked directly.
#include "kernel/mm/slab.h"
#include "kernel/net/route.h"

namespace xm::os {

list_head fib_rules;

namespace {

bool custom_rules = false;
fib_table *local_table = nullptr, *main_table = nullptr, *default_table = nullptr;

bool same_device(const char* name, int index) {
  if (name[0] == 0) return true;
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (d->ifindex == index) return strncmp(d->name, name, kIfNameSize) == 0;
  }
  return false;
}

bool rule_matches(const fib_rule* r, const flowi4* fl) {
  const bool match = same_device(r->iifname, fl->iif) && same_device(r->oifname, fl->oif) &&
                     ((fl->saddr ^ r->src) & r->srcmask) == 0 && ((fl->daddr ^ r->dst) & r->dstmask) == 0 &&
                     (r->tos == 0 || r->tos == fl->tos) && ((fl->mark ^ r->mark) & r->mark_mask) == 0 &&
                     (r->ip_proto == 0 || r->ip_proto == fl->proto);
  return match != ((r->flags & FIB_RULE_INVERT) != 0);
}

int ask(fib_table* tb, const flowi4* fl, fib_result* res) {
  return tb == nullptr ? -EAGAIN : fib_table_lookup(tb, fl, res);
}

int ask_rules(const flowi4* fl, fib_result* res) {
  u32 goto_target = 0;
  for (fib_rule* r : entries<&fib_rule::list>(fib_rules)) {
    if (r->pref < goto_target || !rule_matches(r, fl)) continue;
    switch (r->action) {
      case FR_ACT_TO_TBL: {
        const int error = ask(fib_get_table(r->table), fl, res);
        if (error == -EAGAIN) break;
        if (error == 0 && r->suppress_prefixlen >= 0 && res->prefixlen <= r->suppress_prefixlen) break;
        return error;
      }
      case FR_ACT_GOTO: goto_target = r->target; break;
      case FR_ACT_UNREACHABLE: return -ENETUNREACH;
      case FR_ACT_PROHIBIT: return -EACCES;
      case FR_ACT_BLACKHOLE: return -EINVAL;
      default: break;
    }
  }
  return -ENETUNREACH;
}

bool agrees(const fib_rule& want, const fib_rule* r) {
  return (want.action == 0 || want.action == r->action) && (want.table == 0 || want.table == r->table) &&
         (want.pref == 0 || want.pref == r->pref) && want.src_len == r->src_len && want.src == r->src &&
         want.dst_len == r->dst_len && want.dst == r->dst && (want.tos == 0 || want.tos == r->tos) &&
         (want.mark == 0 || want.mark == r->mark) &&
         (want.iifname[0] == 0 || strncmp(want.iifname, r->iifname, kIfNameSize) == 0) &&
         (want.oifname[0] == 0 || strncmp(want.oifname, r->oifname, kIfNameSize) == 0);
}

void insert(fib_rule* fresh) {
  list_head* at = &fib_rules;
  for (fib_rule* r : entries<&fib_rule::list>(fib_rules)) {
    if (r->pref > fresh->pref) {
      at = &r->list;
      break;
    }
  }
  fresh->list.next = at;
  fresh->list.prev = at->prev;
  full_barrier();
  at->prev->next = &fresh->list;
  at->prev = &fresh->list;
}

}  // namespace

int fib_lookup(flowi4* fl, fib_result* res) {
  if (unlikely(custom_rules)) return ask_rules(fl, res);
  int error = ask(local_table, fl, res);
  if (error == -EAGAIN) error = ask(main_table, fl, res);
  if (error == -EAGAIN) error = ask(read_once(default_table), fl, res);
  return error == -EAGAIN ? -ENETUNREACH : error;
}

int fib_rule_add(const fib_rule& rule) {
  if (rule.action == FR_ACT_TO_TBL && rule.table == 0) return -EINVAL;
  if (rule.src_len > 32 || rule.dst_len > 32) return -EINVAL;
  if (rule.action == FR_ACT_TO_TBL && fib_new_table(rule.table) == nullptr) return -ENOBUFS;
  fib_rule* fresh = knew<fib_rule>();
  if (fresh == nullptr) return -ENOMEM;
  fresh->pref = rule.pref;
  fresh->table = rule.table;
  fresh->mark = rule.mark;
  fresh->mark_mask = rule.mark_mask;
  fresh->action = rule.action;
  fresh->tos = rule.tos;
  fresh->src_len = rule.src_len;
  fresh->dst_len = rule.dst_len;
  fresh->src = rule.src;
  fresh->dst = rule.dst;
  fresh->srcmask = inet_make_mask(rule.src_len);
  fresh->dstmask = inet_make_mask(rule.dst_len);
  memcpy(fresh->iifname, rule.iifname, sizeof fresh->iifname);
  memcpy(fresh->oifname, rule.oifname, sizeof fresh->oifname);
  fresh->flags = rule.flags;
  fresh->target = rule.target;
  fresh->protocol = rule.protocol;
  fresh->ip_proto = rule.ip_proto;
  fresh->suppress_prefixlen = rule.suppress_prefixlen;
  if (fresh->pref == 0) {  // before the first rule that is not 0
    for (fib_rule* r : entries<&fib_rule::list>(fib_rules)) {
      if (r->pref == 0) continue;
      fresh->pref = r->pref - 1;
      break;
    }
  }
  insert(fresh);
  custom_rules = true;
  rt_cache_flush();
  return 0;
}

int fib_rule_delete(const fib_rule& match) {
  for (fib_rule* r : entries<&fib_rule::list>(fib_rules)) {
    if (!agrees(match, r)) continue;
    list_del_rcu(&r->list);
    custom_rules = true;
    synchronize_net();
    kdelete(r);
    rt_cache_flush();
    return 0;
  }
  return -ENOENT;
}

void fib_rules_init() {
  fib_rules.init();
  local_table = fib_new_table(RT_TABLE_LOCAL);
  main_table = fib_new_table(RT_TABLE_MAIN);
  default_table = fib_new_table(RT_TABLE_DEFAULT);
  const struct {
    u32 pref, table;
  } kDefaults[] = {{0, RT_TABLE_LOCAL}, {32766, RT_TABLE_MAIN}, {32767, RT_TABLE_DEFAULT}};
  for (const auto& d : kDefaults) {
    fib_rule* r = knew<fib_rule>();
    if (r == nullptr) return;
    r->pref = d.pref;
    r->table = d.table;
    insert(r);
  }
}

}  // namespace xm::os
