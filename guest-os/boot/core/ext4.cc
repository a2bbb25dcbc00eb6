// SPDX-License-Identifier: GPL-2.0-or-later
// ext2, ext3 and ext4 as mke2fs makes them: extents and block maps, 64-bit group descriptors, flexible and meta block
// groups, symbolic links, inline data. Directories are read block by block: the index of a hashed directory looks like
// an empty entry. [Linux, Documentation/ filesystems/ext4] Checksums are not verified and a journal is not replayed:
// what a power cut left is read as it stands on the disk, which is sound for files that were not being written. GAP: no
// encryption, no case folding.
#include "boot/core/filesystem.h"
#include "boot/core/report.h"

namespace xm::boot {
namespace {

constexpr u32 kSuperOffset = 1024, kMagic = 0xef53, kRootInode = 2, kMaxBlock = 65536, kMaxLinks = 8;
constexpr u32 kMetaBlockGroups = 0x10, k64Bit = 0x80;
// Of the incompatible features: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed,
// largedir, inline_data.
constexpr u32 kKnown = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000;
constexpr u32 kExtentsFlag = 0x80000, kInlineDataFlag = 0x10000000;
constexpr u16 kTypeMask = 0xf000, kDirectory = 0x4000, kRegular = 0x8000, kLink = 0xa000;

struct Inode {
  u32 number = 0;
  u16 mode = 0;
  u32 flags = 0;
  u64 size = 0;
  u8 block[60] = {};
};

u8 meta_block[kMaxBlock];  // group descriptors, extent nodes, map blocks
u8 directory_block[kMaxBlock];
char link_text[1024], walk_text[1024];

class Ext4 final : public FileSystem {
 public:
  const char* name() const override { return "ext4"; }

  bool mount(const Volume& volume) override {
    u8 super[1024];
    mounted_ = volume;
    if (!read_volume(volume, kSuperOffset, super, sizeof super) || peek<u16>(super, 56) != kMagic) return false;
    const u32 shift = 10 + peek<u32>(super, 24);
    if (shift > 16) return fail("ext4: a block size that cannot be");
    shift_ = shift;
    per_group_ = peek<u32>(super, 40);
    first_data_ = peek<u32>(super, 20);
    blocks_per_group_ = peek<u32>(super, 32);
    first_meta_ = peek<u32>(super, 260);
    incompatible_ = peek<u32>(super, 76) == 0 ? 0 : peek<u32>(super, 96);
    inode_size_ = peek<u32>(super, 76) == 0 ? 128 : peek<u16>(super, 88);
    descriptor_ = (incompatible_ & k64Bit) != 0 && peek<u16>(super, 254) >= 64 ? peek<u16>(super, 254) : 32;
    if ((incompatible_ & ~kKnown) != 0) return fail("ext4: features %x are not known here", incompatible_ & ~kKnown);
    if (per_group_ == 0 || inode_size_ < 128 || inode_size_ > 1u << shift_ || descriptor_ > 1u << shift_)
      return fail("ext4: the superblock is damaged");
    sparse_super_ = (peek<u32>(super, 100) & 1) != 0;
    inode_.number = 0;
    cached_ = ~0ull;
    return true;
  }

  bool open(const char* path, File& file) override {
    if (!walk(path)) return false;
    if ((inode_.mode & kTypeMask) != kRegular) return fail("not a file");
    file.size = inode_.size;
    file.where = inode_.number;
    return true;
  }

  bool read(const File& file, u64 offset, void* to, u32 length) override {
    return load(static_cast<u32>(file.where)) && read_data(offset, static_cast<u8*>(to), length);
  }

  bool list(const char* path, void (*visit)(const char* name, bool directory)) override {
    if (!walk(path)) return false;
    if ((inode_.mode & kTypeMask) != kDirectory) return fail("not a directory");
    visit_ = visit;
    u32 child = 0;
    const bool found = search(nullptr, 0, child);
    visit_ = nullptr;
    return found;
  }

 private:
  u32 block_size() const { return 1u << shift_; }

  bool read_meta(u64 block) {
    if (cached_ == block) return true;
    cached_ = ~0ull;
    if (!read_volume(mounted_, block << shift_, meta_block, block_size())) return false;
    cached_ = block;
    return true;
  }

  // sparse_super: copies of the superblock are in groups 0, 1 and the powers of 3, 5 and 7; without it in every group.
  bool has_super(u32 group) const {
    if (!sparse_super_ || group <= 1) return true;
    for (u32 base = 3; base <= 7; base += 2) {
      u32 power = base;
      while (power < group && power < 0x10000000) power *= base;
      if (power == group) return true;
    }
    return false;
  }

