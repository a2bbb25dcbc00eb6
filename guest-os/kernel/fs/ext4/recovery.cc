// SPDX-License-Identifier: GPL-2.0-or-later
// Replay of the journal after a crash, in three passes over the log: find the last complete transaction, collect the
// revoked blocks, copy what is not revoked to its place. Any content of the log is possible: every number is checked.
#include "kernel/fs/ext4/groups.h"
#include "kernel/fs/ext4/journal.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

u32 be32(const void* p) {
  u32 v;
  memcpy(&v, p, 4);
  return __builtin_bswap32(v);
}
u64 be64(const void* p) { return static_cast<u64>(be32(p)) << 32 | be32(static_cast<const u8*>(p) + 4); }

// Sequence numbers wrap around.
bool not_before(u32 a, u32 b) { return static_cast<s32>(a - b) >= 0; }

// The newest transaction that revoked a block, in a hash with open addressing.
class RevokeTable {
 public:
  ~RevokeTable() { kfree(slots_); }
  bool add(u64 block, u32 sequence) {
    if ((used_ + 1) * 2 > size_ && !grow()) return false;
    Slot& s = slot(block);
    if (s.block == 0) ++used_;
    if (s.block == 0 || not_before(sequence, s.sequence)) s = {block, sequence};
    return true;
  }
  bool covers(u64 block, u32 sequence) {
    if (size_ == 0) return false;
    const Slot& s = slot(block);
    return s.block == block && not_before(s.sequence, sequence);
  }
  u32 count() const { return used_; }

 private:
  struct Slot {
    u64 block;
    u32 sequence;
  };
  Slot& slot(u64 block) {
    u32 at = static_cast<u32>(block * 0x9e3779b97f4a7c15ul >> 33) & (size_ - 1);
    while (slots_[at].block != 0 && slots_[at].block != block) at = (at + 1) & (size_ - 1);
    return slots_[at];
  }
  bool grow() {
    const u32 size = max(size_ * 2, 256u);
    Slot* fresh = static_cast<Slot*>(kzalloc(sizeof(Slot) * size));
    if (fresh == nullptr) return false;
    Slot* old = slots_;
    const u32 old_size = size_;
    slots_ = fresh;
    size_ = size;
    for (u32 i = 0; i < old_size; ++i) {
      if (old[i].block != 0) slot(old[i].block) = old[i];
    }
    kfree(old);
    return true;
  }
  Slot* slots_ = nullptr;
  u32 size_ = 0, used_ = 0;
};

enum class Pass { Scan, Revoke, Replay };

class Recovery {
 public:
  Recovery(ext4_fs& fs, ext4_journal& j) : fs_(fs), j_(j) {
    block_ = static_cast<u8*>(kmalloc(fs.block_size));
    data_ = static_cast<u8*>(kmalloc(fs.block_size));
  }
  ~Recovery() {
    kfree(block_);
    kfree(data_);
  }
  int run(ext4_recovery& out);

 private:
  int read(u32 at, u8* to) { return fs_.device->read(j_.blocks[at], to); }
  u32 after(u32 at, u32 n) const {
    const u32 size = j_.last - j_.first;
    return j_.first + (at - j_.first + n) % size;
  }
  bool tail_ok() const;
  bool commit_ok() const;
  u32 count_tags() const;
  int replay_descriptor(u32 at, u32 sequence, ext4_recovery& out);
  int scan_revoke(u32 sequence);
  int pass(Pass what, ext4_recovery& out);

  ext4_fs& fs_;
  ext4_journal& j_;
  u8* block_;
  u8* data_;
  u32 end_ = 0;  // sequence after the last complete transaction
  RevokeTable revoked_;
};

// The checksum at the end of descriptor and revoke blocks.
bool Recovery::tail_ok() const {
  if (!jbd2_has_checksums(j_)) return true;
  const u32 stored = be32(block_ + fs_.block_size - 4), zero = 0;
  return crc32c(crc32c(j_.checksum_seed, block_, fs_.block_size - 4), &zero, 4) == stored;
}

bool Recovery::commit_ok() const {
  if (!jbd2_has_checksums(j_)) return true;
  const u32 zero = 0;
  u32 crc = crc32c(j_.checksum_seed, block_, 16);
  crc = crc32c(crc, &zero, 4);
  crc = crc32c(crc, block_ + 20, fs_.block_size - 20);
  return crc == be32(block_ + 16);
}

u32 Recovery::count_tags() const {
  const u32 size = jbd2_tag_size(j_), end = fs_.block_size - (jbd2_has_checksums(j_) ? 4 : 0);
  u32 count = 0;
  for (u32 at = sizeof(jbd2_header); at + size <= end; ++count) {
    jbd2_tag tag;
    jbd2_get_tag(j_, block_ + at, tag);
    at += size + ((tag.flags & JBD2_FLAG_SAME_UUID) != 0 ? 0 : 16);
    if ((tag.flags & JBD2_FLAG_LAST_TAG) != 0) return count + 1;
  }
  return count;
}

