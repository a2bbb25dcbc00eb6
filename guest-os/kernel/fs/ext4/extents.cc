// SPDX-License-Identifier: GPL-2.0-or-later
// The extent tree of a file: a B+ tree whose root lies in the inode (4 entries) and whose nodes fill a block each. Keys
// of inner nodes are the first block of their child. [Linux Documentation/filesystems/ext4/ifork]
#include "kernel/fs/ext4/groups.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u32 kRootEntries = 4, kEntrySize = 12;
constexpr u32 kRemovalsAtOnce = 24;  // extents that one call of ext4_unmap takes away
constexpr u16 kMaxUnwritten = 32767;

static_assert(sizeof(ext4_extent) == kEntrySize && sizeof(ext4_extent_idx) == kEntrySize);

struct Extent {  // as a value
  u32 block = 0, length = 0;
  u64 start = 0;
  bool unwritten = false;
  u32 end() const { return block + length; }
};
Extent load(const ext4_extent& e) {
  const bool unwritten = e.ee_len > kMaxInitExtent;
  return {e.ee_block, unwritten ? e.ee_len - kMaxInitExtent : static_cast<u32>(e.ee_len),
          e.ee_start_lo | static_cast<u64>(e.ee_start_hi) << 32, unwritten};
}
void store(ext4_extent& e, const Extent& v) {
  e.ee_block = v.block;
  e.ee_len = static_cast<u16>(v.unwritten ? v.length + kMaxInitExtent : v.length);
  e.ee_start_lo = static_cast<u32>(v.start);
  e.ee_start_hi = static_cast<u16>(v.start >> 32);
}
bool can_merge(const Extent& a, const Extent& b) {
  return a.unwritten == b.unwritten && a.end() == b.block && a.start + a.length == b.start &&
         a.length + b.length <= (a.unwritten ? kMaxUnwritten : kMaxInitExtent);
}

u64 child_of(const ext4_extent_idx& i) { return i.ei_leaf_lo | static_cast<u64>(i.ei_leaf_hi) << 32; }
void set_child(ext4_extent_idx& i, u32 key, u64 block) {
  i = {key, static_cast<u32>(block), static_cast<u16>(block >> 32), 0};
}

// One node on the way from the root to a leaf, and the entry that was followed (leaf: -1 when all lie behind).
struct Level {
  ext4_ref ref;  // empty for the root
  ext4_extent_header* head = nullptr;
  int at = -1;
  ext4_extent* extents() const { return reinterpret_cast<ext4_extent*>(head + 1); }
  ext4_extent_idx* indexes() const { return reinterpret_cast<ext4_extent_idx*>(head + 1); }
  u32 first_key() const { return extents()[0].ee_block; }  // both kinds of entry begin with their key
};
struct Path {
  Level level[kMaxExtentDepth + 1];
  u32 depth = 0;
  Level& leaf() { return level[depth]; }
};

class Tree {
 public:
  Tree(ext4_fs& fs, ext4_body& body) : fs_(fs), body_(body), room_((fs.block_size - 12) / kEntrySize) {}

  int find(u32 logical, Path& p);
  u32 next_key(const Path& p) const;  // where the next extent begins; ~0u: none
  int insert(const Extent& e);
  int remove_entry(Path& p, u32 level);
  void key_changed(Path& p, u32 level);
  void dirty(Level& l) {
    if (l.ref.get() != nullptr) ext4_dirty(fs_, l.ref.get());
  }
  void merge_around(Path& p);
  void pull_up();

 private:
  int check(const ext4_extent_header* h, u32 level, u32 expected_depth) const;
  int new_node(ext4_ref& out);
  int free_node(Level& l);
  int make_room(Path& p);
  int grow_root();
  int split(Path& p, u32 level);
  u32 seed() const { return ext4_inode_seed(fs_, body_.ino, body_.generation); }
  ext4_extent_header* root() { return reinterpret_cast<ext4_extent_header*>(body_.block); }

  ext4_fs& fs_;
  ext4_body& body_;
  u32 room_;
};

int Tree::check(const ext4_extent_header* h, u32 level, u32 expected_depth) const {
  const bool sane = h->eh_magic == EXT4_EXTENT_MAGIC && h->eh_entries <= h->eh_max &&
                    h->eh_max <= (level == 0 ? kRootEntries : room_) && h->eh_depth <= kMaxExtentDepth &&
                    (level == 0 || h->eh_depth == expected_depth) && (h->eh_depth == 0 || h->eh_entries > 0);
  return sane ? 0 : -EUCLEAN;
}

