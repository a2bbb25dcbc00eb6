// SPDX-License-Identifier: GPL-2.0-or-later
// Files of the older form: twelve direct blocks, then trees of one, two and three levels of block numbers.
// GAP: such files can be read and removed from a name, not written or cut.
#include "kernel/fs/ext4/ext4.h"
#include "kernel/lib/string.h"

namespace xm::os {

int ext4_map_indirect(ext4_fs& fs, const ext4_body& body, u32 logical, ext4_run& out) {
  out = {0, 1, false};
  const u32 bits = fs.block_bits - 2;
  u64 rest = logical;
  u32 block = 0;
  if (rest < 12) {
    block = body.block[rest];
  } else {
    rest -= 12;
    u32 levels = 1;
    for (; levels <= 3 && rest >= 1ul << bits * levels; ++levels) rest -= 1ul << bits * levels;
    if (levels > 3) return -EFBIG;
    block = body.block[11 + levels];
    while (levels-- > 0 && block != 0) {
      if (block >= fs.blocks) return -EUCLEAN;
      const u64 index = rest >> bits * levels & ((1ul << bits) - 1);
      ext4_ref table;
      TRY_INT(ext4_bread(fs, block, ext4_kind::Plain, 0, table));
      memcpy(&block, table.data() + index * 4, 4);
    }
  }
  out.physical = block;
  return block < fs.blocks ? 0 : -EUCLEAN;
}

}  // namespace xm::os