  // The block that holds a group's descriptor: behind the superblock, or, with meta_bg, in the first group of its own
  // meta group.
  u64 descriptor_block(u32 group) const {
    const u32 per_block = block_size() / descriptor_;
    const u32 index = group / per_block;
    if ((incompatible_ & kMetaBlockGroups) == 0 || index < first_meta_) return first_data_ + 1 + index;
    const u32 first = index * per_block;
    return static_cast<u64>(first) * blocks_per_group_ + first_data_ + (has_super(first) ? 1 : 0);
  }

  bool load(u32 number) {
    if (inode_.number == number) return true;
    inode_.number = 0;
    if (number == 0) return fail("ext4: inode 0 is used");
    const u32 group = (number - 1) / per_group_, index = (number - 1) % per_group_;
    if (!read_meta(descriptor_block(group))) return false;
    const u8* d = meta_block + group % (block_size() / descriptor_) * descriptor_;
    u64 table = peek<u32>(d, 8);
    if (descriptor_ >= 64) table |= static_cast<u64>(peek<u32>(d, 40)) << 32;
    u8 raw[160];
    const u32 length = inode_size_ < sizeof raw ? inode_size_ : sizeof raw;
    if (!read_volume(mounted_, (table << shift_) + static_cast<u64>(index) * inode_size_, raw, length)) return false;
    inode_.mode = peek<u16>(raw, 0);
    inode_.flags = peek<u32>(raw, 32);
    inode_.size = peek<u32>(raw, 4) | static_cast<u64>(peek<u32>(raw, 108)) << 32;
    memcpy(inode_.block, raw + 40, sizeof inode_.block);
    inode_.number = number;
    return true;
  }

  // Where block `logical` of the inode lies and how many follow it on disk; 0 is a hole.
  bool map(u32 logical, u64& physical_block, u32& run) {
    return (inode_.flags & kExtentsFlag) != 0 ? map_extent(logical, physical_block, run)
                                              : map_indirect(logical, physical_block, run);
  }

  bool map_extent(u32 logical, u64& physical_block, u32& run) {
    const u8* node = inode_.block;
    u32 room = (sizeof inode_.block - 12) / 12;
    for (u32 level = 0; level < 6; ++level) {
      const u32 entries = peek<u16>(node, 2), depth = peek<u16>(node, 6);
      if (peek<u16>(node, 0) != 0xf30a || entries > room)
        return fail("ext4: inode %u: an extent node is damaged", inode_.number);
      const u8* best = nullptr;
      u32 next = ~0u;
      for (u32 i = 0; i < entries; ++i) {
        const u8* e = node + 12 + 12 * i;
        if (peek<u32>(e, 0) > logical) {
          next = peek<u32>(e, 0);
          break;
        }
        best = e;
      }
      physical_block = 0;
      run = next - logical;
      if (best == nullptr) return true;
      if (depth == 0) {
        u32 length = peek<u16>(best, 4);
        const bool unwritten = length > 32768;
        if (unwritten) length -= 32768;
        const u32 into = logical - peek<u32>(best, 0);
        if (into >= length) return true;
        run = length - into;
        if (!unwritten) physical_block = (peek<u32>(best, 8) | static_cast<u64>(peek<u16>(best, 6)) << 32) + into;
        return true;
      }
      if (!read_meta(peek<u32>(best, 4) | static_cast<u64>(peek<u16>(best, 8)) << 32)) return false;
      node = meta_block;
      room = (block_size() - 12) / 12;
    }
    return fail("ext4: inode %u: the extent tree is too deep", inode_.number);
  }

  bool map_indirect(u32 logical, u64& physical_block, u32& run) {
    const u32 bits = shift_ - 2;
    run = 1;
    physical_block = 0;
    if (logical < 12) {
      physical_block = peek<u32>(inode_.block, logical * 4);
      return true;
    }
    u64 rest = logical - 12;
    u32 levels = 1;
    while (levels < 4 && rest >= 1ull << (bits * levels)) rest -= 1ull << (bits * levels++);
    if (levels == 4) return fail("ext4: inode %u is longer than its map", inode_.number);
    u64 block = peek<u32>(inode_.block, (11 + levels) * 4);
    for (; levels > 0 && block != 0; --levels) {
      if (!read_meta(block)) return false;
      const u32 slot = static_cast<u32>(rest >> (bits * (levels - 1))) & ((1u << bits) - 1);
      block = peek<u32>(meta_block, slot * 4);
    }
    physical_block = block;
    return true;
  }

