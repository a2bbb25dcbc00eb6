// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 under the VFS: mounting, inodes, directories, symlinks, and file pages read through the block layer.
// GAP: read-only (a mount for writing becomes read-only), no journal replay, no extended attributes.
#include "kernel/fs/blockdev.h"
#include "kernel/fs/ext4/ext4.h"
#include "kernel/fs/fs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

// The device's page cache as the source of metadata.
struct BdevSource final : ext4_source {
  address_space* mapping = nullptr;
  int read(u64 offset, void* to, u32 length) const override {
    u8* out = static_cast<u8*>(to);
    while (length > 0) {
      const u32 at = static_cast<u32>(offset & (kPageSize - 1)),
                step = min<u32>(length, static_cast<u32>(kPageSize) - at);
      page* p = TRY(read_mapping_page(mapping, offset >> kPageShift, nullptr));
      memcpy(out, static_cast<const u8*>(page_to_virt(p)) + at, step);
      put_page(p);
      out += step;
      offset += step;
      length -= step;
    }
    return 0;
  }
};

struct ext4_sb_info {
  BdevSource source;
  ext4_geometry geometry;
};
struct ext4_inode_info {
  inode vfs;
  ext4_body body;
};
constinit kmem_cache* ext4_inode_cache = nullptr;

ext4_sb_info* info_of(const super_block* sb) { return static_cast<ext4_sb_info*>(sb->s_fs_info); }
const ext4_geometry& geometry_of(const inode* i) { return info_of(i->i_sb)->geometry; }
const ext4_body& body_of(inode* i) { return container_of(i, ext4_inode_info, vfs)->body; }

// --- pages of files ---
void end_read(bio* b) {
  for (u32 i = 0; i < b->vec_count; ++i) {
    b->vecs[i].page_->set(b->error == 0 ? PG_uptodate : PG_error);
    unlock_page(b->vecs[i].page_);
  }
  bio_free(b);
}

int read_run(inode* i, page* p, u32 offset, u32 length, u64 physical) {
  if (physical == 0) {
    memset(static_cast<u8*>(page_to_virt(p)) + offset, 0, length);
    return 0;
  }
  bio* b = bio_alloc(GFP_NOFS);
  if (b == nullptr) return -ENOMEM;
  b->bdev = i->i_sb->s_bdev;
  b->sector = physical << (geometry_of(i).block_bits - 9);
  bio_add_page(b, p, length, offset);
  const int error = submit_bio_wait(b);
  bio_free(b);
  return error;
}

struct Ext4Aops final : address_space_operations {
  int read_page(file*, page* p) const override {
    inode* i = p->mapping->host;
    const ext4_geometry& g = geometry_of(i);
    int error = 0;
    for (u32 offset = 0; offset < kPageSize && error == 0;) {
      const u32 logical = static_cast<u32>(((p->index << kPageShift) + offset) >> g.block_bits);
      ext4_run run{};
      error = ext4_map(g, body_of(i), logical, run);
      if (error != 0) break;
      const u32 length = static_cast<u32>(min<u64>(static_cast<u64>(run.count) << g.block_bits, kPageSize - offset));
      error = read_run(i, p, offset, length, run.physical);
      offset += length;
    }
    p->set(error == 0 ? PG_uptodate : PG_error);
    unlock_page(p);
    return error;
  }
  void read_ahead(file*, address_space* m, u64 first, u32 count) const override {
    inode* i = m->host;
    const ext4_geometry& g = geometry_of(i);
    if (g.block_bits != kPageShift) return;
    ext4_run run{};
    if (ext4_map(g, body_of(i), static_cast<u32>(first), run) != 0 || run.physical == 0) return;
    bio* b = bio_alloc(GFP_NOFS);
    if (b == nullptr) return;
    for (u64 index = first; index < first + min(count, run.count); ++index) {
      page* there = find_get_page(m, index);
      auto got = there == nullptr ? find_or_create_page(m, index) : Result<page*>{Error{EEXIST}};
      if (there != nullptr) put_page(there);
      if (!got.ok()) break;
      page* p = got.value();
      const bool wanted = !p->test(PG_uptodate) && bio_add_page(b, p, kPageSize, 0);
      if (!wanted) unlock_page(p);
      put_page(p);  // a locked page stays in the cache
      if (!wanted) break;
    }
    b->bdev = i->i_sb->s_bdev;
    b->sector = run.physical << (g.block_bits - 9);
    b->end_io = end_read;
    b->vec_count == 0 ? bio_free(b) : submit_bio(b);
  }
};
constinit const Ext4Aops ext4_aops{};

