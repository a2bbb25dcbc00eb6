// SPDX-License-Identifier: GPL-2.0-or-later
// A routing table as a trie: each node stands for a prefix, its children for longer ones that begin with it; paths
// without a fork are one step. The longest matching prefix is the last node with routes on the way down, and where
// none of its routes will do, the one before it. Readers walk without a lock inside net_read_lock(); writers hold rtnl,
// publish with one store and free what they took out when no reader can hold it. Free of hardware: unit-tested.
#include "kernel/mm/slab.h"
#include "kernel/net/route.h"

namespace xm::os {

struct fib_node {
  u32 key;  // host order, bits behind plen are zero
  u8 plen;
  fib_node* parent;
  fib_node* child[2];
  fib_alias* routes;  // by TOS (falling), then priority (rising)
};

struct fib_table {
  u32 id;
  fib_node* root;
  u32 prefixes;
  fib_table* next;
};

void (*rtmsg_fib_hook)(int event, be32 prefix, u8 prefixlen, const fib_alias* fa, u32 table, u32 nlflags) = nullptr;

namespace {

constexpr int kRtmNewRoute = 24, kRtmDelRoute = 25;

template <class T>
void publish(T*& at, T* to) {
  __atomic_store_n(&at, to, __ATOMIC_RELEASE);
}

// What readers may still see is kept until a batch is worth waiting for them.
struct Retired {
  Retired* next;
};
Retired* retired_list = nullptr;
u32 retired_count = 0;
void retire(void* p) {
  Retired* r = static_cast<Retired*>(kmalloc(sizeof(Retired) + sizeof(void*)));
  if (r == nullptr) {
    synchronize_net();
    kfree(p);
    return;
  }
  *reinterpret_cast<void**>(r + 1) = p;
  r->next = retired_list;
  retired_list = r;
  if (++retired_count < 512) return;
  synchronize_net();
  while (retired_list != nullptr) {
    Retired* first = retired_list;
    retired_list = first->next;
    kfree(*reinterpret_cast<void**>(first + 1));
    kfree(first);
  }
  retired_count = 0;
}

constexpr u32 mask_of(u32 plen) { return plen == 0 ? 0 : ~0u << (32 - plen); }
constexpr u32 bit_at(u32 key, u32 n) { return n >= 32 ? 0 : key >> (31 - n) & 1; }
bool covers(const fib_node* n, u32 key) { return ((n->key ^ key) & mask_of(n->plen)) == 0; }

fib_node* make_node(u32 key, u8 plen) {
  fib_node* n = static_cast<fib_node*>(kzalloc(sizeof(fib_node)));
  if (n == nullptr) return nullptr;
  n->key = key & mask_of(plen);
  n->plen = plen;
  return n;
}
fib_node*& link_of(fib_table* tb, fib_node* n) {
  return n->parent == nullptr ? tb->root : n->parent->child[bit_at(n->key, n->parent->plen)];
}
void set_child(fib_node* parent, fib_node* child) {
  child->parent = parent;
  publish(parent->child[bit_at(child->key, parent->plen)], child);
}

fib_node* find_exact(fib_table* tb, u32 key, u8 plen) {
  fib_node* n = tb->root;
  while (n != nullptr && n->plen < plen && covers(n, key)) n = n->child[bit_at(key, n->plen)];
  return n != nullptr && n->plen == plen && covers(n, key) ? n : nullptr;
}

// The node of a prefix, made if there is none. A new node goes between `parent` and what was below it; where the two
// differ before either ends, a node without routes joins them.
fib_node* find_or_make(fib_table* tb, u32 key, u8 plen) {
  fib_node* parent = nullptr;
  fib_node* n = tb->root;
  while (n != nullptr && n->plen < plen && covers(n, key)) {
    parent = n;
    n = n->child[bit_at(key, n->plen)];
  }
  if (n != nullptr && n->plen == plen && covers(n, key)) return n;
  fib_node* fresh = make_node(key, plen);
  if (fresh == nullptr) return nullptr;
  fib_node* top = fresh;
  if (n != nullptr) {
    const u32 difference = (n->key ^ fresh->key) & mask_of(min(n->plen, plen));
    if (difference == 0) {  // fresh is a prefix of n
      set_child(fresh, n);
    } else {
      top = make_node(key, static_cast<u8>(__builtin_clz(difference)));
      if (top == nullptr) {
        kfree(fresh);
        return nullptr;
      }
      fib_node* const old_parent = n->parent;
      set_child(top, fresh);
      set_child(top, n);
      top->parent = old_parent;
    }
  }
  top->parent = parent;
  if (parent == nullptr)
    publish(tb->root, top);
  else
    publish(parent->child[bit_at(top->key, parent->plen)], top);
  return fresh;
}

// Takes out nodes that hold no route and join nothing.
void prune(fib_table* tb, fib_node* n) {
  while (n != nullptr && n->routes == nullptr && (n->child[0] == nullptr || n->child[1] == nullptr)) {
    fib_node* parent = n->parent;
    fib_node* below = n->child[0] != nullptr ? n->child[0] : n->child[1];
    fib_node*& link = link_of(tb, n);
    if (below != nullptr) below->parent = parent;
    publish(link, below);
    retire(n);
    n = below != nullptr ? nullptr : parent;
  }
}

bool fits(const fib_alias* fa, const flowi4* fl) {
  if (fa->fa_tos != 0 && fa->fa_tos != fl->tos) return false;
  return !fa->fa_info->fib_dead && fa->fa_info->fib_scope >= fl->scope;
}

// The first usable next hop of a route, 0xff: none.
u8 usable_nexthop(const fib_info* fi, const flowi4* fl) {
  for (u32 i = 0; i < fi->fib_nhs; ++i) {
    const fib_nh& nh = fi->nh()[i];
    if ((nh.nh_flags & RTNH_F_DEAD) != 0) continue;
    if (fl->oif != 0 && (fl->flags & FLOWI_FLAG_KNOWN_NH) == 0 && fl->oif != nh.nh_oif) continue;
    return static_cast<u8>(i);
  }
  return 0xff;
}

int try_routes(const fib_table* tb, const fib_node* n, const flowi4* fl, fib_result* res) {
  static constexpr int kErrors[] = {-EINVAL, 0, 0, 0, 0, 0, -EINVAL, -EHOSTUNREACH, -EACCES, -EAGAIN, -EINVAL};
  for (const fib_alias* fa = read_once(n->routes); fa != nullptr; fa = read_once(fa->fa_next)) {
    if (!fits(fa, fl)) continue;
    if (fa->fa_type >= RTN_BLACKHOLE) {
      res->type = fa->fa_type;
      return kErrors[min<u32>(fa->fa_type, array_size(kErrors) - 1)];
    }
    const u8 sel = usable_nexthop(fa->fa_info, fl);
    if (sel == 0xff) continue;
    res->prefix = htonl(n->key);
    res->prefixlen = n->plen;
    res->nh_sel = sel;
    res->type = fa->fa_type;
    res->scope = fa->fa_info->fib_scope;
    res->fi = fa->fa_info;
    res->table = tb->id;
    return 0;
  }
  return 1;
}

fib_alias** alias_place(fib_node* n, u8 tos, u32 priority) {
  fib_alias** at = &n->routes;
  while (*at != nullptr && ((*at)->fa_tos > tos || ((*at)->fa_tos == tos && (*at)->fa_info->fib_priority < priority)))
    at = &(*at)->fa_next;
  return at;
}

void notify(int event, const fib_node* n, const fib_alias* fa, u32 table, u32 flags) {
  if (rtmsg_fib_hook != nullptr) rtmsg_fib_hook(event, htonl(n->key), n->plen, fa, table, flags);
}

fib_node* next_node(const fib_node* n) {
  if (n->child[0] != nullptr) return n->child[0];
  if (n->child[1] != nullptr) return n->child[1];
  for (; n->parent != nullptr; n = n->parent) {
    fib_node* right = n->parent->child[1];
    if (right != nullptr && right != n) return right;
  }
  return nullptr;
}

void drop_alias(fib_table* tb, fib_node* n, fib_alias** at) {
  fib_alias* fa = *at;
  notify(kRtmDelRoute, n, fa, tb->id, 0);
  publish(*at, fa->fa_next);
  if (n->routes == nullptr) --tb->prefixes;
  fib_release_info(fa->fa_info);
  retire(fa);
}

}  // namespace

fib_table* fib_trie_table(u32 id) {
  fib_table* tb = static_cast<fib_table*>(kzalloc(sizeof(fib_table)));
  if (tb != nullptr) tb->id = id;
  return tb;
}
u32 fib_table_id(const fib_table* tb) { return tb->id; }

int fib_table_lookup(fib_table* tb, const flowi4* fl, fib_result* res) {
  const u32 key = ntohl(fl->daddr);
  const fib_node* candidates[33];
  u32 n = 0;
  for (const fib_node* at = read_once(tb->root); at != nullptr && covers(at, key);
       at = read_once(at->child[bit_at(key, at->plen)])) {
    if (at->routes != nullptr) candidates[n++] = at;
    if (at->plen == 32) break;
  }
  while (n-- > 0) {
    const int error = try_routes(tb, candidates[n], fl, res);
    if (error <= 0) return error;
  }
  return -EAGAIN;
}

int fib_table_insert(fib_table* tb, fib_config* cfg) {
  if (cfg->fc_dst_len > 32) return -EINVAL;
  const u32 key = ntohl(cfg->fc_dst);
  if ((key & ~mask_of(cfg->fc_dst_len)) != 0) return -EINVAL;
  fib_info* fi = TRY(fib_create_info(cfg));
  const auto fail = [&](int error) {
    fib_release_info(fi);
    return error;
  };
  fib_node* n = find_exact(tb, key, cfg->fc_dst_len);
  fib_alias** at = n == nullptr ? nullptr : alias_place(n, cfg->fc_tos, fi->fib_priority);
  fib_alias* same = at == nullptr ? nullptr : *at;
  if (same != nullptr && (same->fa_tos != cfg->fc_tos || same->fa_info->fib_priority != fi->fib_priority))
    same = nullptr;
  if (same != nullptr) {
    if ((cfg->fc_nlflags & NLM_F_EXCL) != 0) return fail(-EEXIST);
    for (fib_alias* fa = same;
         fa != nullptr && fa->fa_tos == cfg->fc_tos && fa->fa_info->fib_priority == fi->fib_priority;
         fa = fa->fa_next) {
      if (fa->fa_type == cfg->fc_type && fa->fa_info == fi)
        return fail((cfg->fc_nlflags & NLM_F_REPLACE) != 0 && fa == same ? 0 : -EEXIST);
    }
  } else if (n == nullptr || (cfg->fc_nlflags & NLM_F_REPLACE) != 0) {
    if ((cfg->fc_nlflags & (NLM_F_CREATE | NLM_F_REPLACE)) == NLM_F_REPLACE) return fail(-ENOENT);
  }
  fib_alias* fresh = static_cast<fib_alias*>(kzalloc(sizeof(fib_alias)));
  if (fresh == nullptr) return fail(-ENOBUFS);
  if (n == nullptr) n = find_or_make(tb, key, cfg->fc_dst_len);
  if (n == nullptr) {
    kfree(fresh);
    return fail(-ENOBUFS);
  }
  fresh->fa_info = fi;
  fresh->fa_tos = cfg->fc_tos;
  fresh->fa_type = cfg->fc_type;
  if (n->routes == nullptr) ++tb->prefixes;
  at = alias_place(n, cfg->fc_tos, fi->fib_priority);
  if (same != nullptr && (cfg->fc_nlflags & NLM_F_REPLACE) != 0) {
    fresh->fa_next = same->fa_next;
    publish(*at, fresh);
    fib_release_info(same->fa_info);
    retire(same);
  } else {
    if (same != nullptr && (cfg->fc_nlflags & NLM_F_APPEND) != 0) {
      while (*at != nullptr && (*at)->fa_tos == cfg->fc_tos && (*at)->fa_info->fib_priority == fi->fib_priority)
        at = &(*at)->fa_next;
    }
    fresh->fa_next = *at;
    publish(*at, fresh);
  }
  rt_cache_flush();
  notify(kRtmNewRoute, n, fresh, tb->id, cfg->fc_nlflags);
  return 0;
}

int fib_table_delete(fib_table* tb, fib_config* cfg) {
  fib_node* n = find_exact(tb, ntohl(cfg->fc_dst), cfg->fc_dst_len);
  if (n == nullptr) return -ESRCH;
  for (fib_alias** at = &n->routes; *at != nullptr; at = &(*at)->fa_next) {
    const fib_alias* fa = *at;
    const fib_info* fi = fa->fa_info;
    if (fa->fa_tos != cfg->fc_tos) continue;
    if ((cfg->fc_type != 0 && fa->fa_type != cfg->fc_type) ||
        (cfg->fc_scope != RT_SCOPE_NOWHERE && fi->fib_scope != cfg->fc_scope) ||
        (cfg->fc_prefsrc != 0 && fi->fib_prefsrc != cfg->fc_prefsrc) ||
        (cfg->fc_protocol != 0 && fi->fib_protocol != cfg->fc_protocol) ||
        (cfg->fc_priority != 0 && fi->fib_priority != cfg->fc_priority) || !fib_nh_match(cfg, fi))
      continue;
    drop_alias(tb, n, at);
    prune(tb, n);
    rt_cache_flush();
    return 0;
  }
  return -ESRCH;
}

u32 fib_table_flush(fib_table* tb) {
  u32 found = 0;
  for (fib_node* n = tb->root; n != nullptr;) {
    for (fib_alias** at = &n->routes; *at != nullptr;) {
      if ((*at)->fa_info->fib_dead) {
        drop_alias(tb, n, at);
        ++found;
      } else {
        at = &(*at)->fa_next;
      }
    }
    fib_node* following = next_node(n);
    // A node that goes leaves its child, which is `following`, in its place.
    prune(tb, n);
    n = following;
  }
  if (found > 0) rt_cache_flush();
  return found;
}

bool fib_table_walk(fib_table* tb, bool (*visit)(const fib_route& r, void* data), void* data) {
  for (const fib_node* n = tb->root; n != nullptr; n = next_node(n)) {
    for (const fib_alias* fa = n->routes; fa != nullptr; fa = fa->fa_next) {
      if (!visit({htonl(n->key), n->plen, fa, tb->id}, data)) return false;
    }
  }
  return true;
}

fib_trie_stat fib_trie_statistics(const fib_table* tb) {
  fib_trie_stat s{tb->prefixes, 0, 0};
  for (const fib_node* n = tb->root; n != nullptr; n = next_node(n)) {
    ++s.nodes;
    u32 depth = 1;
    for (const fib_node* p = n->parent; p != nullptr; p = p->parent) ++depth;
    s.depth = max(s.depth, depth);
  }
  return s;
}

void fib_table_free(fib_table* tb) {
  while (tb->root != nullptr) {
    fib_node* n = tb->root;
    while (next_node(n) != nullptr) n = next_node(n);
    while (n->routes != nullptr) drop_alias(tb, n, &n->routes);
    prune(tb, n);
  }
  kfree(tb);
}

}  // namespace xm::os