  bool read_data(u64 offset, u8* to, u32 length) {
    if ((inode_.flags & kInlineDataFlag) != 0) {
      if (offset + length > sizeof inode_.block) return fail("ext4: inode %u: long inline data", inode_.number);
      memcpy(to, inode_.block + static_cast<u32>(offset), length);
      return true;
    }
    while (length > 0) {
      const u32 skip = static_cast<u32>(offset) & (block_size() - 1);
      u64 block = 0;
      u32 run = 0;
      if (!map(static_cast<u32>(offset >> shift_), block, run)) return false;
      u64 bytes = (static_cast<u64>(run) << shift_) - skip;
      // A block map tells one block at a time: join neighbours, so that the BIOS is called once.
      while ((inode_.flags & kExtentsFlag) == 0 && block != 0 && bytes < length) {
        u64 following = 0;
        u32 one = 0;
        if (!map(static_cast<u32>((offset + bytes) >> shift_), following, one)) return false;
        if (following != block + ((bytes + skip) >> shift_)) break;
        bytes += block_size();
      }
      const u32 part = bytes < length ? static_cast<u32>(bytes) : length;
      if (block == 0)
        memset(to, 0, part);
      else if (!read_volume(mounted_, (block << shift_) + skip, to, part))
        return false;
      to += part;
      offset += part;
      length -= part;
    }
    return true;
  }

  // Looks for a name in the directory inode_, or shows all names to visit_.
  bool search(const char* name, u32 length, u32& child) {
    u8* block = directory_block;
    const bool in_inode = (inode_.flags & kInlineDataFlag) != 0;
    const u32 step = in_inode ? 60 : block_size();
    for (u64 at = 0; at < inode_.size; at += step) {
      if (in_inode)
        memcpy(block, inode_.block, 60);
      else if (!read_data(at, block, block_size()))
        return false;
      for (u32 p = in_inode ? 4 : 0; p + 8 <= step;) {  // inline: the parent's number comes first
        const u32 number = peek<u32>(block, p), size = peek<u16>(block, p + 4), characters = block[p + 6];
        if (size < 8 || p + size > step) return fail("ext4: directory inode %u is damaged", inode_.number);
        if (number != 0 && characters + 8 <= size) {
          const char* text = reinterpret_cast<const char*>(block + p + 8);
          if (visit_ != nullptr) {
            char copy[256];
            memcpy(copy, text, characters);
            copy[characters] = 0;
            visit_(copy, block[p + 7] == 2);
          } else if (characters == length && memcmp(text, name, length) == 0) {
            child = number;
            return true;
          }
        }
        p += size;
      }
    }
    return visit_ != nullptr || fail("not found");
  }

  bool read_link(char* text, u32 size) {
    if (inode_.size + 1 > size) return fail("a symbolic link is too long");
    const u32 length = static_cast<u32>(inode_.size);
    if (length < sizeof inode_.block)
      memcpy(text, inode_.block, length);
    else if (!read_data(0, reinterpret_cast<u8*>(text), length))
      return false;
    text[length] = 0;
    return true;
  }

  // Leaves the inode of `path` in inode_.
  bool walk(const char* path) {
    copy_text(walk_text, path, sizeof walk_text);
    const char* at = walk_text;
    u32 parent = kRootInode, links = 0;
    if (!load(kRootInode)) return false;
    for (;;) {
      while (*at == '/') ++at;
      if (*at == 0) return true;
      const char* end = at;
      while (*end != 0 && *end != '/') ++end;
      if ((inode_.mode & kTypeMask) != kDirectory) return fail("a part of the path is not a directory");
      parent = inode_.number;
      u32 child = 0;
      if (!search(at, static_cast<u32>(end - at), child) || !load(child)) return false;
      at = end;
      if ((inode_.mode & kTypeMask) != kLink) continue;
      if (++links > kMaxLinks) return fail("too many symbolic links");
      if (!read_link(link_text, sizeof link_text)) return false;
      if (strlen(link_text) + strlen(at) + 2 > sizeof walk_text) return fail("a symbolic link is too long");
      const size_t length = strlen(link_text);
      memmove(walk_text + length, at, strlen(at) + 1);
      memcpy(walk_text, link_text, length);
      at = walk_text;
      if (!load(*at == '/' ? kRootInode : parent)) return false;
    }
  }

  Volume mounted_;
  u32 shift_ = 10, per_group_ = 0, first_data_ = 0, blocks_per_group_ = 0, first_meta_ = 0, incompatible_ = 0;
  u32 inode_size_ = 0, descriptor_ = 32;
  bool sparse_super_ = false;
  u64 cached_ = ~0ull;
  Inode inode_;
  void (*visit_)(const char* name, bool directory) = nullptr;
};

constinit Ext4 instance;

}  // namespace

constinit FileSystem& ext4 = instance;

}  // namespace xm::boot