// --- directories ---
Result<inode*> ext4_iget(super_block* sb, u32 ino);

struct BlockBuffer {
  u8* data;
  explicit BlockBuffer(u32 size) : data(static_cast<u8*>(kmalloc(size))) {}
  ~BlockBuffer() { kfree(data); }
  BlockBuffer(const BlockBuffer&) = delete;
  BlockBuffer& operator=(const BlockBuffer&) = delete;
};

int read_dir_block(inode* dir, u32 logical, u8* to) {
  const ext4_geometry& g = geometry_of(dir);
  ext4_run run{};
  TRY_INT(ext4_map(g, body_of(dir), logical, run));
  if (run.physical == 0) return -EUCLEAN;
  TRY_INT(g.source->read(run.physical << g.block_bits, to, g.block_size));
  return ext4_check_dir_block(g, body_of(dir), to);
}

int find_name(inode* dir, const qstr& name, u32* ino) {
  const ext4_geometry& g = geometry_of(dir);
  BlockBuffer buffer(g.block_size);
  if (buffer.data == nullptr) return -ENOMEM;
  const u32 blocks = static_cast<u32>(static_cast<u64>(dir->i_size) >> g.block_bits);
  for (u32 block = 0; block < blocks; ++block) {
    TRY_INT(read_dir_block(dir, block, buffer.data));
    ext4_dir_cursor cursor{buffer.data, g.block_size, 0};
    int error = 0;
    while (const ext4_dir_entry* e = ext4_next_entry(g, cursor, &error)) {
      if (name.len != e->name_len || memcmp(name.name, e->name, name.len) != 0) continue;
      *ino = e->inode;
      return 0;
    }
    if (error != 0) return error;
  }
  *ino = 0;
  return 0;
}

struct Ext4DirInodeOps final : inode_operations {
  int lookup(inode* dir, dentry* d) const override {
    if (d->d_name.len > kNameMax) return -ENAMETOOLONG;
    u32 ino = 0;
    TRY_INT(find_name(dir, d->d_name, &ino));
    inode* found = ino == 0 ? nullptr : TRY(ext4_iget(dir->i_sb, ino));
    d_add(d, found);
    return 0;
  }
};
constinit const Ext4DirInodeOps dir_inode_ops{};

u8 type_of_entry(u8 t) {
  static constexpr u8 kTypes[] = {DT_UNKNOWN, DT_REG, DT_DIR, DT_CHR, DT_BLK, DT_FIFO, DT_SOCK, DT_LNK};
  return t < array_size(kTypes) ? kTypes[t] : static_cast<u8>(DT_UNKNOWN);
}

struct Ext4DirFileOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  // A position is the byte offset of an entry.
  int iterate(file* f, dir_context& c) const override {
    inode* dir = f->f_inode;
    const ext4_geometry& g = geometry_of(dir);
    BlockBuffer buffer(g.block_size);
    if (buffer.data == nullptr) return -ENOMEM;
    while (c.pos < dir->i_size) {
      const u32 start = static_cast<u32>(c.pos) & (g.block_size - 1);
      const loff_t base = c.pos - start;
      TRY_INT(read_dir_block(dir, static_cast<u32>(static_cast<u64>(base) >> g.block_bits), buffer.data));
      ext4_dir_cursor cursor{buffer.data, g.block_size, 0};
      int error = 0;
      while (const ext4_dir_entry* e = ext4_next_entry(g, cursor, &error)) {
        if (base + cursor.offset <= c.pos) continue;
        if (!c.actor(&c, e->name, e->name_len, base + cursor.offset, e->inode, type_of_entry(e->file_type))) return 0;
        c.pos = base + cursor.offset;
      }
      if (error != 0) return error;
      c.pos = base + g.block_size;
    }
    return 0;
  }
  int fsync(file*, bool) const override { return 0; }
};
constinit const Ext4DirFileOps dir_file_ops{};

