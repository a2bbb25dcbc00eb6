// SPDX-License-Identifier: GPL-2.0-or-later
// Reading ext4 through any source of bytes: everything here is free of hardware and of the VFS, and is unit-tested on
// the host with images of mke2fs.
#pragma once

#include "kernel/fs/ext4/format.h"
#include "kernel/lib/result.h"
#include "kernel/lib/types.h"

namespace xm::os {

u32 crc32c(u32 crc, const void* data, size_t n);  // the bare register: no inversion before or after

// The device under the file system. 0 or negative errno.
struct ext4_source {
  virtual int read(u64 offset, void* to, u32 length) const = 0;

 protected:
  ~ext4_source() = default;
};

struct ext4_geometry {
  const ext4_source* source = nullptr;
  ext4_super_block super;
  u32 block_size = 0, block_bits = 0, inode_size = 0, desc_size = 0, groups = 0, checksum_seed = 0;
  u64 blocks = 0;
  bool has_checksums = false;
  bool has(u32 incompat) const { return (super.s_feature_incompat & incompat) != 0; }
};
int ext4_read_super(ext4_geometry& g, const ext4_source& source);
int ext4_read_group(const ext4_geometry& g, u32 group, ext4_group_desc& out);
u64 ext4_group_desc_offset(const ext4_geometry& g, u32 group);

// What is needed to find an inode's data.
struct ext4_body {
  u32 ino = 0, generation = 0, flags = 0;
  u64 size = 0;
  u32 block[15]{};
};
int ext4_read_inode(const ext4_geometry& g, u32 ino, ext4_inode& out);
ext4_body ext4_body_of(u32 ino, const ext4_inode& raw);
u64 ext4_inode_blocks(const ext4_geometry& g, const ext4_inode& raw);  // of 512 bytes

// Where a block of a file is: `count` blocks from `physical` on; 0: a hole or not yet written, zeros.
struct ext4_run {
  u64 physical;
  u32 count;
};
int ext4_map(const ext4_geometry& g, const ext4_body& body, u32 logical, ext4_run& out);

// One block of a directory.
struct ext4_dir_cursor {
  const u8* block;
  u32 size, offset;
};
// The next entry with an inode, or null at the end; *error becomes -EUCLEAN when the block is damaged.
const ext4_dir_entry* ext4_next_entry(const ext4_geometry& g, ext4_dir_cursor& c, int* error);
int ext4_check_dir_block(const ext4_geometry& g, const ext4_body& dir, const u8* block);

}  // namespace xm::os
