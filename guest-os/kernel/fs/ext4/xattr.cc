// SPDX-License-Identifier: GPL-2.0-or-later
// Extended attributes: as many as fit behind the inode's fields, the rest in one block. Every change lays all of them
// out anew; a block that several inodes share (Linux does so) is left to the others.
// [Linux Documentation/filesystems/ext4/attributes]
#include "kernel/fs/ext4/groups.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

struct Prefix {
  u8 index;
  const char* text;
};
constexpr Prefix kPrefixes[] = {
    {1, "user."},  {2, "system.posix_acl_access"}, {3, "system.posix_acl_default"}, {4, "trusted."}, {6, "security."},
    {7, "system."}};

struct Attribute {
  u8 index, name_length;
  const char* name;
  const u8* value;
  u32 size;
};
constexpr u32 kMost = 128;
constexpr u32 entry_size(u32 name_length) { return (16 + name_length + 3) & ~3u; }
constexpr u32 value_size(u32 size) { return (size + 3) & ~3u; }

int split_name(const char* name, u8* index, const char** rest) {
  for (const Prefix& p : kPrefixes) {
    if (!starts_with(name, p.text)) continue;
    *index = p.index;
    *rest = name + strlen(p.text);
    if ((p.index == 2 || p.index == 3) && **rest != 0) continue;
    return strlen(*rest) <= 255 ? 0 : -ERANGE;
  }
  return -EOPNOTSUPP;
}

// Entries from `at` to the end mark; values are relative to `base`.
int parse(const u8* at, const u8* base, const u8* end, Attribute* out, u32* count) {
  while (at + 4 <= end) {
    u32 mark;
    memcpy(&mark, at, 4);
    if (mark == 0) return 0;
    const auto* e = reinterpret_cast<const ext4_xattr_entry*>(at);
    if (at + 16 > end || at + entry_size(e->e_name_len) > end || e->e_value_inum != 0) return -EUCLEAN;
    const u64 room = static_cast<u64>(end - base);
    if (e->e_value_size > room || (e->e_value_size != 0 && e->e_value_offs > room - e->e_value_size)) return -EUCLEAN;
    if (*count == kMost) return -ENOSPC;
    out[(*count)++] = {e->e_name_index, e->e_name_len, e->e_name, base + e->e_value_offs, e->e_value_size};
    at += entry_size(e->e_name_len);
  }
  return 0;
}

struct Area {  // where in-inode attributes lie
  u8* magic = nullptr;
  u8* first = nullptr;
  u8* end = nullptr;
  bool exists() const { return magic != nullptr; }
};
Area inode_area(const ext4_fs& fs, u8* raw) {
  const u32 used = fs.inode_size > 128 ? reinterpret_cast<ext4_inode*>(raw)->i_extra_isize : 0;
  const u32 at = 128 + used;
  if (fs.inode_size == 128 || used == 0 || used % 4 != 0 || at + 8 > fs.inode_size) return {};
  return {raw + at, raw + at + 4, raw + fs.inode_size};
}
bool area_used(const Area& a) {
  u32 magic = 0;
  if (a.exists()) memcpy(&magic, a.magic, 4);
  return magic == EXT4_XATTR_MAGIC;
}

// All attributes of an inode; they point into the two buffers.
struct AttributeSet {
  ext4_ref inode, block;
  u8* raw = nullptr;
  Area area;
  Attribute list[kMost];
  Attribute outside[kMost];  // those that go to the block
  u32 count = 0;

