// SPDX-License-Identifier: GPL-2.0-or-later
// Intrusive doubly linked list: list_head is the link and the head. entries<&T::member>(head) walks it; the body may
// remove the current entry.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct list_head {
  list_head* next;
  list_head* prev;
  constexpr list_head() : next(this), prev(this) {}
  list_head(const list_head&) = delete;
  list_head& operator=(const list_head&) = delete;
  bool empty() const { return next == this; }
  void init() { next = prev = this; }
};

inline void list_add_between(list_head* entry, list_head* prev, list_head* next) {
  entry->next = next;
  entry->prev = prev;
  prev->next = entry;
  next->prev = entry;
}
inline void list_add(list_head* entry, list_head* head) { list_add_between(entry, head, head->next); }
inline void list_add_tail(list_head* entry, list_head* head) { list_add_between(entry, head->prev, head); }
inline void list_del(list_head* entry) {
  entry->prev->next = entry->next;
  entry->next->prev = entry->prev;
  entry->init();
}
inline void list_move_tail(list_head* entry, list_head* head) {
  list_del(entry);
  list_add_tail(entry, head);
}
// For lists that others read without the writer's lock: an entry is whole before it can be reached, and one that was
// taken off still leads to the next. The writer must wait for the readers before it frees or re-uses the entry.
inline void list_add_tail_rcu(list_head* entry, list_head* head) {
  entry->next = head;
  entry->prev = head->prev;
  __atomic_store_n(&head->prev->next, entry, __ATOMIC_RELEASE);
  head->prev = entry;
}
inline void list_del_rcu(list_head* entry) {
  entry->next->prev = entry->prev;
  __atomic_store_n(&entry->prev->next, entry->next, __ATOMIC_RELEASE);
}
// Moves every entry of `from` to the end of `to`.
inline void list_splice_tail(list_head* from, list_head* to) {
  if (from->empty()) return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  from->init();
}

template <auto Member>
struct member_traits;
template <class T, list_head T::*Member>
struct member_traits<Member> {
  using type = T;
  static size_t offset() { return reinterpret_cast<size_t>(&(reinterpret_cast<T*>(4096)->*Member)) - 4096; }
};

template <auto Member>
auto* list_entry(list_head* link) {
  using T = typename member_traits<Member>::type;
  return reinterpret_cast<T*>(reinterpret_cast<char*>(link) - member_traits<Member>::offset());
}
template <auto Member>
auto* list_first(list_head* head) {
  using T = typename member_traits<Member>::type;
  return head->empty() ? static_cast<T*>(nullptr) : list_entry<Member>(head->next);
}

template <auto Member>
struct list_range {
  struct iterator {
    list_head* at;
    list_head* following;
    auto* operator*() const { return list_entry<Member>(at); }
    void operator++() {
      at = following;
      following = at->next;
    }
    bool operator!=(const iterator& other) const { return at != other.at; }
  };
  list_head* head;
  iterator begin() const { return {head->next, head->next->next}; }
  iterator end() const { return {head, head->next}; }
};
template <auto Member>
list_range<Member> entries(list_head& head) {
  return {&head};
}

}  // namespace xm::os