// --- symlinks and files ---
struct Ext4LinkOps final : inode_operations {
  int get_link(dentry*, inode* i, link_body& link) const override {
    const u64 size = static_cast<u64>(i->i_size);
    if (size == 0 || size >= kPathMax) return -EUCLEAN;
    char* text = static_cast<char*>(kzalloc(size + 1));
    if (text == nullptr) return -ENOMEM;
    if (size < sizeof(ext4_body::block) && (body_of(i).flags & EXT4_EXTENTS_FL) == 0) {
      memcpy(text, body_of(i).block, size);
    } else {
      auto got = read_mapping_page(&i->i_data, 0, nullptr);
      if (!got.ok()) {
        kfree(text);
        return -got.error();
      }
      memcpy(text, page_to_virt(got.value()), size);
      put_page(got.value());
    }
    link.text = text;
    link.to_free = text;
    return 0;
  }
};
constinit const Ext4LinkOps link_ops{};

struct Ext4FileOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override { return generic_file_read_iter(f, to, pos); }
  int mmap(file* f, vm_area_struct* v) const override { return generic_file_mmap(f, v); }
  int fsync(file* f, bool data_only) const override { return generic_file_fsync(f, data_only); }
};
constinit const Ext4FileOps file_ops{};

// Seconds are 34 bits wide: the low two bits of the extra word go above the signed 32 of the old one.
timespec64 time_of(u32 seconds, u32 extra) {
  return {static_cast<s64>(static_cast<s32>(seconds)) + (static_cast<s64>(extra & 3) << 32), extra >> 2};
}

void fill_inode(inode* i, const ext4_inode& raw) {
  i->i_mode = raw.i_mode;
  i->i_uid = raw.i_uid | static_cast<u32>(raw.i_uid_high) << 16;
  i->i_gid = raw.i_gid | static_cast<u32>(raw.i_gid_high) << 16;
  i->i_nlink = raw.i_links_count;
  i->i_size = static_cast<loff_t>(body_of(i).size);
  i->i_blocks = ext4_inode_blocks(geometry_of(i), raw);
  i->i_generation = raw.i_generation;
  i->i_atime = time_of(raw.i_atime, raw.i_atime_extra);
  i->i_mtime = time_of(raw.i_mtime, raw.i_mtime_extra);
  i->i_ctime = time_of(raw.i_ctime, raw.i_ctime_extra);
  i->i_btime = time_of(raw.i_crtime, raw.i_crtime_extra);
  i->i_flags = ((raw.i_flags & EXT4_IMMUTABLE_FL) != 0 ? S_IMMUTABLE : 0) |
               ((raw.i_flags & EXT4_APPEND_FL) != 0 ? S_APPEND : 0) |
               ((raw.i_flags & EXT4_NOATIME_FL) != 0 ? S_NOATIME : 0);
  i->i_data.a_ops = &ext4_aops;
  if (S_ISDIR(i->i_mode)) {
    i->i_op = &dir_inode_ops;
    i->i_fop = &dir_file_ops;
  } else if (S_ISLNK(i->i_mode)) {
    i->i_op = &link_ops;
  } else if (S_ISREG(i->i_mode)) {
    i->i_fop = &file_ops;
  } else {
    const bool old_form = raw.i_block[0] != 0;
    init_special_inode(
        i, i->i_mode,
        old_form ? make_dev(raw.i_block[0] >> 8 & 0xff, raw.i_block[0] & 0xff) : decode_dev(raw.i_block[1]));
  }
}

