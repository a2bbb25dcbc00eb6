// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "kernel/mm/slab.h"
#include "tests/unit/guest-os/host_memory.h"

namespace xm::os {
namespace {

u64 free_blocks(const zone& z, u32 order) { return z.areas[order].nr_free; }

TEST(Buddy, FreshZoneIsAllLargestBlocks) {
  zone& z = host_zone();
  EXPECT_EQ(z.free_pages, kHostPages);
  EXPECT_EQ(free_blocks(z, 10), kHostPages >> 10);
}

TEST(Buddy, SplitGivesAlignedBlocksAndMergesBack) {
  zone& z = host_zone();
  const u64 before = free_blocks(z, 10);
  page* one = buddy_alloc_locked(z, 0);
  ASSERT_NE(one, nullptr);
  for (u32 order = 0; order < 10; ++order) EXPECT_EQ(free_blocks(z, order), 1u) << order;
  page* eight = buddy_alloc_locked(z, 3);
  EXPECT_EQ(page_to_pfn(eight) % 8, 0u);
  buddy_free_locked(z, one, 0);
  buddy_free_locked(z, eight, 3);
  EXPECT_EQ(free_blocks(z, 10), before);
  EXPECT_EQ(z.free_pages, kHostPages);
}

TEST(Buddy, RandomUseNeverOverlapsAndEndsWhole) {
  zone& z = host_zone();
  std::mt19937 random(1);
  std::vector<std::pair<page*, u32>> held;
  std::vector<bool> used(kHostPages);
  for (int step = 0; step < 20000; ++step) {
    if (held.empty() || random() % 2 == 0) {
      const u32 order = random() % 6;
      page* p = buddy_alloc_locked(z, order);
      if (p == nullptr) continue;
      for (pfn_t f = page_to_pfn(p); f < page_to_pfn(p) + (1u << order); ++f) {
        ASSERT_FALSE(used[f]);
        used[f] = true;
      }
      held.emplace_back(p, order);
    } else {
      const size_t at = random() % held.size();
      const auto [p, order] = held[at];
      held[at] = held.back();
      held.pop_back();
      for (pfn_t f = page_to_pfn(p); f < page_to_pfn(p) + (1u << order); ++f) used[f] = false;
      buddy_free_locked(z, p, order);
    }
  }
  for (const auto& [p, order] : held) buddy_free_locked(z, p, order);
  EXPECT_EQ(z.free_pages, kHostPages);
  EXPECT_EQ(free_blocks(z, 10), kHostPages >> 10);
}

class Slab : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { host_zone(); }
};

TEST_F(Slab, ObjectsAreDistinctAndWritable) {
  kmem_cache* cache = kmem_cache_create("test", 72, 8);
  std::set<void*> seen;
  for (int i = 0; i < 1000; ++i) {
    void* object = kmem_cache_alloc(cache, GFP_KERNEL);
    ASSERT_TRUE(seen.insert(object).second);
    memset(object, i, 72);
  }
  EXPECT_EQ(cache->active_objects.load(), 1000);
  for (void* object : seen) kmem_cache_free(cache, object);
  EXPECT_EQ(cache->active_objects.load(), 0);
}

TEST_F(Slab, PowerOfTwoSizesAreAlignedToThemselves) {
  for (size_t size : {16u, 64u, 512u, 4096u}) {
    void* p = kmalloc(size);
    EXPECT_EQ(reinterpret_cast<u64>(p) % size, 0u) << size;
    EXPECT_GE(ksize(p), size);
    kfree(p);
  }
}

TEST_F(Slab, LargeAllocationsComeFromTheBuddy) {
  const u64 before = host_zone().free_pages;
  void* p = kmalloc(100000);
  EXPECT_EQ(host_zone().free_pages, before - 32);
  kfree(p);
  EXPECT_EQ(host_zone().free_pages, before);
}

}  // namespace
}  // namespace xm::os