  int load(ext4_fs& fs, const ext4_body& body) {
    TRY_INT(ext4_raw_inode(fs, body.ino, inode, &raw));
    area = inode_area(fs, raw);
    if (area_used(area)) TRY_INT(parse(area.first, area.first, area.end, list, &count));
    if (body.file_acl == 0) return 0;
    TRY_INT(ext4_bread(fs, body.file_acl, ext4_kind::Xattr, 0, block));
    const auto* h = reinterpret_cast<const ext4_xattr_header*>(block.data());
    if (h->h_magic != EXT4_XATTR_MAGIC || h->h_blocks != 1) return -EUCLEAN;
    return parse(block.data() + sizeof *h, block.data(), block.data() + fs.block_size, list, &count);
  }
  int find(u8 index, const char* name) const {
    for (u32 i = 0; i < count; ++i) {
      const Attribute& a = list[i];
      if (a.index == index && a.name_length == strlen(name) && memcmp(a.name, name, a.name_length) == 0)
        return static_cast<int>(i);
    }
    return -1;
  }
};

u32 entry_hash(const Attribute& a) {
  u32 hash = 0;
  for (u32 i = 0; i < a.name_length; ++i) hash = (hash << 5 | hash >> 27) ^ static_cast<u8>(a.name[i]);
  for (u32 at = 0; at < a.size; at += 4) {
    u32 word = 0;
    memcpy(&word, a.value + at, min(4u, a.size - at));
    hash = (hash << 16 | hash >> 16) ^ word;
  }
  return hash;
}

// Writes entries from `first` up and values from the end down.
void lay_out(u8* first, u8* base, u8* end, const Attribute* list, u32 count) {
  memset(first, 0, static_cast<size_t>(end - first));
  u8* value = end;
  for (u32 i = 0; i < count; ++i) {
    const Attribute& a = list[i];
    auto* e = reinterpret_cast<ext4_xattr_entry*>(first);
    value -= value_size(a.size);
    memcpy(value, a.value, a.size);
    *e = {a.name_length, a.index,      a.size == 0 ? static_cast<u16>(0) : static_cast<u16>(value - base), 0,
          a.size,        entry_hash(a)};
    memcpy(e->e_name, a.name, a.name_length);
    first += entry_size(a.name_length);
  }
}

u32 space_of(const Attribute& a) { return entry_size(a.name_length) + value_size(a.size); }

bool comes_before(const Attribute& a, const Attribute& b) {
  if (a.index != b.index) return a.index < b.index;
  if (a.name_length != b.name_length) return a.name_length < b.name_length;
  return memcmp(a.name, b.name, a.name_length) < 0;
}

int free_block(ext4_fs& fs, ext4_body& body) {
  ext4_ref block;
  TRY_INT(ext4_bread(fs, body.file_acl, ext4_kind::Xattr, 0, block));
  auto* h = reinterpret_cast<ext4_xattr_header*>(block.data());
  const u64 number = body.file_acl;
  body.file_acl = 0;
  body.sectors -= min<u64>(body.sectors, fs.block_size / 512);
  if (h->h_refcount > 1) {
    --h->h_refcount;
    ext4_dirty(fs, block.get());
    return 0;
  }
  block.reset();
  ext4_forget(fs, number);
  return ext4_free_blocks(fs, number, 1);
}

int store_block(ext4_fs& fs, ext4_body& body, Attribute* list, u32 count) {
  for (u32 i = 1; i < count; ++i) {  // sorted, as Linux wants them
    const Attribute a = list[i];
    u32 at = i;
    for (; at > 0 && comes_before(a, list[at - 1]); --at) list[at] = list[at - 1];
    list[at] = a;
  }
  u64 number;
  u32 got;
  TRY_INT(ext4_alloc_blocks(fs, ext4_group_goal(fs, body.ino), 1, &number, &got));
  ext4_ref fresh;
  TRY_INT(ext4_bnew(fs, number, ext4_kind::Xattr, 0, fresh));
  auto* h = reinterpret_cast<ext4_xattr_header*>(fresh.data());
  lay_out(fresh.data() + sizeof *h, fresh.data(), fresh.data() + fs.block_size, list, count);
  u32 hash = 0;
  for (u32 i = 0; i < count; ++i) hash = (hash << 16 | hash >> 16) ^ entry_hash(list[i]);
  *h = {EXT4_XATTR_MAGIC, 1, 1, hash, 0, {}};
  if (body.file_acl != 0) TRY_INT(free_block(fs, body));
  body.file_acl = number;
  body.sectors += fs.block_size / 512;
  return 0;
}