Result<inode*> ext4_iget(super_block* sb, u32 ino) {
  inode* i = TRY(iget_locked(sb, ino));
  if ((i->i_state.load() & I_NEW) == 0) return i;
  ext4_inode raw;
  int error = ext4_read_inode(info_of(sb)->geometry, ino, raw);
  if (error == 0 && raw.i_links_count == 0) error = -ESTALE;
  if (error != 0) {
    printk(KERN_ERR "EXT4-fs: inode #%u cannot be read (error %d)\n", ino, error);
    iget_failed(i);
    return Error{-error};
  }
  container_of(i, ext4_inode_info, vfs)->body = ext4_body_of(ino, raw);
  fill_inode(i, raw);
  unlock_new_inode(i);
  return i;
}

// --- the super block ---
struct Ext4SuperOps final : super_operations {
  inode* alloc_inode(super_block*) const override {
    void* memory = kmem_cache_alloc(ext4_inode_cache, GFP_KERNEL);
    return memory == nullptr ? nullptr : &(new (memory) ext4_inode_info{})->vfs;
  }
  void free_inode(inode* i) const override { kmem_cache_free(ext4_inode_cache, container_of(i, ext4_inode_info, vfs)); }
  bool drop_inode(const inode* i) const override { return i->i_nlink == 0; }
  void put_super(super_block* sb) const override { kdelete(info_of(sb)); }
  int remount(super_block*, u64* flags, const char*) const override { return (*flags & MS_RDONLY) != 0 ? 0 : -EROFS; }
  int statfs(super_block* sb, struct statfs* out) const override {
    const ext4_super_block& s = info_of(sb)->geometry.super;
    const u64 free_blocks = s.s_free_blocks_count_lo | static_cast<u64>(s.s_free_blocks_count_hi) << 32;
    const u64 reserved = s.s_r_blocks_count_lo | static_cast<u64>(s.s_r_blocks_count_hi) << 32;
    *out = {};
    out->f_type = EXT4_MAGIC;
    out->f_bsize = out->f_frsize = sb->s_blocksize;
    out->f_blocks = info_of(sb)->geometry.blocks;
    out->f_bfree = free_blocks;
    out->f_bavail = free_blocks > reserved ? free_blocks - reserved : 0;
    out->f_files = s.s_inodes_count;
    out->f_ffree = s.s_free_inodes_count;
    out->f_namelen = kNameMax;
    return 0;
  }
};
constinit const Ext4SuperOps super_ops{};

int read_root(super_block* sb) {
  inode* root = TRY(ext4_iget(sb, EXT4_ROOT_INO));
  if (!S_ISDIR(root->i_mode)) {
    iput(root);
    return -EUCLEAN;
  }
  sb->s_root = d_make_root(root);
  return sb->s_root == nullptr ? -ENOMEM : 0;
}

int ext4_fill_super(super_block* sb, const char* source, const char*, u64) {
  ext4_sb_info* info = knew<ext4_sb_info>();
  if (info == nullptr) return -ENOMEM;
  info->source.mapping = blkdev_mapping(sb->s_bdev);
  sb->s_fs_info = info;
  sb->s_op = &super_ops;
  sb->s_magic = EXT4_MAGIC;
  int error = ext4_read_super(info->geometry, info->source);
  if (error == 0) {
    sb->s_blocksize_bits = info->geometry.block_bits;
    sb->s_blocksize = info->geometry.block_size;
    if ((sb->s_flags & MS_RDONLY) == 0) printk(KERN_WARNING "EXT4-fs (%s): mounted read-only\n", source);
    if (info->geometry.has(EXT4_INCOMPAT_RECOVER))
      printk(KERN_WARNING "EXT4-fs (%s): the journal holds changes that are not applied\n", source);
    sb->s_flags |= MS_RDONLY;
    error = read_root(sb);
  }
  if (error != 0) {
    printk(KERN_ERR "EXT4-fs (%s): cannot be mounted (error %d)\n", source, error);
    kdelete(info);
  }
  return error;
}
constinit file_system_type ext4_type{"ext4", FS_REQUIRES_DEV, ext4_fill_super};

void ext4_init() {
  ext4_inode_cache = kmem_cache_create("ext4_inode_cache", sizeof(ext4_inode_info), 64);
  register_filesystem(&ext4_type);
}
FS_INITCALL(ext4_init);

}  // namespace
}  // namespace xm::os
