// SPDX-License-Identifier: GPL-2.0-or-later
// ChaCha20 [RFC 8439] as the generator; after each request the key is replaced by fresh output, so earlier numbers
// cannot be worked out. GAP: no entropy estimate: the pool counts as ready from boot on.
#include "kernel/drivers/random.h"

#include "kernel/arch/x86_64/cpu.h"
#include "kernel/lib/spinlock.h"
#include "kernel/lib/string.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constinit u32 key[8]{};
constinit u64 counter = 0;
constinit spinlock_t random_lock{LockRank::Console};

constexpr u32 rotate(u32 v, int n) { return v << n | v >> (32 - n); }
void quarter(u32* s, int a, int b, int c, int d) {
  s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 16);
  s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 12);
  s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 8);
  s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 7);
}

void block(u32* out) {
  u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  memcpy(start + 4, key, sizeof key);
  start[12] = static_cast<u32>(counter);
  start[13] = static_cast<u32>(counter >> 32);
  ++counter;
  memcpy(out, start, sizeof start);
  for (int i = 0; i < 10; ++i) {
    quarter(out, 0, 4, 8, 12), quarter(out, 1, 5, 9, 13), quarter(out, 2, 6, 10, 14), quarter(out, 3, 7, 11, 15);
    quarter(out, 0, 5, 10, 15), quarter(out, 1, 6, 11, 12), quarter(out, 2, 7, 8, 13), quarter(out, 3, 4, 9, 14);
  }
  for (int i = 0; i < 16; ++i) out[i] += start[i];
}

void stir() {
  u32 fresh[16];
  block(fresh);
  memcpy(key, fresh, sizeof key);
}

}  // namespace

void add_entropy(const void* bytes, size_t n) {
  IrqGuard guard(random_lock);
  const u8* b = static_cast<const u8*>(bytes);
  u8* k = reinterpret_cast<u8*>(key);
  for (size_t i = 0; i < n; ++i) {
    k[i % sizeof key] ^= b[i];
    if (i % sizeof key == sizeof key - 1) stir();
  }
  stir();
}

void random_init() {
  u64 seed[8];
  for (u64& s : seed) {
    s = rdtsc() ^ ktime_get_real() * 0x9e3779b97f4a7c15ul;
    if (!cpu_features.rdrand) continue;
    u64 v = 0;
    asm volatile("rdrand %0" : "=r"(v) : : "cc");
    s ^= v;
  }
  add_entropy(seed, sizeof seed);
}

void get_random_bytes(void* to, size_t n) {
  IrqGuard guard(random_lock);
  u8* out = static_cast<u8*>(to);
  while (n > 0) {
    u32 words[16];
    block(words);
    const size_t step = min<size_t>(n, sizeof words);
    memcpy(out, words, step);
    out += step;
    n -= step;
  }
  stir();
}

u64 get_random_u64() {
  u64 v;
  get_random_bytes(&v, sizeof v);
  return v;
}

}  // namespace xm::os
