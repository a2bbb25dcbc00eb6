// SPDX-License-Identifier: GPL-2.0-or-later
// Which request the driver gets next. The deadline scheduler goes upwards through the sectors in batches of one
// direction, prefers reads, and leaves its way for a request whose time has come: 0.5 s for reads, 5 s for writes;
// writes wait for two batches of reads at most. "none" is first come, first served. [Linux
// Documentation/block/deadline-iosched.rst]
#include "kernel/block/block.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u64 kExpireNs[2] = {kNsPerSec / 2, 5 * kNsPerSec};
constexpr u32 kBatch = 16, kWritesStarved = 2;

u32 direction_of(const request* r) { return r->op == BioOp::Read ? 0 : 1; }

struct Choice {
  request *oldest = nullptr, *lowest = nullptr, *following = nullptr;  // following: first at or above the head
};

void look_at(Choice& c, request* r, u64 head) {
  if (c.oldest == nullptr) c.oldest = r;  // the list is in order of arrival
  if (c.lowest == nullptr || r->sector < c.lowest->sector) c.lowest = r;
  if (r->sector >= head && (c.following == nullptr || r->sector < c.following->sector)) c.following = r;
}

request* choose(request_queue& q) {
  Choice by[2];
  for (request* r : entries<&request::link>(q.waiting)) {
    const bool begun = r->at != r->first || r->at_vec != 0;
    if (begun || r->op == BioOp::Flush || !q.deadline) return r;
    look_at(by[direction_of(r)], r, q.head_position);
  }
  if (q.batch_left > 0 && by[q.direction].following != nullptr) {
    --q.batch_left;
    return by[q.direction].following;
  }
  const bool reads = by[0].oldest != nullptr, writes = by[1].oldest != nullptr;
  if (!reads && !writes) return nullptr;
  q.direction = !reads || (writes && q.writes_passed >= kWritesStarved) ? 1 : 0;
  q.writes_passed = q.direction == 1 ? 0 : q.writes_passed + (writes ? 1 : 0);
  q.batch_left = kBatch - 1;
  const Choice& c = by[q.direction];
  const bool late = local_clock() - c.oldest->start_ns > kExpireNs[q.direction];
  return late || c.following == nullptr ? (late ? c.oldest : c.lowest) : c.following;
}

}  // namespace

request* blk_next_request(gendisk* disk) {
  request_queue& q = disk->queue;
  request* r = choose(q);
  if (r == nullptr) return nullptr;
  list_del(&r->link);
  q.head_position = r->sector + r->sectors;
  return r;
}

// --- /proc/diskstats ---
namespace {
// Time with requests in flight, and the sum of their times. Called before the number changes.
void account_time(block_device* b, u64 now) {
  if (b->in_flight > 0) {
    b->busy_ns += now - b->stamp;
    b->weighted_ns += (now - b->stamp) * b->in_flight;
  }
  b->stamp = now;
}
void change_in_flight(request* r, s32 n, u64 now) {
  block_device* whole = &r->disk->parts[0];
  account_time(whole, now);
  whole->in_flight = static_cast<u32>(static_cast<s32>(whole->in_flight) + n);
  if (r->part == whole) return;
  account_time(r->part, now);
  r->part->in_flight = static_cast<u32>(static_cast<s32>(r->part->in_flight) + n);
}
}  // namespace

void blk_account_start(request* r) {
  r->start_ns = local_clock();
  change_in_flight(r, 1, r->start_ns);
}
void blk_account_end(request* r) {
  const u64 now = local_clock(), took = now - r->start_ns;
  change_in_flight(r, -1, now);
  block_device* const counted[] = {&r->disk->parts[0], r->part};
  for (block_device* b : counted) {
    if (r->op == BioOp::Flush) {
      ++b->flushes;
      b->flush_ns += took;
    } else {
      b->wait_ns[direction_of(r)] += took;
    }
    if (b == r->part) break;
  }
}
void blk_account_bio(block_device* part, BioOp op, u64 sectors, bool merged) {
  const u32 direction = op == BioOp::Read ? 0 : 1;
  if (op == BioOp::Flush) return;
  block_device* const counted[] = {&part->disk->parts[0], part};
  for (block_device* b : counted) {
    ++(merged ? b->merges : b->ios)[direction];
    b->sectors_done[direction] += sectors;
    if (b == part) break;
  }
}

void blk_show_stat(TextBuffer& out, const block_device* b) {
  constexpr u64 kMs = kNsPerSec / 1000;
  out.print("%lu %lu %lu %lu %lu %lu %lu %lu %u %lu %lu 0 0 0 0 %lu %lu\n", b->ios[0], b->merges[0], b->sectors_done[0],
            b->wait_ns[0] / kMs, b->ios[1], b->merges[1], b->sectors_done[1], b->wait_ns[1] / kMs, b->in_flight,
            b->busy_ns / kMs, b->weighted_ns / kMs, b->flushes, b->flush_ns / kMs);
}

}  // namespace xm::os
