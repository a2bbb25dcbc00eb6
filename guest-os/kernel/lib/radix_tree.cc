// SPDX-License-Identifier: GPL-2.0-or-later
// Radix tree with path copying on growth at the root and pruning of empty nodes. Free of hardware: unit-tested on the
// host.
#include "kernel/lib/radix_tree.h"

#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {

struct radix_node {
  void* slots[64];
  u32 used;
};

namespace {
radix_node* new_node() { return static_cast<radix_node*>(kzalloc(sizeof(radix_node), GFP_ATOMIC)); }
u32 slot_at(u64 index, u32 level) { return static_cast<u32>(index >> (6 * level)) & 63; }
bool fits(u64 index, u32 height) { return height >= 11 || index >> (6 * height) == 0; }
}  // namespace

void* radix_tree::find(u64 index) const {
  if (root_ == nullptr || !fits(index, height_)) return nullptr;
  void* at = root_;
  for (u32 level = height_; level-- > 0 && at != nullptr;)
    at = static_cast<radix_node*>(at)->slots[slot_at(index, level)];
  return at;
}

bool radix_tree::insert(u64 index, void* item) {
  if (root_ == nullptr) {
    root_ = new_node();
    if (root_ == nullptr) return false;
    height_ = 1;
  }
  while (!fits(index, height_)) {
    radix_node* top = new_node();
    if (top == nullptr) return false;
    top->slots[0] = root_;
    top->used = 1;
    root_ = top;
    ++height_;
  }
  radix_node* node = root_;
  for (u32 level = height_; --level > 0;) {
    void*& slot = node->slots[slot_at(index, level)];
    if (slot == nullptr) {
      slot = new_node();
      if (slot == nullptr) return false;
      ++node->used;
    }
    node = static_cast<radix_node*>(slot);
  }
  void*& slot = node->slots[slot_at(index, 0)];
  if (slot == nullptr) ++node->used;
  slot = item;
  return true;
}

void* radix_tree::erase(u64 index) {
  if (root_ == nullptr || !fits(index, height_)) return nullptr;
  radix_node* trail[11];
  radix_node* node = root_;
  for (u32 level = height_; level-- > 0;) {
    trail[level] = node;
    if (level == 0) break;
    node = static_cast<radix_node*>(node->slots[slot_at(index, level)]);
    if (node == nullptr) return nullptr;
  }
  void*& slot = trail[0]->slots[slot_at(index, 0)];
  void* item = slot;
  if (item == nullptr) return nullptr;
  slot = nullptr;
  for (u32 level = 0; level < height_; ++level) {
    if (--trail[level]->used != 0) return item;
    kfree(trail[level]);
    if (level + 1 < height_) {
      trail[level + 1]->slots[slot_at(index, level + 1)] = nullptr;
    } else {
      root_ = nullptr;
      height_ = 0;
      return item;
    }
  }
  return item;
}

void* radix_tree::next(u64* index) const {
  u64 at = *index;
  while (root_ != nullptr && fits(at, height_)) {
    radix_node* node = root_;
    u32 level = height_ - 1;
    for (;;) {
      u32 slot = slot_at(at, level);
      while (slot < 64 && node->slots[slot] == nullptr) {
        ++slot;
        at = ((at >> (6 * level)) + 1) << (6 * level);
      }
      if (slot == 64) break;  // `at` moved to the next sibling: start over from the root
      if (level == 0) {
        *index = at;
        return node->slots[slot];
      }
      node = static_cast<radix_node*>(node->slots[slot]);
      --level;
    }
    if (at == 0) break;
  }
  return nullptr;
}

}  // namespace xm::os
