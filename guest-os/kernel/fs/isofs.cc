// SPDX-License-Identifier: GPL-2.0-or-later
// ISO 9660 with Rock Ridge, for CDs: every file is one stretch of 2048-byte blocks. An inode's number is the place of
// its directory record. [ECMA-119], [IEEE P1281 SUSP], [IEEE P1282 RRIP]
// GAP: no Joliet, no files of several sections (larger than 4 GiB), no deep-directory relocation, no zisofs.
#include "kernel/fs/blockdev.h"
#include "kernel/fs/fs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 kBlock = 2048, kBlockBits = 11, kFirstDescriptor = 16;
constexpr u64 ISOFS_MAGIC = 0x9660;
constexpr u8 kFlagDirectory = 2, kFlagMultiExtent = 0x80;

struct Record {  // both-endian numbers: the little one comes first
  u8 length, attribute_length;
  u32 extent, extent_be;
  u32 size, size_be;
  u8 date[7];
  u8 flags, unit_size, gap;
  u32 volume;
  u8 name_length;
  char name[];
} __attribute__((packed));
static_assert(sizeof(Record) == 33);

struct iso_sb_info {
  bool rock_ridge = false;
  u32 skip = 0;  // bytes before each system use field (SUSP "SP")
  u32 root_extent = 0, root_size = 0;
  u64 root_at = 0;
  u64 blocks = 0;
};
struct iso_inode_info {
  inode vfs;
  u32 extent = 0;
};
constinit kmem_cache* iso_inode_cache = nullptr;

iso_sb_info* info_of(const super_block* sb) { return static_cast<iso_sb_info*>(sb->s_fs_info); }
u32& extent_of(inode* i) { return container_of(i, iso_inode_info, vfs)->extent; }

int read_bytes(const super_block* sb, u64 at, void* to, u32 n) {
  address_space* m = blkdev_mapping(sb->s_bdev);
  for (u8* out = static_cast<u8*>(to); n > 0;) {
    const u32 into = static_cast<u32>(at & (kPageSize - 1)), step = min(n, static_cast<u32>(kPageSize) - into);
    page* p = TRY(read_mapping_page(m, at >> kPageShift, nullptr));
    memcpy(out, static_cast<u8*>(page_to_virt(p)) + into, step);
    put_page(p);
    out += step;
    at += step;
    n -= step;
  }
  return 0;
}

// --- what a record says, with Rock Ridge's additions ---
struct Entry {
  u32 extent = 0, size = 0;
  umode_t mode = 0;
  u32 links = 1;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
  timespec64 time;
  char name[kNameMax + 1];
  u32 name_length = 0;
  char* link = nullptr;  // text of a symlink, of kPathMax bytes; the caller's
  u32 link_length = 0;
  bool hidden = false;
};

