// SPDX-License-Identifier: GPL-2.0-or-later
// Blocks of the disk: finding free ones near a goal, giving them back. A block that is freed can be used again only
// when the transaction that freed it is committed: until then a crash may bring its old owner back.
#include "kernel/fs/ext4/groups.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u32 kGroupsForWholeRun = 64;  // how far to look for a place where all wanted blocks are adjacent

struct BitRun {
  u32 first = 0, count = 0;
};

// Marks what lies in a group that was never used: copies of the super block and descriptors, bitmaps and inode tables
// (of this group or, with flex_bg, of others), and bits beyond the end.
void init_bitmap(ext4_fs& fs, u32 group, u8* map) {
  const u64 base = group_first_block(fs, group);
  const u32 blocks = ext4_group_blocks(fs, group);
  const auto mark = [&](u64 first, u64 count) {
    for (u64 b = max(first, base); b < min(first + count, base + blocks); ++b)
      set_bit_at(map, static_cast<u32>(b - base));
  };
  memset(map, 0, fs.block_size);
  const u32 table_blocks = static_cast<u32>(div_round_up(fs.groups, fs.descs_per_block()));
  const bool meta = fs.has(EXT4_INCOMPAT_META_BG) && group / fs.descs_per_block() >= fs.super.s_first_meta_bg;
  if (ext4_group_has_super(fs, group)) {
    mark(base, 1);
    const u32 plain = fs.has(EXT4_INCOMPAT_META_BG) ? min(table_blocks, fs.super.s_first_meta_bg) : table_blocks;
    if (!meta) mark(base + 1, plain + fs.super.s_reserved_gdt_blocks);
  }
  if (meta) {
    const u32 per = fs.descs_per_block(), into = group % per;
    if (into <= 1 || into == per - 1) mark(base + (ext4_group_has_super(fs, group) ? 1 : 0), 1);
  }
  const u64 inode_blocks = div_round_up(static_cast<u64>(fs.super.s_inodes_per_group) * fs.inode_size, fs.block_size);
  for (u32 g = 0; g < fs.groups; ++g) {
    ext4_buffer* unused;
    const ext4_group_desc* d = ext4_desc(fs, g, &unused);
    mark(group_block_bitmap(fs, d), 1);
    mark(group_inode_bitmap(fs, d), 1);
    mark(group_inode_table(fs, d), inode_blocks);
  }
  for (u32 bit = blocks; bit < fs.block_size * 8; ++bit) set_bit_at(map, bit);
}

int read_bitmap(ext4_fs& fs, u32 group, ext4_ref& out) {
  ext4_buffer* table;
  ext4_group_desc* d = ext4_desc(fs, group, &table);
  const bool fresh = has_group_flags(fs) && (d->bg_flags & EXT4_BG_BLOCK_UNINIT) != 0;
  if (!fresh) return ext4_bread(fs, group_block_bitmap(fs, d), ext4_kind::BlockBitmap, group, out);
  TRY_INT(ext4_bnew(fs, group_block_bitmap(fs, d), ext4_kind::BlockBitmap, group, out));
  init_bitmap(fs, group, out.data());
  d->bg_flags = static_cast<u16>(d->bg_flags & ~EXT4_BG_BLOCK_UNINIT);
  ext4_dirty(fs, table);
  return 0;
}

// Free in the bitmap and not held by a transaction: whole words of used blocks are passed over quickly.
struct Searcher {
  const u8* map;
  const u8* held;
  u32 blocks;
  bool is_free(u32 bit) const { return !bit_at(map, bit) && (held == nullptr || !bit_at(held, bit)); }
  u32 next_free(u32 bit) const {
    while (bit < blocks) {
      u64 word;
      if ((bit & 63) == 0 && bit + 64 <= blocks) {
        memcpy(&word, map + bit / 8, 8);
        if (word == ~0ul) {
          bit += 64;
          continue;
        }
      }
      if (is_free(bit)) return bit;
      ++bit;
    }
    return blocks;
  }
  BitRun run_at(u32 bit, u32 want) const {
    BitRun r{bit, 0};
    while (r.count < want && bit + r.count < blocks && is_free(bit + r.count)) ++r.count;
    return r;
  }
  // The run at `goal`, else the first that is long enough, else the longest.
  BitRun best(u32 goal, u32 want) const {
    BitRun longest = goal < blocks ? run_at(goal, want) : BitRun{};
    if (longest.count > 0) return longest;
    for (u32 turn = 0; turn < 2; ++turn) {
      const u32 end = turn == 0 ? blocks : min(goal, blocks);
      for (u32 bit = next_free(turn == 0 ? min(goal, blocks) : 0); bit < end;) {
        const BitRun r = run_at(bit, want);
        if (r.count > longest.count) longest = r;
        if (longest.count == want) return longest;
        bit = next_free(bit + r.count + 1);
      }
    }
    return longest;
  }
};

int take(ext4_fs& fs, u32 group, ext4_buffer* map, const BitRun& run) {
  ext4_buffer* table;
  ext4_group_desc* d = ext4_desc(fs, group, &table);
  const u32 free = kFreeBlocks.get(fs, d);
  if (free < run.count) return -EUCLEAN;
  for (u32 i = 0; i < run.count; ++i) set_bit_at(map->data, run.first + i);
  kFreeBlocks.set(fs, d, free - run.count);
  fs.free_blocks -= run.count;
  ext4_dirty(fs, map);
  ext4_dirty(fs, table);
  return 0;
}

}  // namespace

