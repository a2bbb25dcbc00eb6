// SPDX-License-Identifier: GPL-2.0-or-later
// Radix tree: 64-bit index to pointer, 64 slots a level. The page cache of a file, and id tables. The user locks.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct radix_node;
class radix_tree {
 public:
  void* find(u64 index) const;
  bool insert(u64 index, void* item);  // false: no memory; replaces an item that is there
  void* erase(u64 index);
  // The first item at or after *index; *index becomes its index. Null: none.
  void* next(u64* index) const;
  bool empty() const { return root_ == nullptr; }

 private:
  radix_node* root_ = nullptr;
  u32 height_ = 0;  // levels; an index fits when index >> (6 * height) == 0
};

}  // namespace xm::os
