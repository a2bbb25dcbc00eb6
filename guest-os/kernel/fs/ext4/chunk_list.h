// SPDX-License-Identifier: GPL-2.0-or-later
// A list that grows in chunks of one page: appending never moves what is there and never needs adjacent pages.
#pragma once

#include "kernel/mm/slab.h"

namespace xm::os {

template <class T>
class chunk_list {
 public:
  chunk_list() = default;
  ~chunk_list() { clear(); }
  chunk_list(const chunk_list&) = delete;
  chunk_list& operator=(const chunk_list&) = delete;

  u32 size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void add(const T& value) {
    if (last_ == nullptr || last_->used == kPerChunk) {
      chunk* c = new (kmalloc(sizeof(chunk), GFP_NOFS | GFP_NOFAIL)) chunk;
      (last_ == nullptr ? first_ : last_->next) = c;
      last_ = c;
    }
    last_->items[last_->used++] = value;
    ++size_;
  }
  template <class Function>
  void for_each(Function f) {
    for (chunk* c = first_; c != nullptr; c = c->next) {
      for (u32 i = 0; i < c->used; ++i) f(c->items[i]);
    }
  }
  void take(chunk_list& other) {  // this one must be empty
    first_ = other.first_;
    last_ = other.last_;
    size_ = other.size_;
    other.first_ = other.last_ = nullptr;
    other.size_ = 0;
  }
  void clear() {
    for (chunk* c = first_; c != nullptr;) {
      chunk* following = c->next;
      kfree(c);
      c = following;
    }
    first_ = last_ = nullptr;
    size_ = 0;
  }

 private:
  static constexpr u32 kPerChunk = (4096 - 16) / sizeof(T);
  struct chunk {
    chunk* next = nullptr;
    u32 used = 0;
    T items[kPerChunk];
  };
  chunk* first_ = nullptr;
  chunk* last_ = nullptr;
  u32 size_ = 0;
};

}  // namespace xm::os