int Tree::find(u32 logical, Path& p) {
  p.depth = root()->eh_depth;
  ext4_extent_header* h = root();
  for (u32 level = 0;; ++level) {
    Level& l = p.level[level];
    if (level == 0) l.ref.reset();
    l.head = h;
    if (const int error = check(h, level, p.depth - level); error != 0) {
      ext4_fail(fs_, error, "extent tree of inode", body_.ino);
      return error;
    }
    int low = 0, high = h->eh_entries;  // the last entry whose key is not above `logical`
    while (low < high) {
      const int middle = (low + high) / 2;
      if (l.extents()[middle].ee_block <= logical) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    l.at = low - 1;
    if (level == p.depth) return 0;
    l.at = max(l.at, 0);
    Level& below = p.level[level + 1];
    TRY_INT(ext4_bread(fs_, child_of(l.indexes()[l.at]), ext4_kind::Extents, seed(), below.ref));
    h = reinterpret_cast<ext4_extent_header*>(below.ref.data());
  }
}

u32 Tree::next_key(const Path& p) const {
  for (u32 level = p.depth + 1; level-- > 0;) {
    const Level& l = p.level[level];
    if (l.at + 1 < l.head->eh_entries) return l.extents()[l.at + 1].ee_block;
  }
  return ~0u;
}

int Tree::new_node(ext4_ref& out) {
  u64 block;
  u32 got;
  TRY_INT(ext4_alloc_blocks(fs_, body_.goal != 0 ? body_.goal : ext4_group_goal(fs_, body_.ino), 1, &block, &got));
  TRY_INT(ext4_bnew(fs_, block, ext4_kind::Extents, seed(), out));
  body_.sectors += fs_.block_size / 512;
  auto* h = reinterpret_cast<ext4_extent_header*>(out.data());
  *h = {EXT4_EXTENT_MAGIC, 0, static_cast<u16>(room_), 0, 0};
  return 0;
}

int Tree::free_node(Level& l) {
  const u64 block = l.ref.get()->block;
  l.ref.reset();
  ext4_forget(fs_, block);
  body_.sectors -= fs_.block_size / 512;
  return ext4_free_blocks(fs_, block, 1);
}

// The root moves into a block of its own; a new root points to it.
int Tree::grow_root() {
  if (root()->eh_depth >= kMaxExtentDepth) return -EFBIG;
  ext4_ref node;
  TRY_INT(new_node(node));
  auto* h = reinterpret_cast<ext4_extent_header*>(node.data());
  h->eh_entries = root()->eh_entries;
  h->eh_depth = root()->eh_depth;
  memcpy(h + 1, root() + 1, root()->eh_entries * kEntrySize);
  auto* index = reinterpret_cast<ext4_extent_idx*>(root() + 1);
  set_child(*index, index->ei_block, node.get()->block);
  root()->eh_entries = 1;
  ++root()->eh_depth;
  return 0;
}

// The upper half of a full node goes into a new one, which the parent (with room) gets to know. A file that grows at
// its end leaves full nodes behind.
int Tree::split(Path& p, u32 level) {
  Level& l = p.level[level];
  Level& parent = p.level[level - 1];
  const u32 entries = l.head->eh_entries;
  const u32 keep = l.at + 1 >= static_cast<int>(entries) ? entries - 1 : entries / 2;
  ext4_ref node;
  TRY_INT(new_node(node));
  auto* h = reinterpret_cast<ext4_extent_header*>(node.data());
  h->eh_depth = l.head->eh_depth;
  h->eh_entries = static_cast<u16>(entries - keep);
  memcpy(h + 1, l.extents() + keep, h->eh_entries * kEntrySize);
  l.head->eh_entries = static_cast<u16>(keep);
  dirty(l);
  ext4_extent_idx* const at = parent.indexes() + parent.at + 1;
  memmove(at + 1, at, (parent.head->eh_entries - static_cast<u32>(parent.at) - 1u) * kEntrySize);
  set_child(*at, reinterpret_cast<ext4_extent*>(h + 1)->ee_block, node.get()->block);
  ++parent.head->eh_entries;
  dirty(parent);
  return 0;
}

int Tree::make_room(Path& p) {
  for (u32 level = p.depth; level-- > 0;) {
    if (p.level[level].head->eh_entries < p.level[level].head->eh_max) return split(p, level + 1);
  }
  return grow_root();
}

void Tree::key_changed(Path& p, u32 level) {
  for (; level > 0; --level) {
    Level& parent = p.level[level - 1];
    parent.indexes()[parent.at].ei_block = p.level[level].first_key();
    dirty(parent);
    if (parent.at != 0) break;
  }
}

// The leaf's entry joins its neighbours where they touch.
void Tree::merge_around(Path& p) {
  Level& l = p.leaf();
  for (int at = max(l.at - 1, 0); at <= l.at && at + 1 < l.head->eh_entries;) {
    Extent a = load(l.extents()[at]);
    const Extent b = load(l.extents()[at + 1]);
    if (!can_merge(a, b)) {
      ++at;
      continue;
    }
    a.length += b.length;
    store(l.extents()[at], a);
    memmove(l.extents() + at + 1, l.extents() + at + 2, (l.head->eh_entries - static_cast<u32>(at) - 2u) * kEntrySize);
    --l.head->eh_entries;
    if (l.at > at) --l.at;
  }
  dirty(l);
}

int Tree::insert(const Extent& e) {
  for (;;) {
    Path p;
    TRY_INT(find(e.block, p));
    Level& l = p.leaf();
    if (l.head->eh_entries == l.head->eh_max) {
      // A full leaf may still take it by growing an entry.
      for (int near = l.at; near <= l.at + 1; ++near) {
        if (near < 0 || near >= l.head->eh_entries) continue;
        Extent there = load(l.extents()[near]);
        const bool before = near == l.at;
        if (!(before ? can_merge(there, e) : can_merge(e, there))) continue;
        there.length += e.length;
        if (!before) {
          there.block = e.block;
          there.start = e.start;
        }
        store(l.extents()[near], there);
        l.at = near;
        if (near == 0 && !before) key_changed(p, p.depth);
        merge_around(p);
        return 0;
      }
      TRY_INT(make_room(p));
      continue;
    }
    const u32 at = static_cast<u32>(l.at + 1);
    memmove(l.extents() + at + 1, l.extents() + at, (l.head->eh_entries - at) * kEntrySize);
    store(l.extents()[at], e);
    ++l.head->eh_entries;
    if (at == 0) key_changed(p, p.depth);
    l.at = static_cast<int>(at);
    merge_around(p);
    return 0;
  }
}

int Tree::remove_entry(Path& p, u32 level) {
  Level& l = p.level[level];
  const u32 at = static_cast<u32>(l.at);
  memmove(l.extents() + at, l.extents() + at + 1, (l.head->eh_entries - at - 1) * kEntrySize);
  --l.head->eh_entries;
  if (l.head->eh_entries == 0) {
    if (level == 0) {
      root()->eh_depth = 0;
      return 0;
    }
    TRY_INT(free_node(l));
    return remove_entry(p, level - 1);
  }
  dirty(l);
  if (at == 0) key_changed(p, level);
  return 0;
}

// A single small leaf moves back into the inode.
void Tree::pull_up() {
  if (root()->eh_depth != 1 || root()->eh_entries != 1) return;
  Path p;
  if (find(0, p) != 0 || p.leaf().head->eh_entries > kRootEntries) return;
  Level& l = p.leaf();
  root()->eh_entries = l.head->eh_entries;
  root()->eh_depth = 0;
  memcpy(root() + 1, l.extents(), l.head->eh_entries * kEntrySize);
  free_node(l);
}

}  // namespace

