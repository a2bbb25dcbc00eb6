// SPDX-License-Identifier: GPL-2.0-or-later
// What a route means: its next hops, preferred source and metrics (fib_info). Routes that agree in all of it share one,
// so that a hundred thousand of them through one gateway cost no more than their prefixes. Hardware-free.
#include "kernel/drivers/random.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/route.h"

namespace xm::os {

u32 fib_info_cnt = 0;

namespace {

constexpr u32 kBuckets = 256;
list_head info_hash[kBuckets];

u32 hash_of(const fib_info* fi) {
  u32 h = fi->fib_protocol ^ fi->fib_scope << 8 ^ fi->fib_prefsrc ^ fi->fib_priority * 31 ^ fi->fib_tb_id;
  for (u32 i = 0; i < fi->fib_nhs; ++i) h = (h ^ fi->nh()[i].nh_gw ^ static_cast<u32>(fi->nh()[i].nh_oif)) * 0x9e3779b1;
  return h >> 24;
}

bool same_info(const fib_info* a, const fib_info* b) {
  if (a->fib_nhs != b->fib_nhs || a->fib_protocol != b->fib_protocol || a->fib_scope != b->fib_scope ||
      a->fib_type != b->fib_type || a->fib_prefsrc != b->fib_prefsrc || a->fib_priority != b->fib_priority ||
      a->fib_tb_id != b->fib_tb_id || a->fib_mtu != b->fib_mtu || a->fib_advmss != b->fib_advmss ||
      a->fib_window != b->fib_window || a->fib_initcwnd != b->fib_initcwnd || a->fib_initrwnd != b->fib_initrwnd ||
      a->fib_metric_lock != b->fib_metric_lock)
    return false;
  for (u32 i = 0; i < a->fib_nhs; ++i) {
    const fib_nh &x = a->nh()[i], &y = b->nh()[i];
    if (x.nh_oif != y.nh_oif || x.nh_gw != y.nh_gw || x.nh_scope != y.nh_scope || x.nh_weight != y.nh_weight ||
        ((x.nh_flags ^ y.nh_flags) & ~RTNH_F_DEAD) != 0)
      return false;
  }
  return true;
}

void free_info(fib_info* fi) {
  for (u32 i = 0; i < fi->fib_nhs; ++i) {
    fib_nh& nh = fi->nh()[i];
    dst_release(nh.nh_rth_output);
    dst_release(nh.nh_rth_input);
    if (nh.nh_dev != nullptr) dev_put(nh.nh_dev);
  }
  fi->~fib_info();
  kfree(fi);
}

int refuse(fib_config* cfg, int error, const char* why) {
  format(cfg->error, sizeof cfg->error, "%s", why);
  return error;
}

// A gateway must be reachable without another gateway. Fills in the device and the scope of the next hop.
int check_gateway(fib_config* cfg, fib_nh* nh, u8 scope) {
  if (scope >= RT_SCOPE_LINK) return refuse(cfg, -EINVAL, "Nexthop has invalid scope");
  if ((nh->nh_flags & RTNH_F_ONLINK) != 0) {
    if (inet_addr_type(nh->nh_gw) != RTN_UNICAST) return refuse(cfg, -EINVAL, "Nexthop has invalid gateway");
    nh->nh_dev = dev_get_by_index(nh->nh_oif);
    if (nh->nh_dev == nullptr) return refuse(cfg, -ENODEV, "Nexthop device required for onlink");
    nh->nh_scope = RT_SCOPE_LINK;
    return (nh->nh_dev->flags & IFF_UP) != 0 ? 0 : refuse(cfg, -ENETDOWN, "Nexthop device is not up");
  }
  flowi4 fl;
  fl.daddr = nh->nh_gw;
  fl.oif = nh->nh_oif;
  fl.scope = max<u8>(scope + 1, RT_SCOPE_LINK);
  fl.iif = 1;
  fib_result res;
  net_read_lock();
  fib_table* own = cfg->fc_table != 0 ? fib_get_table(cfg->fc_table) : nullptr;
  int error = own != nullptr ? fib_table_lookup(own, &fl, &res) : -EAGAIN;
  if (error != 0) error = fib_lookup(&fl, &res);
  if (error == 0) {
    if (res.type != RTN_UNICAST && res.type != RTN_LOCAL) {
      error = -EINVAL;
    } else {
      const fib_nh& via = res.fi->nh()[res.nh_sel];
      nh->nh_scope = res.scope;
      nh->nh_oif = via.nh_oif;
      nh->nh_dev = via.nh_dev;
      if (nh->nh_dev == nullptr)
        error = -EINVAL;
      else
        dev_hold(nh->nh_dev);
    }
  } else {
    error = -ENETUNREACH;
  }
  net_read_unlock();
  if (error != 0) return refuse(cfg, error, "Nexthop has invalid gateway");
  return (nh->nh_dev->flags & IFF_UP) != 0 ? 0 : refuse(cfg, -ENETDOWN, "Nexthop device is not up");
}

int check_nexthop(fib_config* cfg, fib_nh* nh, u8 scope) {
  if (nh->nh_gw != 0) return check_gateway(cfg, nh, scope);
  nh->nh_dev = dev_get_by_index(nh->nh_oif);
  if (nh->nh_dev == nullptr) return refuse(cfg, -ENODEV, "Invalid nexthop device");
  if (in_dev_get(nh->nh_dev) == nullptr) return refuse(cfg, -ENODEV, "Nexthop device has no IPv4");
  if ((nh->nh_dev->flags & IFF_UP) == 0) return refuse(cfg, -ENETDOWN, "Device for nexthop is not up");
  nh->nh_scope = RT_SCOPE_NOWHERE;
  if (!nh->nh_dev->carrier) nh->nh_flags |= RTNH_F_LINKDOWN;
  return 0;
}

void set_upper_bounds(fib_info* fi) {
  u64 total = 0, sum = 0;
  for (u32 i = 0; i < fi->fib_nhs; ++i) total += fi->nh()[i].nh_weight;
  for (u32 i = 0; i < fi->fib_nhs; ++i) {
    sum += fi->nh()[i].nh_weight;
    fi->nh()[i].nh_upper_bound = static_cast<u32>((sum << 31) / max<u64>(total, 1));
  }
}

int fill_nexthops(fib_config* cfg, fib_info* fi) {
  if (cfg->fc_nr_nh > 0) {
    for (u32 i = 0; i < fi->fib_nhs; ++i) {
      fib_nh& nh = fi->nh()[i];
      nh.nh_oif = cfg->fc_nh[i].oif;
      nh.nh_gw = cfg->fc_nh[i].gw;
      nh.nh_flags = cfg->fc_nh[i].flags & RTNH_F_ONLINK;
      nh.nh_weight = max(cfg->fc_nh[i].weight, 1u);
    }
  } else {
    fi->nh()->nh_oif = cfg->fc_oif;
    fi->nh()->nh_gw = cfg->fc_gw;
    fi->nh()->nh_flags = cfg->fc_flags & RTNH_F_ONLINK;
  }
  if (cfg->fc_type >= RTN_BLACKHOLE) {
    if (cfg->fc_gw != 0 || cfg->fc_oif != 0 || cfg->fc_nr_nh > 0)
      return refuse(cfg, -EINVAL, "Route type does not take a gateway or device");
    return 0;
  }
  if (cfg->fc_scope > RT_SCOPE_HOST) return refuse(cfg, -EINVAL, "Invalid scope");
  if (cfg->fc_scope == RT_SCOPE_HOST) {  // a local address
    fib_nh* nh = fi->nh();
    if (fi->fib_nhs != 1 || nh->nh_gw != 0) return refuse(cfg, -EINVAL, "Route with host scope can not have a gateway");
    nh->nh_scope = RT_SCOPE_NOWHERE;
    nh->nh_dev = dev_get_by_index(nh->nh_oif);
    return nh->nh_dev != nullptr ? 0 : refuse(cfg, -ENODEV, "Failed to get nexthop device");
  }
  for (u32 i = 0; i < fi->fib_nhs; ++i) TRY_INT(check_nexthop(cfg, &fi->nh()[i], cfg->fc_scope));
  return 0;
}

bool valid_prefsrc(const fib_config* cfg) {
  if (cfg->fc_prefsrc == 0) return true;
  return cfg->fc_type == RTN_LOCAL && cfg->fc_dst != 0 && cfg->fc_prefsrc == cfg->fc_dst
             ? true
             : inet_addr_type(cfg->fc_prefsrc) == RTN_LOCAL;
}

}  // namespace

Result<fib_info*> fib_create_info(fib_config* cfg) {
  if (cfg->fc_type > RTN_THROW || cfg->fc_nr_nh > kMaxNexthops) return Error{EINVAL};
  for (list_head& b : info_hash) {
    if (b.next == nullptr) b.init();
  }
  const u32 nhs = max(cfg->fc_nr_nh, 1u);
  void* memory = kzalloc(sizeof(fib_info) + nhs * sizeof(fib_nh));
  if (memory == nullptr) return Error{ENOBUFS};
  fib_info* fi = new (memory) fib_info;
  for (u32 i = 0; i < nhs; ++i) new (fi->nh() + i) fib_nh{};
  fi->fib_nhs = nhs;
  fi->fib_protocol = cfg->fc_protocol;
  fi->fib_scope = cfg->fc_scope;
  fi->fib_type = cfg->fc_type;
  fi->fib_priority = cfg->fc_priority;
  fi->fib_prefsrc = cfg->fc_prefsrc;
  fi->fib_tb_id = cfg->fc_table;
  fi->fib_mtu = cfg->fc_mtu;
  fi->fib_advmss = cfg->fc_advmss;
  fi->fib_window = cfg->fc_window;
  fi->fib_initcwnd = cfg->fc_initcwnd;
  fi->fib_initrwnd = cfg->fc_initrwnd;
  fi->fib_metric_lock = cfg->fc_metric_lock;
  int error = fill_nexthops(cfg, fi);
  if (error == 0 && !valid_prefsrc(cfg)) error = refuse(cfg, -EINVAL, "Invalid prefsrc address");
  if (error != 0) {
    free_info(fi);
    return Error{-error};
  }
  set_upper_bounds(fi);
  list_head& bucket = info_hash[hash_of(fi)];
  for (fib_info* other : entries<&fib_info::fib_hash>(bucket)) {
    if (other->fib_dead || !same_info(fi, other)) continue;
    free_info(fi);
    ++other->fib_treeref;
    return other;
  }
  fi->fib_treeref = 1;
  list_add(&fi->fib_hash, &bucket);
  ++fib_info_cnt;
  return fi;
}

void fib_info_put(fib_info* fi) {
  if (fi->fib_clntref.dec_and_test()) free_info(fi);
}

void fib_release_info(fib_info* fi) {
  if (--fi->fib_treeref > 0) return;
  list_del(&fi->fib_hash);
  fi->fib_dead = true;
  --fib_info_cnt;
  synchronize_net();  // look-ups that are inside may still use it
  fib_info_put(fi);
}

bool fib_nh_match(const fib_config* cfg, const fib_info* fi) {
  if (cfg->fc_priority != 0 && cfg->fc_priority != fi->fib_priority) return false;
  if (cfg->fc_nr_nh == 0) {
    if (cfg->fc_oif != 0 && cfg->fc_oif != fi->nh()->nh_oif) return false;
    return cfg->fc_gw == 0 || cfg->fc_gw == fi->nh()->nh_gw;
  }
  if (cfg->fc_nr_nh != fi->fib_nhs) return false;
  for (u32 i = 0; i < fi->fib_nhs; ++i) {
    if (cfg->fc_nh[i].oif != 0 && cfg->fc_nh[i].oif != fi->nh()[i].nh_oif) return false;
    if (cfg->fc_nh[i].gw != 0 && cfg->fc_nh[i].gw != fi->nh()[i].nh_gw) return false;
  }
  return true;
}

// Of several next hops the one in whose range the flow's hash lies: a flow keeps its way. [RFC 2992]
void fib_select_path(fib_result* res, const flowi4* fl) {
  fib_info* fi = res->fi;
  if (fi->fib_nhs == 1 || fl->oif != 0) return;
  u32 h =
      fl->saddr * 0x9e3779b1u ^ fl->daddr * 0x85ebca6bu ^ (static_cast<u32>(fl->sport) << 16 | fl->dport) * 0xc2b2ae35u;
  h = (h ^ h >> 15) * 0x2c1b3c6du;
  h = (h ^ h >> 13) >> 1;
  for (u32 i = 0; i < fi->fib_nhs; ++i) {
    const fib_nh& nh = fi->nh()[i];
    if ((nh.nh_flags & RTNH_F_DEAD) != 0 || h > nh.nh_upper_bound) continue;
    res->nh_sel = static_cast<u8>(i);
    return;
  }
}

be32 fib_result_prefsrc(const fib_result* res, const net_device* dev) {
  if (res->fi->fib_prefsrc != 0) return res->fi->fib_prefsrc;
  const fib_nh& nh = res->fi->nh()[res->nh_sel];
  return inet_select_addr(nh.nh_dev != nullptr ? nh.nh_dev : dev, nh.nh_gw, res->fi->fib_scope);
}

int fib_sync_down_addr(net_device*, be32 local) {
  int found = 0;
  for (list_head& b : info_hash) {
    if (b.next == nullptr) continue;
    for (fib_info* fi : entries<&fib_info::fib_hash>(b)) {
      if (fi->fib_prefsrc != local || local == 0) continue;
      fi->fib_dead = true;
      ++found;
    }
  }
  return found;
}

// The device went down: its next hops are dead, and routes without another one too. The cached routes go at once, so
// that nothing holds a device that is going away.
int fib_sync_down_dev(net_device* dev, bool gone) {
  int found = 0;
  for (list_head& b : info_hash) {
    if (b.next == nullptr) continue;
    for (fib_info* fi : entries<&fib_info::fib_hash>(b)) {
      u32 dead = 0;
      for (u32 i = 0; i < fi->fib_nhs; ++i) {
        fib_nh& nh = fi->nh()[i];
        if (nh.nh_dev == dev && (fi->fib_scope != RT_SCOPE_HOST || gone)) {
          nh.nh_flags |= RTNH_F_DEAD;
          rtable *out, *in;
          {
            BhGuard guard(fi->lock);
            out = nh.nh_rth_output;
            in = nh.nh_rth_input;
            nh.nh_rth_output = nh.nh_rth_input = nullptr;
          }
          dst_release(out);
          dst_release(in);
        }
        if ((nh.nh_flags & RTNH_F_DEAD) != 0) ++dead;
      }
      if (dead != fi->fib_nhs) continue;
      fi->fib_dead = true;
      ++found;
    }
  }
  return found;
}

int fib_sync_up(net_device* dev) {
  int found = 0;
  for (list_head& b : info_hash) {
    if (b.next == nullptr) continue;
    for (fib_info* fi : entries<&fib_info::fib_hash>(b)) {
      for (u32 i = 0; i < fi->fib_nhs && !fi->fib_dead; ++i) {
        fib_nh& nh = fi->nh()[i];
        if (nh.nh_dev != dev || (nh.nh_flags & RTNH_F_DEAD) == 0) continue;
        nh.nh_flags &= ~RTNH_F_DEAD;
        ++found;
      }
    }
  }
  return found;
}

}  // namespace xm::os
