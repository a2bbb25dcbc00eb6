// SPDX-License-Identifier: GPL-2.0-or-later
// The hash index of a large directory: a root in block 0, up to two more levels of nodes, leaves with entries in any
// order. A table is sorted by hash; entry 0 has no hash and stands for everything below entry 1. When names of one hash
// lie in two leaves, the second one's hash has its lowest bit set. [Linux Documentation/filesystems/ext4/directory]
#include "kernel/fs/ext4/dir.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 kMaxLevels = 4;

struct DxCount {
  u16 limit, count;
};
struct Node {
  ext4_ref ref;
  ext4_dx_entry* table = nullptr;
  u32 at = 0;
  DxCount* head() const { return reinterpret_cast<DxCount*>(table); }
};
struct Path {
  Node node[kMaxLevels];
  u32 levels = 0;  // index of the lowest node
  ext4_hash hash{};
  Node& last() { return node[levels]; }
};

u32 limit_of(const ext4_fs& fs, u32 table_at) {
  return (fs.block_size - table_at - (fs.has_checksums ? 8 : 0)) / sizeof(ext4_dx_entry);
}
u32 max_levels(const ext4_fs& fs) { return fs.has(EXT4_INCOMPAT_LARGEDIR) ? 2 : 1; }

int open_node(ext4_fs& fs, const ext4_body& dir, u32 block, u32 table_at, Node& n) {
  TRY_INT(ext4_dir_block(fs, dir, block, n.ref));
  n.table = reinterpret_cast<ext4_dx_entry*>(n.ref.data() + table_at);
  const DxCount c = *n.head();
  return c.limit == limit_of(fs, table_at) && c.count > 0 && c.count <= c.limit ? 0 : -EUCLEAN;
}