// The attributes' bytes are in the buffers that are written: they are copied out first.
int store(ext4_fs& fs, ext4_body& body, AttributeSet& set, u8* scratch) {
  u8* to = scratch;
  for (u32 i = 0; i < set.count; ++i) {
    Attribute& a = set.list[i];
    memcpy(to, a.value, a.size);
    a.value = to;
    to += a.size;
    memcpy(to, a.name, a.name_length);
    a.name = reinterpret_cast<const char*>(to);
    to += a.name_length;
  }
  // The first ones that fit stay in the inode.
  u32 room = set.area.exists() ? static_cast<u32>(set.area.end - set.area.first) - 4 : 0;
  u32 inside = 0, outside_size = 0;
  Attribute* const outside = set.outside;
  u32 outside_count = 0;
  for (u32 i = 0; i < set.count; ++i) {
    if (space_of(set.list[i]) <= room) {
      room -= space_of(set.list[i]);
      swap(set.list[inside++], set.list[i]);
    } else {
      outside[outside_count++] = set.list[i];
      outside_size += space_of(set.list[i]);
    }
  }
  if (outside_size + sizeof(ext4_xattr_header) + 4 > fs.block_size) return -ENOSPC;
  if (outside_count > 0) {
    TRY_INT(store_block(fs, body, outside, outside_count));
  } else if (body.file_acl != 0) {
    TRY_INT(free_block(fs, body));
  }
  if (set.area.exists()) {
    const u32 magic = inside > 0 ? EXT4_XATTR_MAGIC : 0;
    memcpy(set.area.magic, &magic, 4);
    lay_out(set.area.first, set.area.first, set.area.end, set.list, inside);
  }
  return ext4_write_body(fs, body);
}

// POSIX ACLs: user space sees version 2 with an id in every entry, the disk has version 1 with ids where they mean
// something. [man 5 acl]
constexpr u16 kAclUser = 2, kAclGroup = 8;
struct AclEntry {
  u16 tag, perm;
  u32 id;
};
ssize_t acl_from_disk(const u8* disk, u32 size, u8* out, size_t room) {
  u32 version;
  if (size < 4) return -EUCLEAN;
  memcpy(&version, disk, 4);
  if (version != 1) return -EUCLEAN;
  size_t n = 4;
  const u32 user_version = 2;
  if (room >= 4) memcpy(out, &user_version, 4);
  for (u32 at = 4; at + 4 <= size;) {
    AclEntry e{0, 0, ~0u};
    memcpy(&e, disk + at, 4);
    at += 4;
    if (e.tag == kAclUser || e.tag == kAclGroup) {
      if (at + 4 > size) return -EUCLEAN;
      memcpy(&e.id, disk + at, 4);
      at += 4;
    }
    if (room >= n + 8) memcpy(out + n, &e, 8);
    n += 8;
  }
  return room != 0 && n > room ? -ERANGE : static_cast<ssize_t>(n);
}
ssize_t acl_to_disk(const u8* user, size_t size, u8* out) {
  u32 version;
  if (size < 4 || (size - 4) % 8 != 0) return -EINVAL;
  memcpy(&version, user, 4);
  if (version != 2) return -EOPNOTSUPP;
  const u32 disk_version = 1;
  memcpy(out, &disk_version, 4);
  size_t n = 4;
  for (size_t at = 4; at < size; at += 8) {
    AclEntry e;
    memcpy(&e, user + at, 8);
    memcpy(out + n, &e, 4);
    n += 4;
    if (e.tag != kAclUser && e.tag != kAclGroup) continue;
    memcpy(out + n, &e.id, 4);
    n += 4;
  }
  return static_cast<ssize_t>(n);
}

}  // namespace