u32 ext4_group_blocks(const ext4_fs& fs, u32 group) {
  return static_cast<u32>(min<u64>(fs.super.s_blocks_per_group, fs.blocks - group_first_block(fs, group)));
}

u64 ext4_group_goal(const ext4_fs& fs, u32 ino) {
  return group_first_block(fs, (ino - 1) / fs.super.s_inodes_per_group);
}

u64 ext4_available_blocks(const ext4_fs& fs, bool privileged) {
  const u64 kept = fs.super.s_r_blocks_count_lo |
                   (fs.has(EXT4_INCOMPAT_64BIT) ? static_cast<u64>(fs.super.s_r_blocks_count_hi) << 32 : 0);
  const u64 out_of_reach = fs.reserved_blocks + (privileged ? 0 : kept);
  return fs.free_blocks > out_of_reach ? fs.free_blocks - out_of_reach : 0;
}

int ext4_alloc_blocks(ext4_fs& fs, u64 goal, u32 want, u64* first, u32* got) {
  if (goal < fs.super.s_first_data_block || goal >= fs.blocks) goal = fs.super.s_first_data_block;
  const u32 start = static_cast<u32>((goal - fs.super.s_first_data_block) / fs.super.s_blocks_per_group);
  // Pass 0 looks for a place for all of them, pass 1 takes any. A group whose held blocks are all that is free has
  // none.
  for (u32 pass = 0; pass < 2; ++pass) {
    for (u32 i = 0; i < fs.groups; ++i) {
      const u32 group = (start + i) % fs.groups;
      ext4_buffer* table;
      const u32 free = kFreeBlocks.get(fs, ext4_desc(fs, group, &table));
      const u32 usable = free - min(free, fs.group[group].held_count);
      if (usable == 0 || (pass == 0 && usable < want && i != 0)) continue;
      ext4_ref map;
      TRY_INT(read_bitmap(fs, group, map));
      const Searcher s{map.data(), fs.group[group].held, ext4_group_blocks(fs, group)};
      const BitRun run = s.best(i == 0 ? static_cast<u32>(goal - group_first_block(fs, group)) : 0, want);
      const bool good = run.count == want || (pass == 0 && i == 0 && run.count * 2 >= want) || pass == 1 ||
                        (pass == 0 && i >= kGroupsForWholeRun);
      if (run.count == 0 || !good) continue;
      TRY_INT(take(fs, group, map.get(), run));
      *first = group_first_block(fs, group) + run.first;
      *got = run.count;
      return 0;
    }
  }
  return -ENOSPC;
}

int ext4_free_blocks(ext4_fs& fs, u64 first, u32 count) {
  if (first <= fs.super.s_first_data_block || first >= fs.blocks || count > fs.blocks - first) {
    ext4_fail(fs, -EUCLEAN, "freeing block", first);
    return -EUCLEAN;
  }
  while (count > 0) {
    const u32 group = static_cast<u32>((first - fs.super.s_first_data_block) / fs.super.s_blocks_per_group);
    const u32 bit = static_cast<u32>(first - group_first_block(fs, group));
    const u32 step = min(count, ext4_group_blocks(fs, group) - bit);
    ext4_ref map;
    TRY_INT(read_bitmap(fs, group, map));
    ext4_group& g = fs.group[group];
    if (g.held == nullptr) g.held = static_cast<u8*>(kzalloc(fs.block_size, GFP_NOFS | GFP_NOFAIL));
    for (u32 i = 0; i < step; ++i) {
      if (!bit_at(map.data(), bit + i)) {
        ext4_fail(fs, -EUCLEAN, "block freed twice:", first + i);
        return -EUCLEAN;
      }
      clear_bit_at(map.data(), bit + i);
      set_bit_at(g.held, bit + i);
    }
    g.held_count += step;
    fs.held_blocks += step;
    fs.running.freed.add({first, step});
    ext4_buffer* table;
    ext4_group_desc* d = ext4_desc(fs, group, &table);
    kFreeBlocks.set(fs, d, kFreeBlocks.get(fs, d) + step);
    fs.free_blocks += step;
    ext4_dirty(fs, map.get());
    ext4_dirty(fs, table);
    first += step;
    count -= step;
  }
  return 0;
}

void ext4_release_held(ext4_fs& fs, chunk_list<ext4_block_range>& freed) {
  freed.for_each([&](const ext4_block_range& r) {
    const u32 group = static_cast<u32>((r.block - fs.super.s_first_data_block) / fs.super.s_blocks_per_group);
    const u32 bit = static_cast<u32>(r.block - group_first_block(fs, group));
    ext4_group& g = fs.group[group];
    for (u32 i = 0; i < r.count; ++i) clear_bit_at(g.held, bit + i);
    g.held_count -= r.count;
    fs.held_blocks -= r.count;
    if (g.held_count == 0) {
      kfree(g.held);
      g.held = nullptr;
    }
  });
  freed.clear();
}

}  // namespace xm::os
