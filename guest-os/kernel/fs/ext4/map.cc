// SPDX-License-Identifier: GPL-2.0-or-later
// From a block of a file to a block of the disk: extent trees, and the older indirect blocks. And the entries of a
// directory block; indexed directories are read block by block (their index blocks look like empty ones).
// Free of hardware.
#include "kernel/fs/ext4/ext4.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u32 kMaxDepth = 5;

u32 seed_of(const ext4_geometry& g, const ext4_body& b) {
  return crc32c(crc32c(g.checksum_seed, &b.ino, 4), &b.generation, 4);
}

// Reads entry `index` of a node that lies in the inode or at a place on the disk.
struct ExtentNode {
  const ext4_geometry* g;
  const u8* memory;  // the inode's, or null
  u64 offset;
  int read(u32 at, void* to, u32 length) const {
    if (memory == nullptr) return g->source->read(offset + at, to, length);
    memcpy(to, memory + at, length);
    return 0;
  }
};

int check_extent_block(const ext4_geometry& g, const ext4_body& body, const ExtentNode& node, u32 max_entries) {
  if (!g.has_checksums || node.memory != nullptr) return 0;
  u8 chunk[256];
  const u32 length = 12 + 12 * max_entries;
  if (length + 4 > g.block_size) return -EUCLEAN;
  u32 crc = seed_of(g, body);
  for (u32 at = 0; at < length; at += sizeof chunk) {
    const u32 step = min<u32>(sizeof chunk, length - at);
    TRY_INT(node.read(at, chunk, step));
    crc = crc32c(crc, chunk, step);
  }
  u32 stored = 0;
  TRY_INT(node.read(length, &stored, 4));
  return crc == stored ? 0 : -EUCLEAN;
}

// The last entry whose first block is not above `logical`, by halving; *following is the block where the next begins.
int find_entry(const ExtentNode& node, u32 entries, u32 logical, ext4_extent& out, bool* found, u32* following) {
  u32 low = 0, high = entries;
  while (low < high) {
    const u32 middle = (low + high) / 2;
    TRY_INT(node.read(12 + 12 * middle, &out, 12));
    if (out.ee_block <= logical) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low < entries) {
    TRY_INT(node.read(12 + 12 * low, &out, 12));
    *following = min(*following, out.ee_block);
  }
  *found = low > 0;
  return low > 0 ? node.read(12 + 12 * (low - 1), &out, 12) : 0;
}

int map_leaf(const ext4_geometry& g, const ext4_extent& e, u32 logical, u32 following, ext4_run& out) {
  const u32 length = e.ee_len > kMaxInitExtent ? e.ee_len - kMaxInitExtent : e.ee_len;
  const u32 into = logical - e.ee_block;
  if (into >= length) {
    out = {0, following - logical};
    return 0;
  }
  const u64 start = e.ee_start_lo | static_cast<u64>(e.ee_start_hi) << 32;
  if (start == 0 || start + length > g.blocks) return -EUCLEAN;
  out = {e.ee_len > kMaxInitExtent ? 0 : start + into, length - into};
  return 0;
}

int map_extents(const ext4_geometry& g, const ext4_body& body, u32 logical, ext4_run& out) {
  ExtentNode node{&g, reinterpret_cast<const u8*>(body.block), 0};
  u32 following = ~0u;
  for (u32 level = 0, expected = 0; level <= kMaxDepth; ++level) {
    ext4_extent_header h;
    TRY_INT(node.read(0, &h, sizeof h));
    const u32 room = (node.memory != nullptr ? 60 : g.block_size) / 12 - 1;
    if (h.eh_magic != EXT4_EXTENT_MAGIC || h.eh_entries > h.eh_max || h.eh_max > room || h.eh_depth > kMaxDepth ||
        (level > 0 && h.eh_depth != expected))
      return -EUCLEAN;
    TRY_INT(check_extent_block(g, body, node, h.eh_max));
    ext4_extent e{};
    bool found = false;
    TRY_INT(find_entry(node, h.eh_entries, logical, e, &found, &following));
    if (!found) {
      out = {0, following - logical};
      return 0;
    }
    if (h.eh_depth == 0) return map_leaf(g, e, logical, following, out);
    const ext4_extent_idx& index = reinterpret_cast<const ext4_extent_idx&>(e);
    const u64 child = index.ei_leaf_lo | static_cast<u64>(index.ei_leaf_hi) << 32;
    if (child == 0 || child >= g.blocks) return -EUCLEAN;
    node = {&g, nullptr, child << g.block_bits};
    expected = h.eh_depth - 1u;
  }
  return -EUCLEAN;
}

// Twelve direct blocks, then trees of one, two and three levels of block numbers.
int map_indirect(const ext4_geometry& g, const ext4_body& body, u32 logical, ext4_run& out) {
  out = {0, 1};
  const u32 bits = g.block_bits - 2;
  u64 rest = logical;
  if (rest < 12) {
    out.physical = body.block[rest];
    return out.physical < g.blocks ? 0 : -EUCLEAN;
  }
  rest -= 12;
  u32 levels = 1;
  for (; levels <= 3 && rest >= 1ul << bits * levels; ++levels) rest -= 1ul << bits * levels;
  if (levels > 3) return -EFBIG;
  u32 block = body.block[11 + levels];
  while (levels-- > 0 && block != 0) {
    if (block >= g.blocks) return -EUCLEAN;
    const u64 index = rest >> bits * levels & ((1ul << bits) - 1);
    TRY_INT(g.source->read((static_cast<u64>(block) << g.block_bits) + index * 4, &block, 4));
  }
  out.physical = block;
  return block < g.blocks ? 0 : -EUCLEAN;
}

}  // namespace

int ext4_map(const ext4_geometry& g, const ext4_body& body, u32 logical, ext4_run& out) {
  if ((body.flags & EXT4_INLINE_DATA_FL) != 0) return -EOPNOTSUPP;
  return (body.flags & EXT4_EXTENTS_FL) != 0 ? map_extents(g, body, logical, out) : map_indirect(g, body, logical, out);
}

const ext4_dir_entry* ext4_next_entry(const ext4_geometry& g, ext4_dir_cursor& c, int* error) {
  while (c.offset + 8 <= c.size) {
    const auto* e = reinterpret_cast<const ext4_dir_entry*>(c.block + c.offset);
    const bool sane = e->rec_len >= 8 && e->rec_len % 4 == 0 && e->rec_len <= c.size - c.offset &&
                      e->name_len + 8u <= e->rec_len && e->inode <= g.super.s_inodes_count;
    if (!sane) {
      *error = -EUCLEAN;
      return nullptr;
    }
    c.offset += e->rec_len;
    if (e->inode != 0 && e->name_len != 0) return e;
  }
  return nullptr;
}

int ext4_check_dir_block(const ext4_geometry& g, const ext4_body& dir, const u8* block) {
  const auto* tail = reinterpret_cast<const ext4_dir_entry*>(block + g.block_size - 12);
  const bool has_tail =
      tail->inode == 0 && tail->rec_len == 12 && tail->name_len == 0 && tail->file_type == kDirTailType;
  if (!g.has_checksums || !has_tail) return 0;  // index blocks have another one
  u32 stored;
  memcpy(&stored, block + g.block_size - 4, 4);
  return crc32c(seed_of(g, dir), block, g.block_size - 12) == stored ? 0 : -EUCLEAN;
}

}  // namespace xm::os