void search(Node& n, u32 hash) {
  u32 low = 1, high = n.head()->count;
  while (low < high) {
    const u32 middle = (low + high) / 2;
    if (n.table[middle].hash > hash) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  n.at = low - 1;
}
u32 child(const Node& n) { return n.table[n.at].block & 0x0fffffff; }

int probe(ext4_fs& fs, const ext4_body& dir, const DirName& name, Path& p) {
  TRY_INT(open_node(fs, dir, 0, kDxRootTableAt, p.node[0]));
  const auto* info = reinterpret_cast<const ext4_dx_root_info*>(p.node[0].ref.data() + kDxRootInfoAt);
  if (info->info_length != 8 || info->indirect_levels >= kMaxLevels) return -EUCLEAN;
  if ((info->unused_flags & 1) != 0) return -EOPNOTSUPP;
  TRY_INT(ext4_hash_name(fs, info->hash_version, name.text, name.length, p.hash));
  const u32 levels = info->indirect_levels;
  search(p.node[0], p.hash.major);
  for (p.levels = 0; p.levels < levels; ++p.levels) {
    Node& below = p.node[p.levels + 1];
    TRY_INT(open_node(fs, dir, child(p.node[p.levels]), kDxNodeTableAt, below));
    search(below, p.hash.major);
  }
  return 0;
}

// To the next leaf if it continues the same hash.
int next_leaf(ext4_fs& fs, const ext4_body& dir, Path& p, bool* more) {
  u32 level = p.levels;
  while (p.node[level].at + 1 >= p.node[level].head()->count) {
    if (level == 0) {
      *more = false;
      return 0;
    }
    --level;
  }
  ++p.node[level].at;
  const u32 hash = p.node[level].table[p.node[level].at].hash;
  *more = (hash & 1) != 0 && (hash & ~1u) == p.hash.major;
  for (; *more && level < p.levels; ++level) {
    TRY_INT(open_node(fs, dir, child(p.node[level]), kDxNodeTableAt, p.node[level + 1]));
    p.node[level + 1].at = 0;
  }
  return 0;
}

void insert_index(ext4_fs& fs, Node& n, u32 hash, u32 block) {
  DxCount* c = n.head();
  memmove(n.table + n.at + 2, n.table + n.at + 1, (c->count - n.at - 1) * sizeof(ext4_dx_entry));
  n.table[n.at + 1] = {hash, block};
  ++c->count;
  ext4_dirty(fs, n.ref.get());
}

// A new block that is an index node: one empty entry as long as the block.
int new_index_node(ext4_fs& fs, ext4_body& dir, Node& n, u32* logical) {
  TRY_INT(dir_append_block(fs, dir, n.ref, logical));
  memset(n.ref.data(), 0, fs.block_size);
  reinterpret_cast<ext4_dir_entry*>(n.ref.data())->rec_len = static_cast<u16>(fs.block_size);
  n.table = reinterpret_cast<ext4_dx_entry*>(n.ref.data() + kDxNodeTableAt);
  return 0;
}
void fill_node(const ext4_fs& fs, Node& n, const ext4_dx_entry* from, u32 count) {
  memcpy(n.table, from, count * sizeof(ext4_dx_entry));
  *n.head() = {static_cast<u16>(limit_of(fs, kDxNodeTableAt)), static_cast<u16>(count)};
}

// Makes room in the index for one more leaf: splits a node whose parent has room, or puts a level below the root. The
// caller probes again.
int make_index_room(ext4_fs& fs, ext4_body& dir, Path& p) {
  const auto full = [](const Node& n) { return n.head()->count == n.head()->limit; };
  u32 level = p.levels;
  while (level > 0 && full(p.node[level - 1])) --level;
  Node fresh;
  u32 logical;
  if (level == 0) {
    auto* info = reinterpret_cast<ext4_dx_root_info*>(p.node[0].ref.data() + kDxRootInfoAt);
    if (info->indirect_levels >= max_levels(fs)) return -ENOSPC;
    TRY_INT(new_index_node(fs, dir, fresh, &logical));
    Node& root = p.node[0];
    fill_node(fs, fresh, root.table, root.head()->count);
    root.head()->count = 1;
    root.table[0].block = logical;
    ++info->indirect_levels;
    ext4_dirty(fs, root.ref.get());
    return 0;
  }
  Node& n = p.node[level];
  TRY_INT(new_index_node(fs, dir, fresh, &logical));
  const u32 keep = n.head()->count / 2;
  const u32 hash = n.table[keep].hash;
  fill_node(fs, fresh, n.table + keep, n.head()->count - keep);
  n.head()->count = static_cast<u16>(keep);
  ext4_dirty(fs, n.ref.get());
  insert_index(fs, p.node[level - 1], hash, logical);
  return 0;
}

struct Item {
  u32 hash;
  u16 offset, size;
};

// Entries of a leaf with their hashes, sorted.
int collect(ext4_fs& fs, const u8* block, u8 version, Item* items, u32* count) {
  ext4_dir_cursor cursor{block, dir_space(fs), 0};
  int error = 0;
  *count = 0;
  while (const ext4_dir_entry* e = ext4_next_entry(fs, cursor, &error)) {
    ext4_hash hash;
    TRY_INT(ext4_hash_name(fs, version, e->name, e->name_len, hash));
    const u16 offset = static_cast<u16>(reinterpret_cast<const u8*>(e) - block);
    const Item item{hash.major, offset, static_cast<u16>(dir_entry_size(e->name_len))};
    u32 at = (*count)++;
    for (; at > 0 && items[at - 1].hash > item.hash; --at) items[at] = items[at - 1];
    items[at] = item;
  }
  return error;
}

// Writes the chosen entries one after the other; the last reaches to the end.
void write_leaf(const ext4_fs& fs, u8* to, const u8* from, const Item* items, u32 count) {
  dir_init_block(fs, to);
  u32 at = 0;
  for (u32 i = 0; i < count; ++i) {
    memcpy(to + at, from + items[i].offset, items[i].size);
    auto* e = reinterpret_cast<ext4_dir_entry*>(to + at);
    e->rec_len = static_cast<u16>(i + 1 == count ? dir_space(fs) - at : items[i].size);
    at += items[i].size;
  }
}

// Half of a full leaf, by hash, moves to a new one.
int split_leaf(ext4_fs& fs, ext4_body& dir, Path& p, ext4_ref& leaf, u8 version) {
  const u32 most = fs.block_size / 12;
  Item* items = static_cast<Item*>(kmalloc(most * sizeof(Item), GFP_NOFS));
  u8* old = static_cast<u8*>(kmalloc(fs.block_size, GFP_NOFS));
  u32 count = 0;
  int error = items == nullptr || old == nullptr ? -ENOMEM : collect(fs, leaf.data(), version, items, &count);
  ext4_ref fresh;
  u32 logical;
  if (error == 0 && count < 2) error = -ENOSPC;
  if (error == 0) error = dir_append_block(fs, dir, fresh, &logical);
  if (error == 0) {
    u32 keep = 0, bytes = 0;
    while (keep + 1 < count && bytes + items[keep].size <= fs.block_size / 2) bytes += items[keep++].size;
    keep = max(keep, 1u);
    const u32 hash = items[keep].hash;
    const u32 continued = items[keep - 1].hash == hash ? 1 : 0;
    memcpy(old, leaf.data(), fs.block_size);
    write_leaf(fs, fresh.data(), old, items + keep, count - keep);
    write_leaf(fs, leaf.data(), old, items, keep);
    ext4_dirty(fs, leaf.get());
    insert_index(fs, p.last(), hash + continued, logical);
  }
  kfree(items);
  kfree(old);
  return error;
}

}  // namespace