void ext4_init_map(ext4_body& body) {
  memset(body.block, 0, sizeof body.block);
  *reinterpret_cast<ext4_extent_header*>(body.block) = {EXT4_EXTENT_MAGIC, 0, kRootEntries, 0, 0};
  body.flags |= EXT4_EXTENTS_FL;
}

int ext4_map(ext4_fs& fs, const ext4_body& body, u32 logical, ext4_run& out) {
  if ((body.flags & EXT4_INLINE_DATA_FL) != 0) return -EOPNOTSUPP;
  if ((body.flags & EXT4_EXTENTS_FL) == 0) return ext4_map_indirect(fs, body, logical, out);
  Tree tree(fs, const_cast<ext4_body&>(body));  // looking up changes nothing
  Path p;
  TRY_INT(tree.find(logical, p));
  if (p.leaf().at >= 0) {
    const Extent e = load(p.leaf().extents()[p.leaf().at]);
    if (logical < e.end()) {
      if (e.start <= fs.super.s_first_data_block || e.start >= fs.blocks || e.length > fs.blocks - e.start)
        return -EUCLEAN;
      const u32 into = logical - e.block;
      out = {e.start + into, e.length - into, e.unwritten};
      return 0;
    }
  }
  out = {0, tree.next_key(p) - logical, false};
  return 0;
}

