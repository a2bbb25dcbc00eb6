// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "kernel/lib/format.h"
#include "kernel/lib/radix_tree.h"
#include "kernel/lib/rbtree.h"
#include "kernel/mm/slab.h"
#include "tests/unit/guest-os/host_memory.h"

namespace xm::os {
namespace {

struct Item {
  rb_node node;
  u64 key;
};
Item* item_of(rb_node* n) { return container_of(n, Item, node); }

// Black height of a subtree, or -1 if a rule is broken.
int check(const rb_node* n) {
  if (n == nullptr) return 1;
  if (n->red && ((n->left != nullptr && n->left->red) || (n->right != nullptr && n->right->red))) return -1;
  const int left = check(n->left), right = check(n->right);
  if (left < 0 || left != right) return -1;
  return left + (n->red ? 0 : 1);
}

TEST(RbTree, RandomInsertAndEraseKeepsOrderAndBalance) {
  std::mt19937 random(7);
  rb_root root;
  std::vector<Item> items(500);
  std::multimap<u64, Item*> model;
  for (int step = 0; step < 5000; ++step) {
    Item& i = items[random() % items.size()];
    if (i.node.linked) {
      rb_erase(root, &i.node);
      for (auto at = model.lower_bound(i.key);; ++at) {
        if (at->second != &i) continue;
        model.erase(at);
        break;
      }
    } else {
      i.key = random() % 300;
      rb_insert(root, &i.node, [](rb_node* a, rb_node* b) { return item_of(a)->key < item_of(b)->key; });
      model.emplace(i.key, &i);
    }
    ASSERT_GE(check(root.node), 0);
    if (step % 50 != 0) continue;
    auto expected = model.begin();
    for (rb_node* n = root.leftmost; n != nullptr; n = rb_next(n), ++expected)
      ASSERT_EQ(item_of(n)->key, expected->first);
    ASSERT_EQ(expected, model.end());
  }
}

TEST(RadixTree, AgreesWithAMapAndFindsTheNext) {
  host_zone();
  std::mt19937_64 random(3);
  radix_tree tree;
  std::map<u64, void*> model;
  for (int step = 0; step < 20000; ++step) {
    const u64 index = random() % 3 == 0 ? random() : random() % 5000;
    if (random() % 2 == 0) {
      void* value = reinterpret_cast<void*>(random() | 1);
      ASSERT_TRUE(tree.insert(index, value));
      model[index] = value;
    } else {
      const auto at = model.find(index);
      ASSERT_EQ(tree.erase(index), at == model.end() ? nullptr : at->second);
      model.erase(index);
    }
  }
  for (const auto& [index, value] : model) ASSERT_EQ(tree.find(index), value);
  u64 at = 0;
  for (const auto& [index, value] : model) {
    ASSERT_EQ(tree.next(&at), value);
    ASSERT_EQ(at, index);
    ++at;
  }
  while (!model.empty()) {
    tree.erase(model.begin()->first);
    model.erase(model.begin());
  }
  EXPECT_TRUE(tree.empty());
}

TEST(Format, MatchesTheHostLibrary) {
  char mine[128], theirs[128];
#define SAME(...)                                               \
  do {                                                          \
    const int a = format(mine, sizeof mine, __VA_ARGS__);       \
    const int b = snprintf(theirs, sizeof theirs, __VA_ARGS__); \
    EXPECT_EQ(a, b);                                            \
    EXPECT_STREQ(mine, theirs);                                 \
  } while (0)
  SAME("%d %5d %-5d| %05d %+d", 7, -42, 3, -7, 9);
  SAME("%x %#x %08lx %lX %o %#o", 255u, 255u, 0xabcul, 0xdeadbeeful, 8u, 8u);
  SAME("%s|%10s|%-10s|%.3s", "abc", "right", "left", "truncated");
  SAME("%c%%%lu %ld", 'x', ~0ul, static_cast<long>(1ul << 63));
  SAME("%*d %.*s", 6, 42, 2, "abcdef");
  EXPECT_EQ(format(mine, 4, "%s", "abcdef"), 6);
  EXPECT_STREQ(mine, "abc");
}

}  // namespace
}  // namespace xm::os