int htree_find(ext4_fs& fs, const ext4_body& dir, const DirName& name, ext4_ref& leaf) {
  // "." and ".." are in the root block.
  if (name.text[0] == '.' && (name.length == 1 || (name.length == 2 && name.text[1] == '.')))
    return ext4_dir_block(fs, dir, 0, leaf);
  Path p;
  TRY_INT(probe(fs, dir, name, p));
  for (bool more = true; more;) {
    TRY_INT(ext4_dir_block(fs, dir, child(p.last()), leaf));
    int error = 0;
    ext4_dir_entry* before;
    if (dir_search(fs, leaf.data(), name, &before, &error) != nullptr) return 0;
    if (error != 0) return error;
    TRY_INT(next_leaf(fs, dir, p, &more));
  }
  return -ENOENT;
}

int htree_insert(ext4_fs& fs, ext4_body& dir, const DirName& name, u32 ino, u8 type) {
  // Each turn makes room in one place; the tree is at most kMaxLevels high.
  for (u32 turn = 0; turn < 2 * kMaxLevels + 4; ++turn) {
    Path p;
    TRY_INT(probe(fs, dir, name, p));
    ext4_ref leaf;
    TRY_INT(ext4_dir_block(fs, dir, child(p.last()), leaf));
    const int error = dir_insert(fs, leaf.data(), name, ino, type);
    if (error == 0) ext4_dirty(fs, leaf.get());
    if (error != -ENOSPC) return error;
    if (p.last().head()->count == p.last().head()->limit) {
      TRY_INT(make_index_room(fs, dir, p));
      continue;
    }
    const u8 version = reinterpret_cast<const ext4_dx_root_info*>(p.node[0].ref.data() + kDxRootInfoAt)->hash_version;
    TRY_INT(split_leaf(fs, dir, p, leaf, version));
  }
  return -ENOSPC;
}

int htree_create(ext4_fs& fs, ext4_body& dir) {
  if (fs.super.s_def_hash_version > 2) return -EOPNOTSUPP;
  ext4_ref root, leaf;
  TRY_INT(ext4_dir_block(fs, dir, 0, root));
  u32 logical;
  TRY_INT(dir_append_block(fs, dir, leaf, &logical));
  // Everything behind "." and ".." moves to the leaf.
  Item* items = static_cast<Item*>(kmalloc(fs.block_size / 12 * sizeof(Item), GFP_NOFS));
  if (items == nullptr) return -ENOMEM;
  u32 count = 0;
  const int error = collect(fs, root.data(), fs.super.s_def_hash_version, items, &count);
  u32 rest = 0;
  for (u32 i = 0; i < count; ++i) {
    if (items[i].offset >= 24) items[rest++] = items[i];
  }
  if (error == 0) write_leaf(fs, leaf.data(), root.data(), items, rest);
  kfree(items);
  if (error != 0) return error;
  auto* dotdot = reinterpret_cast<ext4_dir_entry*>(root.data() + 12);
  if (dotdot->name_len != 2 || dotdot->name[0] != '.') return -EUCLEAN;
  dotdot->rec_len = static_cast<u16>(fs.block_size - 12);
  memset(root.data() + kDxRootInfoAt, 0, fs.block_size - kDxRootInfoAt);
  auto* info = reinterpret_cast<ext4_dx_root_info*>(root.data() + kDxRootInfoAt);
  info->hash_version = fs.super.s_def_hash_version;
  info->info_length = 8;
  auto* table = reinterpret_cast<ext4_dx_entry*>(root.data() + kDxRootTableAt);
  *reinterpret_cast<DxCount*>(table) = {static_cast<u16>(limit_of(fs, kDxRootTableAt)), 1};
  table[0].block = logical;
  ext4_dirty(fs, root.get());
  dir.flags |= EXT4_INDEX_FL;
  return 0;
}

}  // namespace xm::os