int ext4_map_new(ext4_fs& fs, ext4_body& body, u32 logical, u32 want, bool unwritten, ext4_run& out) {
  if ((body.flags & EXT4_EXTENTS_FL) == 0) return -EOPNOTSUPP;
  Tree tree(fs, body);
  Path p;
  TRY_INT(tree.find(logical, p));
  u64 goal = ext4_group_goal(fs, body.ino);
  if (p.leaf().at >= 0) {
    const Extent before = load(p.leaf().extents()[p.leaf().at]);
    goal = before.start + (logical - before.block);
  }
  Extent e{logical, 0, 0, unwritten};
  TRY_INT(ext4_alloc_blocks(fs, goal, min<u32>(want, kMaxUnwritten), &e.start, &e.length));
  body.goal = e.start + e.length;
  if (const int error = tree.insert(e); error != 0) {
    ext4_free_blocks(fs, e.start, e.length);
    return error;
  }
  body.sectors += static_cast<u64>(e.length) << (fs.block_bits - 9);
  out = {e.start, e.length, unwritten};
  return 0;
}

int ext4_mark_written(ext4_fs& fs, ext4_body& body, u32 logical, u32 count) {
  Tree tree(fs, body);
  while (count > 0) {
    Path p;
    TRY_INT(tree.find(logical, p));
    Level& l = p.leaf();
    if (l.at < 0) return -EUCLEAN;
    const Extent e = load(l.extents()[l.at]);
    if (logical >= e.end()) return -EUCLEAN;
    const u32 n = min(count, e.end() - logical), left = logical - e.block, right = e.length - left - n;
    if (e.unwritten) {
      const Extent middle{logical, n, e.start + left, false};
      store(l.extents()[l.at], left > 0 ? Extent{e.block, left, e.start, true} : middle);
      tree.merge_around(p);
      int error = left > 0 ? tree.insert(middle) : 0;
      if (error == 0 && right > 0) error = tree.insert({logical + n, right, e.start + left + n, true});
      if (error != 0) {
        ext4_fail(fs, error, "splitting an extent of inode", body.ino);
        return error;
      }
    }
    logical += n;
    count -= n;
  }
  return 0;
}

int ext4_unmap(ext4_fs& fs, ext4_body& body, u32 from, u32 to, u32* left) {
  *left = from;
  if ((body.flags & EXT4_EXTENTS_FL) == 0) return -EOPNOTSUPP;
  Tree tree(fs, body);
  for (u32 removals = 0; to > from; ++removals) {
    if (removals == kRemovalsAtOnce) {
      *left = to;
      return 0;
    }
    Path p;
    TRY_INT(tree.find(to - 1, p));
    Level& l = p.leaf();
    if (l.at < 0) break;
    const Extent e = load(l.extents()[l.at]);
    if (e.end() <= from) break;
    const u32 first = max(e.block, from), last = min(e.end(), to);
    const bool keep_left = e.block < first, keep_right = last < e.end();
    if (!keep_left && !keep_right) {
      TRY_INT(tree.remove_entry(p, p.depth));
    } else {
      const Extent rest{last, e.end() - last, e.start + (last - e.block), e.unwritten};
      store(l.extents()[l.at], keep_left ? Extent{e.block, first - e.block, e.start, e.unwritten} : rest);
      tree.dirty(l);
      if (!keep_left && l.at == 0) tree.key_changed(p, p.depth);
      if (keep_left && keep_right) {
        if (const int error = tree.insert(rest); error != 0) {
          Path again;
          if (tree.find(e.block, again) == 0) store(again.leaf().extents()[again.leaf().at], e);
          return error;
        }
      }
    }
    for (u32 i = first; body.journaled && i < last; ++i) ext4_forget(fs, e.start + (i - e.block));
    TRY_INT(ext4_free_blocks(fs, e.start + (first - e.block), last - first));
    body.sectors -= static_cast<u64>(last - first) << (fs.block_bits - 9);
    to = first;
  }
  tree.pull_up();
  return 0;
}

}  // namespace xm::os