s64 days_of(u32 year, u32 month, u32 day) {
  const s64 y = static_cast<s64>(year) - (month <= 2 ? 1 : 0);
  const s64 era = y / 400, of_era = y - era * 400;
  const s64 of_year = (153 * (static_cast<s64>(month) + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}
s64 seconds_of(const u8* d) {  // years since 1900, month, day, hour, minute, second, quarters of an hour from GMT
  const s64 zone = static_cast<s8>(d[6]) * 900;
  return days_of(1900u + d[0], d[1], d[2]) * 86400 + d[3] * 3600 + d[4] * 60 + d[5] - zone;
}

u32 le32(const u8* p) {
  u32 v;
  memcpy(&v, p, 4);
  return v;
}

void append(char* to, u32* length, u32 limit, const char* text, u32 n) {
  for (u32 i = 0; i < n && *length < limit; ++i) to[(*length)++] = text[i];
}

// Components of a symlink: flags, length, text.
void take_link(Entry& e, const u8* field, u32 length) {
  if (e.link == nullptr) return;
  for (u32 at = 5; at + 2 <= length && at + 2u + field[at + 1] <= length; at += 2u + field[at + 1]) {
    const u8 flags = field[at];
    if (e.link_length != 0 && e.link[e.link_length - 1] != '/') append(e.link, &e.link_length, kPathMax - 1, "/", 1);
    if ((flags & 2) != 0) append(e.link, &e.link_length, kPathMax - 1, ".", 1);
    if ((flags & 4) != 0) append(e.link, &e.link_length, kPathMax - 1, "..", 2);
    if ((flags & 8) != 0) append(e.link, &e.link_length, kPathMax - 1, "/", 1);
    append(e.link, &e.link_length, kPathMax - 1, reinterpret_cast<const char*>(field + at + 2), field[at + 1]);
  }
}

void take_field(Entry& e, const u8* f, u32 length) {
  const auto is = [&](const char* word) { return f[0] == word[0] && f[1] == word[1]; };
  if (is("NM") && length > 5 && (f[4] & 6) == 0) {
    append(e.name, &e.name_length, kNameMax, reinterpret_cast<const char*>(f + 5), length - 5);
  } else if (is("PX") && length >= 36) {
    e.mode = le32(f + 4);
    e.links = le32(f + 12);
    e.uid = le32(f + 20);
    e.gid = le32(f + 28);
  } else if (is("PN") && length >= 20) {
    const u32 high = le32(f + 4), low = le32(f + 12);
    e.rdev = high != 0 ? make_dev(high, low) : make_dev(low >> 8, low & 0xff);
  } else if (is("SL") && length > 5) {
    take_link(e, f, length);
  } else if (is("RE")) {
    e.hidden = true;
  }
}

// The system use fields in [fields, end), and where they continue.
int scan_fields(const super_block* sb, Entry& e, const u8* fields, u32 length) {
  u8* area = static_cast<u8*>(kmalloc(kBlock));
  if (area == nullptr) return -ENOMEM;
  memcpy(area, fields, min(length, kBlock));
  int error = 0;
  for (u32 turn = 0; turn < 32 && error == 0; ++turn) {  // a chain that never ends does
    u64 next = 0;
    u32 next_length = 0;
    for (u32 at = 0; at + 4 <= length && area[at + 2] >= 4 && at + area[at + 2] <= length; at += area[at + 2]) {
      const u8* f = area + at;
      if (f[0] == 'C' && f[1] == 'E' && f[2] >= 28) {
        next = static_cast<u64>(le32(f + 4)) * kBlock + le32(f + 12);
        next_length = min(le32(f + 20), kBlock);
      } else if (f[0] == 'S' && f[1] == 'T') {
        break;
      } else {
        take_field(e, f, f[2]);
      }
    }
    if (next_length == 0) break;
    length = next_length;
    error = read_bytes(sb, next, area, length);
  }
  kfree(area);
  return error;
}

void plain_name(Entry& e, const Record* r) {
  if (r->name_length == 1 && (r->name[0] == 0 || r->name[0] == 1)) {
    e.name_length = 0;
    append(e.name, &e.name_length, kNameMax, "..", r->name[0] == 0 ? 1 : 2);
    return;
  }
  if (e.name_length != 0) return;  // Rock Ridge gave one
  for (u32 i = 0; i < r->name_length && r->name[i] != ';'; ++i) {
    const char c = r->name[i];
    e.name[e.name_length++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  if (e.name_length > 1 && e.name[e.name_length - 1] == '.') --e.name_length;
}

int parse(const super_block* sb, const Record* r, Entry& e) {
  e.extent = r->extent + r->attribute_length;
  e.size = r->size;
  const bool directory = (r->flags & kFlagDirectory) != 0;
  e.mode = directory ? S_IFDIR | 0555 : S_IFREG | 0444;
  e.links = directory ? 2 : 1;
  e.time = {seconds_of(r->date), 0};
  const u32 head = static_cast<u32>(align_up(33u + r->name_length, 2)), skip = info_of(sb)->skip;
  if (info_of(sb)->rock_ridge && head + skip < r->length)
    TRY_INT(scan_fields(sb, e, reinterpret_cast<const u8*>(r) + head + skip, r->length - head - skip));
  plain_name(e, r);
  return (r->flags & kFlagMultiExtent) != 0 ? -EFBIG : 0;
}

// Goes through a directory's records from byte `pos` on; f(entry, place of the record, place of the next) until false.
template <class Function>
int for_each_record(inode* dir, loff_t pos, Function f) {
  u8* block = static_cast<u8*>(kmalloc(kBlock));
  Entry* e = static_cast<Entry*>(kmalloc(sizeof(Entry)));
  int error = block == nullptr || e == nullptr ? -ENOMEM : 0;
  while (error == 0 && pos < dir->i_size) {
    const u64 base = static_cast<u64>(pos) / kBlock * kBlock;
    const u64 disk = static_cast<u64>(extent_of(dir)) * kBlock + base;
    error = read_bytes(dir->i_sb, disk, block, kBlock);
    u32 at = static_cast<u32>(static_cast<u64>(pos) - base);
    bool more = true;
    while (error == 0 && more && at + sizeof(Record) <= kBlock && block[at] != 0) {
      const Record* r = reinterpret_cast<const Record*>(block + at);
      if (r->length < sizeof(Record) + r->name_length || at + r->length > kBlock) {
        error = -EUCLEAN;
        break;
      }
      new (e) Entry;
      error = parse(dir->i_sb, r, *e);
      if (error == -EFBIG) error = 0;
      if (error == 0 && !e->hidden) more = f(*e, disk + at, static_cast<loff_t>(base + at + r->length));
      at += r->length;
    }
    if (!more) break;
    pos = static_cast<loff_t>(base + kBlock);
  }
  kfree(block);
  kfree(e);
  return error;
}

// --- inodes ---
struct IsoAops final : address_space_operations {
  int read_page(file*, page* p) const override {
    inode* i = p->mapping->host;
    const u64 start = p->index << kPageShift, size = static_cast<u64>(i->i_size);
    const u32 bytes = start >= size ? 0 : static_cast<u32>(min(kPageSize, align_up(size - start, kBlock)));
    int error = 0;
    memset(static_cast<u8*>(page_to_virt(p)) + bytes, 0, kPageSize - bytes);
    if (bytes != 0) {
      bio* b = bio_alloc(GFP_NOFS);
      if (b == nullptr) {
        unlock_page(p);
        return -ENOMEM;
      }
      b->bdev = i->i_sb->s_bdev;
      b->sector = (static_cast<u64>(extent_of(i)) * kBlock + start) / 512;
      bio_add_page(b, p, bytes, 0);
      error = submit_bio_wait(b);
      bio_free(b);
    }
    p->set(error == 0 ? PG_uptodate : PG_error);
    unlock_page(p);
    return error;
  }
};
constinit const IsoAops iso_aops{};

struct IsoFileOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override { return generic_file_read_iter(f, to, pos); }
  int mmap(file* f, vm_area_struct* v) const override { return generic_file_mmap(f, v); }
  int fsync(file*, bool) const override { return 0; }
};
constinit const IsoFileOps iso_file_ops{};

int read_record(const super_block* sb, u64 at, u8* raw, Entry& e) {
  TRY_INT(read_bytes(sb, at, raw, 1));
  if (raw[0] < sizeof(Record)) return -EUCLEAN;
  TRY_INT(read_bytes(sb, at, raw, raw[0]));
  const Record* r = reinterpret_cast<const Record*>(raw);
  if (r->length < sizeof(Record) + r->name_length) return -EUCLEAN;
  return parse(sb, r, e);
}

struct IsoLinkOps final : inode_operations {
  int get_link(dentry*, inode* i, link_body& link) const override {
    u8* raw = static_cast<u8*>(kmalloc(256));
    Entry* e = static_cast<Entry*>(kmalloc(sizeof(Entry)));
    char* text = static_cast<char*>(kzalloc(kPathMax));
    int error = raw == nullptr || e == nullptr || text == nullptr ? -ENOMEM : 0;
    if (error == 0) {
      new (e) Entry;
      e->link = text;
      error = read_record(i->i_sb, i->i_ino, raw, *e);
    }
    kfree(raw);
    kfree(e);
    if (error != 0) {
      kfree(text);
      return error;
    }
    link.text = text;
    link.to_free = text;
    return 0;
  }
};
constinit const IsoLinkOps iso_link_ops{};

extern const inode_operations& iso_dir_inode_ops;
extern const file_operations& iso_dir_ops;

void fill_inode(inode* i, const Entry& e) {
  extent_of(i) = e.extent;
  i->i_mode = e.mode;
  i->i_nlink = max(e.links, 1u);
  i->i_uid = e.uid;
  i->i_gid = e.gid;
  i->i_rdev = e.rdev;
  i->i_size = e.size;
  i->i_blocks = div_round_up(e.size, 512);
  i->i_atime = i->i_mtime = i->i_ctime = e.time;
  i->i_data.a_ops = &iso_aops;
  if (S_ISDIR(i->i_mode)) {
    i->i_op = &iso_dir_inode_ops;
    i->i_fop = &iso_dir_ops;
  } else if (S_ISREG(i->i_mode)) {
    i->i_fop = &iso_file_ops;
  } else if (S_ISLNK(i->i_mode)) {
    i->i_op = &iso_link_ops;
  } else {
    init_special_inode(i, i->i_mode, i->i_rdev);
  }
}

// A directory is known by its own "." record, whoever names it.
Result<inode*> iso_iget(super_block* sb, const Entry& e, u64 at) {
  const u64 ino = S_ISDIR(e.mode) ? static_cast<u64>(e.extent) * kBlock : at;
  inode* i = TRY(iget_locked(sb, ino));
  if ((i->i_state.load() & I_NEW) == 0) return i;
  fill_inode(i, e);
  unlock_new_inode(i);
  return i;
}

struct IsoDirInodeOps final : inode_operations {
  int lookup(inode* dir, dentry* d) const override {
    Entry* found = static_cast<Entry*>(kmalloc(sizeof(Entry)));
    if (found == nullptr) return -ENOMEM;
    u64 place = 0;
    int error = for_each_record(dir, 0, [&](const Entry& e, u64 at, loff_t) {
      if (e.name_length != d->d_name.len || memcmp(e.name, d->d_name.name, e.name_length) != 0) return true;
      *found = e;
      place = at;
      return false;
    });
    inode* i = nullptr;
    if (error == 0 && place != 0) {
      auto got = iso_iget(dir->i_sb, *found, place);
      error = got.ok() ? 0 : -got.error();
      if (got.ok()) i = got.value();
    }
    kfree(found);
    if (error == 0) d_add(d, i);
    return error;
  }
};
constinit const IsoDirInodeOps dir_inode_ops{};

struct IsoDirOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  int iterate(file* f, dir_context& c) const override {
    bool full = false;
    const int error = for_each_record(f->f_inode, c.pos, [&](const Entry& e, u64 at, loff_t next) {
      const u64 ino = S_ISDIR(e.mode) ? static_cast<u64>(e.extent) * kBlock : at;
      full = !c.actor(&c, e.name, e.name_length, next, ino, mode_to_dt(e.mode));
      if (!full) c.pos = next;
      return !full;
    });
    if (error == 0 && !full) c.pos = f->f_inode->i_size;
    return error;
  }
  int fsync(file*, bool) const override { return 0; }
};
constinit const IsoDirOps dir_ops{};
constinit const inode_operations& iso_dir_inode_ops = dir_inode_ops;
constinit const file_operations& iso_dir_ops = dir_ops;

// --- mounting ---
struct IsoSuperOps final : super_operations {
  inode* alloc_inode(super_block*) const override {
    void* memory = kmem_cache_alloc(iso_inode_cache, GFP_KERNEL);
    return memory == nullptr ? nullptr : &(new (memory) iso_inode_info{})->vfs;
  }
  void free_inode(inode* i) const override { kmem_cache_free(iso_inode_cache, container_of(i, iso_inode_info, vfs)); }
  void put_super(super_block* sb) const override { kdelete(info_of(sb)); }
  int remount(super_block*, u64* flags, const char*) const override { return (*flags & MS_RDONLY) != 0 ? 0 : -EROFS; }
  int statfs(super_block* sb, struct statfs* out) const override {
    *out = {};
    out->f_type = ISOFS_MAGIC;
    out->f_bsize = out->f_frsize = kBlock;
    out->f_blocks = info_of(sb)->blocks;
    out->f_namelen = kNameMax;
    return 0;
  }
};
constinit const IsoSuperOps iso_super_ops{};

// The primary volume descriptor; the root's "." record tells whether there is Rock Ridge ("SP").
int read_volume(super_block* sb, iso_sb_info* info, Entry& root) {
  u8* d = static_cast<u8*>(kmalloc(kBlock));
  if (d == nullptr) return -ENOMEM;
  int error = -EINVAL;
  for (u32 n = kFirstDescriptor; n < kFirstDescriptor + 16; ++n) {
    error = read_bytes(sb, static_cast<u64>(n) * kBlock, d, kBlock);
    if (error != 0) break;
    if (memcmp(d + 1, "CD001", 5) != 0 || d[0] == 255) {
      error = -EINVAL;
      break;
    }
    if (d[0] != 1) continue;
    info->blocks = le32(d + 80);
    const Record* r = reinterpret_cast<const Record*>(d + 156);
    if (d[128] != (kBlock & 0xff) || d[129] != kBlock >> 8) error = -EINVAL;
    info->root_extent = r->extent + r->attribute_length;
    info->root_size = r->size;
    break;
  }
  if (error == 0) error = read_bytes(sb, static_cast<u64>(info->root_extent) * kBlock, d, 256);
  if (error == 0) {
    const Record* dot = reinterpret_cast<const Record*>(d);
    const u8* sp = d + 34;
    info->rock_ridge = dot->length >= 34 + 7 && sp[0] == 'S' && sp[1] == 'P' && sp[4] == 0xbe && sp[5] == 0xef;
    error = dot->length < 34 ? -EUCLEAN : parse(sb, dot, root);
    if (info->rock_ridge) info->skip = sp[6];
    root.size = info->root_size;
  }
  kfree(d);
  return error;
}

int iso_fill_super(super_block* sb, const char* source, const char*, u64) {
  iso_sb_info* info = knew<iso_sb_info>();
  Entry* root = knew<Entry>();
  if (info == nullptr || root == nullptr) return -ENOMEM;
  sb->s_fs_info = info;
  sb->s_op = &iso_super_ops;
  sb->s_magic = ISOFS_MAGIC;
  sb->s_blocksize = kBlock;
  sb->s_blocksize_bits = kBlockBits;
  sb->s_flags |= MS_RDONLY;
  int error = read_volume(sb, info, *root);
  if (error == 0 && !S_ISDIR(root->mode)) error = -EUCLEAN;
  if (error == 0) {
    auto got = iso_iget(sb, *root, static_cast<u64>(info->root_extent) * kBlock);
    error = got.ok() ? 0 : -got.error();
    if (got.ok()) sb->s_root = d_make_root(got.value());
    if (error == 0 && sb->s_root == nullptr) error = -ENOMEM;
  }
  kdelete(root);
  if (error == 0) {
    printk(KERN_INFO "ISO 9660 (%s): mounted%s\n", source, info->rock_ridge ? " with Rock Ridge" : "");
  } else {
    kdelete(info);
  }
  return error;
}
constinit file_system_type iso_type{"iso9660", FS_REQUIRES_DEV, iso_fill_super};

void isofs_init() {
  iso_inode_cache = kmem_cache_create("isofs_inode_cache", sizeof(iso_inode_info), 64);
  register_filesystem(&iso_type);
}
FS_INITCALL(isofs_init);

}  // namespace
}  // namespace xm::os