ssize_t ext4_xattr_get(ext4_fs& fs, const ext4_body& body, const char* name, void* value, size_t size) {
  u8 index;
  const char* rest;
  TRY_INT(split_name(name, &index, &rest));
  AttributeSet* set = knew<AttributeSet>();
  if (set == nullptr) return -ENOMEM;
  ssize_t n = set->load(fs, body);
  if (n == 0) {
    const int at = set->find(index, rest);
    if (at < 0) {
      n = -ENODATA;
    } else if (index == 2 || index == 3) {
      n = acl_from_disk(set->list[at].value, set->list[at].size, static_cast<u8*>(value), size);
    } else {
      n = static_cast<ssize_t>(set->list[at].size);
      if (size != 0 && set->list[at].size > size) n = -ERANGE;
      if (size != 0 && n >= 0) memcpy(value, set->list[at].value, set->list[at].size);
    }
  }
  kdelete(set);
  return n;
}

int ext4_xattr_set(ext4_fs& fs, ext4_body& body, const char* name, const void* value, size_t size, int flags) {
  constexpr int kCreate = 1, kReplace = 2;
  u8 index;
  const char* rest;
  TRY_INT(split_name(name, &index, &rest));
  if (size > fs.block_size) return -ENOSPC;
  AttributeSet* set = knew<AttributeSet>();
  u8* scratch = static_cast<u8*>(kmalloc(fs.block_size * 2 + fs.inode_size + size + 512, GFP_NOFS));
  u8* disk_acl = static_cast<u8*>(kmalloc(size + 16, GFP_NOFS));
  int error = set == nullptr || scratch == nullptr || disk_acl == nullptr ? -ENOMEM : set->load(fs, body);
  if (error == 0 && value != nullptr && (index == 2 || index == 3)) {
    const ssize_t n = acl_to_disk(static_cast<const u8*>(value), size, disk_acl);
    if (n < 0) error = static_cast<int>(n);
    value = disk_acl;
    size = n < 0 ? 0 : static_cast<size_t>(n);
  }
  if (error == 0) {
    const int at = set->find(index, rest);
    if (at < 0 && ((flags & kReplace) != 0 || value == nullptr)) error = -ENODATA;
    if (at >= 0 && (flags & kCreate) != 0) error = -EEXIST;
    if (error == 0 && at >= 0) set->list[at] = set->list[--set->count];
    if (error == 0 && value != nullptr) {
      if (set->count == kMost) error = -ENOSPC;
      if (error == 0)
        set->list[set->count++] = {index, static_cast<u8>(strlen(rest)), rest, static_cast<const u8*>(value),
                                   static_cast<u32>(size)};
    }
    if (error == 0) error = store(fs, body, *set, scratch);
  }
  kfree(scratch);
  kfree(disk_acl);
  kdelete(set);
  return error;
}

ssize_t ext4_xattr_list(ext4_fs& fs, const ext4_body& body, char* list, size_t size) {
  AttributeSet* set = knew<AttributeSet>();
  if (set == nullptr) return -ENOMEM;
  ssize_t n = set->load(fs, body);
  for (u32 i = 0; n >= 0 && i < set->count; ++i) {
    const Attribute& a = set->list[i];
    const char* prefix = nullptr;
    for (const Prefix& p : kPrefixes) {
      if (p.index == a.index) prefix = p.text;
    }
    if (prefix == nullptr) continue;
    const size_t head = strlen(prefix), total = head + a.name_length + 1;
    if (size != 0) {
      if (static_cast<size_t>(n) + total > size) {
        n = -ERANGE;
        break;
      }
      memcpy(list + n, prefix, head);
      memcpy(list + n + head, a.name, a.name_length);
      list[static_cast<size_t>(n) + total - 1] = 0;
    }
    n += static_cast<ssize_t>(total);
  }
  kdelete(set);
  return n;
}

int ext4_xattr_drop_block(ext4_fs& fs, ext4_body& body) { return body.file_acl == 0 ? 0 : free_block(fs, body); }

}  // namespace xm::os