int Recovery::replay_descriptor(u32 at, u32 sequence, ext4_recovery& out) {
  const u32 size = jbd2_tag_size(j_), end = fs_.block_size - (jbd2_has_checksums(j_) ? 4 : 0);
  for (u32 offset = sizeof(jbd2_header); offset + size <= end;) {
    jbd2_tag tag;
    jbd2_get_tag(j_, block_ + offset, tag);
    at = after(at, 1);
    if (!revoked_.covers(tag.block, sequence)) {
      if (tag.block >= fs_.blocks) return -EUCLEAN;
      TRY_INT(read(at, data_));
      if (jbd2_has_checksums(j_)) {
        const u32 be_sequence = __builtin_bswap32(sequence);
        const u32 crc = crc32c(crc32c(j_.checksum_seed, &be_sequence, 4), data_, fs_.block_size);
        const bool good = j_.has(JBD2_INCOMPAT_CSUM_V3) ? crc == tag.checksum : (crc & 0xffff) == tag.checksum;
        if (!good) return -EUCLEAN;
      }
      if ((tag.flags & JBD2_FLAG_ESCAPE) != 0) {
        const u32 magic = __builtin_bswap32(JBD2_MAGIC);
        memcpy(data_, &magic, 4);
      }
      const ext4_write w{tag.block, data_};
      TRY_INT(fs_.device->write(&w, 1));
      ++out.replayed;
    } else {
      ++out.revoked;
    }
    offset += size + ((tag.flags & JBD2_FLAG_SAME_UUID) != 0 ? 0 : 16);
    if ((tag.flags & JBD2_FLAG_LAST_TAG) != 0) break;
  }
  return 0;
}

int Recovery::scan_revoke(u32 sequence) {
  const u32 width = j_.has(JBD2_INCOMPAT_64BIT) ? 8 : 4;
  const u32 used = min(be32(block_ + 12), fs_.block_size - (jbd2_has_checksums(j_) ? 4 : 0));
  for (u32 at = 16; at + width <= used; at += width) {
    const u64 block = width == 8 ? be64(block_ + at) : be32(block_ + at);
    if (block != 0 && !revoked_.add(block, sequence)) return -ENOMEM;
  }
  return 0;
}

int Recovery::pass(Pass what, ext4_recovery& out) {
  u32 at = __builtin_bswap32(j_.super.s_start), sequence = __builtin_bswap32(j_.super.s_sequence);
  u32 budget = j_.last - j_.first;  // a log of descriptors that never ends must not hold us
  while (budget-- > 0) {
    if (what != Pass::Scan && not_before(sequence, end_)) break;
    TRY_INT(read(at, block_));
    if (be32(block_) != JBD2_MAGIC || be32(block_ + 8) != sequence) break;
    const u32 type = be32(block_ + 4);
    if (type == JBD2_DESCRIPTOR_BLOCK) {
      if (what == Pass::Scan && !tail_ok()) break;
      const u32 tags = count_tags();
      if (what == Pass::Replay) TRY_INT(replay_descriptor(at, sequence, out));
      at = after(at, 1 + tags);
      budget -= min(budget, tags);
    } else if (type == JBD2_COMMIT_BLOCK) {
      if (what == Pass::Scan && !commit_ok()) break;
      at = after(at, 1);
      ++sequence;
    } else if (type == JBD2_REVOKE_BLOCK) {
      if (what == Pass::Scan && !tail_ok()) break;
      if (what == Pass::Revoke) TRY_INT(scan_revoke(sequence));
      at = after(at, 1);
    } else {
      break;
    }
  }
  if (what == Pass::Scan) end_ = sequence;
  return 0;
}

int Recovery::run(ext4_recovery& out) {
  if (block_ == nullptr || data_ == nullptr) return -ENOMEM;
  const u32 start = __builtin_bswap32(j_.super.s_start);
  if (start < j_.first || start >= j_.last) return -EUCLEAN;
  TRY_INT(pass(Pass::Scan, out));
  TRY_INT(pass(Pass::Revoke, out));
  TRY_INT(pass(Pass::Replay, out));
  out.transactions = end_ - __builtin_bswap32(j_.super.s_sequence);
  out.next_sequence = end_ + 1;
  return fs_.device->flush();
}

}  // namespace

bool jbd2_has_checksums(const ext4_journal& j) { return j.has(JBD2_INCOMPAT_CSUM_V2) || j.has(JBD2_INCOMPAT_CSUM_V3); }

u32 jbd2_tag_size(const ext4_journal& j) {
  if (j.has(JBD2_INCOMPAT_CSUM_V3)) return 16;
  return j.has(JBD2_INCOMPAT_64BIT) ? 12 : 8;
}

void jbd2_get_tag(const ext4_journal& j, const u8* at, jbd2_tag& out) {
  out.block = be32(at);
  if (j.has(JBD2_INCOMPAT_CSUM_V3)) {
    out.flags = be32(at + 4);
    out.checksum = be32(at + 12);
  } else {
    out.checksum = static_cast<u32>(at[4]) << 8 | at[5];
    out.flags = static_cast<u32>(at[6]) << 8 | at[7];
  }
  if (j.has(JBD2_INCOMPAT_64BIT)) out.block |= static_cast<u64>(be32(at + 8)) << 32;
}

int ext4_recover(ext4_fs& fs, ext4_journal& j, ext4_recovery& out) { return Recovery(fs, j).run(out); }

}  // namespace xm::os
