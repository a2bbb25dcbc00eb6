// SPDX-License-Identifier: GPL-2.0-or-later
// What happens when pages run short: caches shrink, then the OOM killer picks a process.
#pragma once

#include "kernel/mm/gfp.h"

namespace xm::os {

// A cache that can give memory back registers itself.
struct shrinker {
  const char* name;
  u64 (*scan)(u64 pages_wanted);  // returns pages freed, roughly
  shrinker* next = nullptr;
};
void register_shrinker(shrinker* s);
bool try_to_free_pages(gfp_t gfp, u32 order);
void out_of_memory();
// Sleeps for some milliseconds while pages are on their way to the disk; false: none are, waiting would not help.
bool wait_for_writeback();  // mm/writeback.cc

}  // namespace xm::os
