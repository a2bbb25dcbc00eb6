// SPDX-License-Identifier: GPL-2.0-or-later
// Zstandard decompression [RFC 8878]: frames, raw/RLE/compressed blocks, Huffman literals, FSE sequences. The window is
// kept whole in memory, so frames of up to 128 MiB window are accepted. Checksums are skipped (GAP). No dictionaries.
#include "kernel/lib/inflate.h"

#include "kernel/lib/string.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {
namespace {

constexpr u32 kMaxBlock = 128 * 1024;

struct FseEntry {
  u16 baseline;
  u8 symbol, bits;
};
struct FseTable {
  u32 log = 0;
  bool valid = false;
  FseEntry entries[512];
};
struct HuffTable {
  u32 max_bits = 0;
  u8 symbol[2048];
  u8 bits[2048];
};

// Bits from the end of a buffer backwards: the last byte ends in a 1 marker.
struct BackBits {
  const u8* start = nullptr;
  s64 position = 0;  // bits left
  bool bad = false;
  bool init(const u8* p, size_t n) {
    start = p;
    if (n == 0 || p[n - 1] == 0) return false;
    position = static_cast<s64>(n) * 8 - (__builtin_clz(static_cast<u32>(p[n - 1])) - 24) - 1;
    return true;
  }
  u64 peek(u32 n) const {  // missing bits read as zero
    u64 v = 0;
    for (u32 i = 0; i < n; ++i) {
      const s64 at = position - 1 - i;
      v = v << 1 | (at >= 0 ? (start[at >> 3] >> (at & 7)) & 1u : 0u);
    }
    return v;
  }
  u64 take(u32 n) {
    if (n == 0) return 0;
    u64 v;
    const s64 low = position - static_cast<s64>(n);
    if (low >= 0 && n <= 56) {
      u64 word = 0;
      const s64 first = low >> 3, last = (position - 1) >> 3;
      for (s64 b = last; b >= first; --b) word = word << 8 | start[b];
      v = (word >> (low & 7)) & ((1ul << n) - 1);
    } else {
      v = peek(n);
    }
    position = low;
    if (position < -64) bad = true;
    return v;
  }
};

struct ForwardBits {
  const u8* p;
  size_t n;
  size_t bit = 0;
  u32 take(u32 count) {
    u32 v = 0;
    for (u32 i = 0; i < count; ++i, ++bit) {
      if (bit / 8 < n) v |= ((p[bit / 8] >> (bit % 8)) & 1u) << i;
    }
    return v;
  }
};

bool fse_build(FseTable& t, const s16* counts, u32 symbols, u32 log) {
  const u32 size = 1u << log;
  if (size > array_size(t.entries)) return false;
  u8 cell[512];
  u16 next[256]{};
  u32 high = size;
  for (u32 s = 0; s < symbols; ++s) {
    if (counts[s] == -1) {
      cell[--high] = static_cast<u8>(s);
      next[s] = 1;
    } else {
      next[s] = static_cast<u16>(counts[s]);
    }
  }
  const u32 step = (size >> 1) + (size >> 3) + 3, mask = size - 1;
  u32 at = 0;
  for (u32 s = 0; s < symbols; ++s) {
    for (s32 i = 0; i < counts[s]; ++i) {
      cell[at] = static_cast<u8>(s);
      do at = (at + step) & mask;
      while (at >= high);
    }
  }
  if (at != 0) return false;
  for (u32 i = 0; i < size; ++i) {
    const u8 s = cell[i];
    const u32 x = next[s]++;
    const u32 bits = log - (31u - static_cast<u32>(__builtin_clz(x)));
    t.entries[i] = {static_cast<u16>((x << bits) - size), s, static_cast<u8>(bits)};
  }
  t.log = log;
  t.valid = true;
  return true;
}

// Reads a table description; returns its bytes, or 0.
size_t fse_read(FseTable& t, const u8* p, size_t n, u32 max_log, u32 max_symbols) {
  ForwardBits b{p, n};
  const u32 log = b.take(4) + 5;
  if (log > max_log) return 0;
  s32 remaining = static_cast<s32>(1u << log);
  s16 counts[256]{};
  u32 symbol = 0;
  while (remaining > 0 && symbol < max_symbols) {
    const u32 bits = 32u - static_cast<u32>(__builtin_clz(static_cast<u32>(remaining + 1)));
    u32 value = b.take(bits);
    const u32 lower_mask = (1u << (bits - 1)) - 1;
    const u32 threshold = (1u << bits) - 1 - static_cast<u32>(remaining + 1);
    if ((value & lower_mask) < threshold) {
      --b.bit;
      value &= lower_mask;
    } else if (value > lower_mask) {
      value -= threshold;
    }
    const s16 count = static_cast<s16>(static_cast<s32>(value) - 1);
    remaining -= count < 0 ? 1 : count;
    counts[symbol++] = count;
    if (count != 0) continue;
    for (u32 repeat = 3; repeat == 3;) {
      repeat = b.take(2);
      symbol += repeat;
      if (symbol > max_symbols) return 0;
    }
  }
  const size_t used = (b.bit + 7) / 8;
  if (remaining != 0 || used > n || !fse_build(t, counts, symbol, log)) return 0;
  return used;
}

struct Decoder {
  const u8* in;
  size_t size;
  size_t at = 0;
  u8* output = nullptr;  // the frame's output so far: window and sink in one
  size_t capacity = 0, produced = 0;
  u8 literals[kMaxBlock + 32];
  size_t literal_count = 0;
  HuffTable huffman;
  FseTable literal_lengths, offsets, match_lengths;
  u64 repeat[3] = {1, 4, 8};
};

bool huffman_build(HuffTable& h, u8* weights, u32 count) {
  u32 total = 0;
  for (u32 i = 0; i < count; ++i) total += weights[i] != 0 ? 1u << (weights[i] - 1) : 0;
  if (total == 0 || count > 255) return false;
  const u32 max_bits = 32u - static_cast<u32>(__builtin_clz(total));
  if (max_bits > 11) return false;
  const u32 left = (1u << max_bits) - total;
  if ((left & (left - 1)) != 0) return false;
  weights[count++] = static_cast<u8>(32 - __builtin_clz(left));
  h.max_bits = max_bits;
  u32 at = 0;
  for (u32 w = 1; w <= max_bits; ++w) {
    for (u32 s = 0; s < count; ++s) {
      if (weights[s] != w) continue;
      for (u32 k = 0; k < 1u << (w - 1); ++k) {
        h.symbol[at] = static_cast<u8>(s);
        h.bits[at++] = static_cast<u8>(max_bits + 1 - w);
      }
    }
  }
  return at == 1u << max_bits;
}

size_t huffman_read(HuffTable& h, const u8* p, size_t n) {
  u8 weights[256]{};
  u32 count = 0;
  if (n == 0) return 0;
  const u32 head = p[0];
  if (head >= 128) {
    count = head - 127;
    const size_t bytes = (count + 1) / 2;
    if (1 + bytes > n) return 0;
    for (u32 i = 0; i < count; ++i) weights[i] = i % 2 == 0 ? p[1 + i / 2] >> 4 : p[1 + i / 2] & 15;
    return huffman_build(h, weights, count) ? 1 + bytes : 0;
  }
  if (1 + head > n) return 0;
  FseTable t;
  const size_t used = fse_read(t, p + 1, head, 6, 13);
  BackBits b;
  if (used == 0 || !b.init(p + 1 + used, head - used)) return 0;
  u64 one = b.take(t.log), two = b.take(t.log);
  while (count < 254) {
    weights[count++] = t.entries[one].symbol;
    if (b.position < static_cast<s64>(t.entries[one].bits)) {
      weights[count++] = t.entries[two].symbol;
      break;
    }
    one = t.entries[one].baseline + b.take(t.entries[one].bits);
    weights[count++] = t.entries[two].symbol;
    if (b.position < static_cast<s64>(t.entries[two].bits)) {
      weights[count++] = t.entries[one].symbol;
      break;
    }
    two = t.entries[two].baseline + b.take(t.entries[two].bits);
  }
  return huffman_build(h, weights, count) ? 1 + head : 0;
}

bool huffman_stream(Decoder& d, const u8* p, size_t n, u8* out, size_t count) {
  BackBits b;
  if (!b.init(p, n)) return false;
  const HuffTable& h = d.huffman;
  for (size_t i = 0; i < count; ++i) {
    u64 index;
    const s64 low = b.position - static_cast<s64>(h.max_bits);
    if (low >= 0) {
      u64 word = 0;
      for (s64 k = (b.position - 1) >> 3; k >= low >> 3; --k) word = word << 8 | p[k];
      index = (word >> (low & 7)) & ((1ul << h.max_bits) - 1);
    } else {
      index = b.peek(h.max_bits);
    }
    out[i] = h.symbol[index];
    b.position -= h.bits[index];
    if (b.position < 0) return i + 1 == count && b.position == 0;
  }
  return b.position == 0;
}

// The literals section; returns its bytes, or 0.
size_t read_literals(Decoder& d, const u8* p, size_t n) {
  if (n == 0) return 0;
  const u32 type = p[0] & 3, format = (p[0] >> 2) & 3;
  if (type < 2) {
    const u32 head = (format & 1) == 0 ? 1 : (format == 1 ? 2 : 3);
    if (n < head) return 0;
    size_t count = p[0] >> 3;
    if (head > 1) count = p[0] >> 4 | static_cast<size_t>(p[1]) << 4;
    if (head == 3) count |= static_cast<size_t>(p[2]) << 12;
    if (count > kMaxBlock || head + (type == 0 ? count : 1) > n) return 0;
    if (type == 0)
      memcpy(d.literals, p + head, count);
    else
      memset(d.literals, p[head], count);
    d.literal_count = count;
    return head + (type == 0 ? count : 1);
  }
  const u32 head = format < 2 ? 3 : format + 2, bits = format < 2 ? 10 : (format == 2 ? 14 : 18);
  if (n < head) return 0;
  u64 word = 0;
  for (u32 i = 0; i < head; ++i) word |= static_cast<u64>(p[i]) << (8 * i);
  const size_t count = (word >> 4) & ((1u << bits) - 1), packed = (word >> (4 + bits)) & ((1u << bits) - 1);
  if (count > kMaxBlock || head + packed > n) return 0;
  const u8* at = p + head;
  size_t left = packed;
  if (type == 2) {
    const size_t used = huffman_read(d.huffman, at, left);
    if (used == 0) return 0;
    at += used;
    left -= used;
  } else if (d.huffman.max_bits == 0) {
    return 0;
  }
  d.literal_count = count;
  if (format == 0) return huffman_stream(d, at, left, d.literals, count) ? head + packed : 0;
  if (left < 6) return 0;
  const size_t each = (count + 3) / 4;
  size_t sizes[4] = {at[0] | static_cast<size_t>(at[1]) << 8, at[2] | static_cast<size_t>(at[3]) << 8,
                     at[4] | static_cast<size_t>(at[5]) << 8, 0};
  if (6 + sizes[0] + sizes[1] + sizes[2] > left || each * 3 > count) return 0;
  sizes[3] = left - 6 - sizes[0] - sizes[1] - sizes[2];
  at += 6;
  for (u32 i = 0; i < 4; ++i) {
    if (!huffman_stream(d, at, sizes[i], d.literals + each * i, i < 3 ? each : count - each * 3)) return 0;
    at += sizes[i];
  }
  return head + packed;
}

constexpr s16 kDefaultLl[36] = {4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1,  1,  2,  2,
                                2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1};
constexpr s16 kDefaultMl[53] = {1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1,  1,  1,  1, 1,
                                1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1};
constexpr s16 kDefaultOf[29] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 1,  1,  1,  1,  1, 1,
                                1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1};
constexpr u32 kLlBase[36] = {0,  1,  2,   3,   4,   5,    6,    7,    8,    9,     10,    11,
                             12, 13, 14,  15,  16,  18,   20,   22,   24,   28,    32,    40,
                             48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};
constexpr u8 kLlBits[36] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0,  0,  1,  1,
                            1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr u32 kMlBase[53] = {3,  4,  5,  6,  7,  8,  9,  10,  11,  12,  13,   14,   15,   16,   17,    18,    19,   20,
                             21, 22, 23, 24, 25, 26, 27, 28,  29,  30,  31,   32,   33,   34,   35,    37,    39,   41,
                             43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539};
constexpr u8 kMlBits[53] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0,  0,  0,  0, 0,
                            0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// One of the three code tables by its mode; `at` moves past its description.
bool read_mode(FseTable& t, u32 mode, const u8* p, size_t n, size_t& at, const s16* counts, u32 symbols, u32 log,
               u32 max_log) {
  switch (mode) {
    case 0: return fse_build(t, counts, symbols, log);
    case 1:
      if (at >= n) return false;
      t.log = 0;
      t.entries[0] = {0, p[at++], 0};
      t.valid = true;
      return true;
    case 2: {
      const size_t used = fse_read(t, p + at, n - at, max_log, symbols > 29 ? symbols : 32);
      at += used;
      return used != 0;
    }
    default: return t.valid;
  }
}

bool copy_match(Decoder& d, u64 offset, u64 length) {
  if (offset == 0 || offset > d.produced || d.produced + length > d.capacity) return false;
  u8* to = d.output + d.produced;
  const u8* from = to - offset;
  for (u64 i = 0; i < length; ++i) to[i] = from[i];
  d.produced += length;
  return true;
}

u64 resolve_offset(Decoder& d, u64 value, u64 literal_length) {
  if (value > 3) {
    d.repeat[2] = d.repeat[1];
    d.repeat[1] = d.repeat[0];
    return d.repeat[0] = value - 3;
  }
  u64 index = value - 1 + (literal_length == 0 ? 1 : 0);
  const u64 offset = index == 3 ? d.repeat[0] - 1 : d.repeat[index];
  if (index == 3) index = 2;
  for (; index > 0; --index) d.repeat[index] = d.repeat[index - 1];
  return d.repeat[0] = offset;
}

bool execute_sequences(Decoder& d, u32 count, const u8* p, size_t n) {
  BackBits b;
  if (!b.init(p, n)) return false;
  u64 ll = b.take(d.literal_lengths.log), of = b.take(d.offsets.log), ml = b.take(d.match_lengths.log);
  size_t literal_at = 0;
  for (u32 i = 0; i < count; ++i) {
    const FseEntry &l = d.literal_lengths.entries[ll], &o = d.offsets.entries[of], &m = d.match_lengths.entries[ml];
    if (l.symbol > 35 || m.symbol > 52 || o.symbol > 31) return false;
    const u64 value = (1ul << o.symbol) + b.take(o.symbol);
    const u64 match = kMlBase[m.symbol] + b.take(kMlBits[m.symbol]);
    const u64 literal = kLlBase[l.symbol] + b.take(kLlBits[l.symbol]);
    if (literal_at + literal > d.literal_count || d.produced + literal > d.capacity) return false;
    memcpy(d.output + d.produced, d.literals + literal_at, literal);
    d.produced += literal;
    literal_at += literal;
    if (!copy_match(d, resolve_offset(d, value, literal), match)) return false;
    if (i + 1 < count) {
      ll = l.baseline + b.take(l.bits);
      ml = m.baseline + b.take(m.bits);
      of = o.baseline + b.take(o.bits);
    }
    if (b.bad) return false;
  }
  const size_t rest = d.literal_count - literal_at;
  if (d.produced + rest > d.capacity) return false;
  memcpy(d.output + d.produced, d.literals + literal_at, rest);
  d.produced += rest;
  return true;
}

bool compressed_block(Decoder& d, const u8* p, size_t n) {
  size_t at = read_literals(d, p, n);
  if (at == 0 || at >= n) return false;
  u32 count = p[at++];
  if (count >= 128) {
    if (at + (count == 255 ? 2 : 1) > n) return false;
    if (count < 255) {
      count = ((count - 128) << 8) + p[at++];
    } else {
      count = p[at] + (static_cast<u32>(p[at + 1]) << 8) + 0x7f00;
      at += 2;
    }
  }
  if (count == 0) {
    if (d.produced + d.literal_count > d.capacity) return false;
    memcpy(d.output + d.produced, d.literals, d.literal_count);
    d.produced += d.literal_count;
    return true;
  }
  if (at >= n) return false;
  const u8 modes = p[at++];
  const bool tables = read_mode(d.literal_lengths, modes >> 6, p, n, at, kDefaultLl, 36, 6, 9) &&
                      read_mode(d.offsets, (modes >> 4) & 3, p, n, at, kDefaultOf, 29, 5, 8) &&
                      read_mode(d.match_lengths, (modes >> 2) & 3, p, n, at, kDefaultMl, 53, 6, 9);
  return tables && at < n && execute_sequences(d, count, p + at, n - at);
}

bool grow(Decoder& d, size_t need) {
  if (need <= d.capacity) return true;
  const size_t capacity = max(need, d.capacity * 2);
  u8* bigger = static_cast<u8*>(vmalloc(capacity));
  if (bigger == nullptr) return false;
  if (d.produced != 0) memcpy(bigger, d.output, d.produced);
  vfree(d.output);
  d.output = bigger;
  d.capacity = capacity;
  return true;
}

bool read_frame(Decoder& d) {
  if (d.at + 6 > d.size) return false;
  const u8 descriptor = d.in[d.at + 4];
  d.at += 5;
  const bool single = (descriptor & 0x20) != 0, checksum = (descriptor & 4) != 0;
  if ((descriptor & 3) != 0) return false;  // a dictionary
  if (!single) ++d.at;
  const u32 size_code = descriptor >> 6;
  const u32 size_bytes = size_code == 0 ? (single ? 1 : 0) : 1u << size_code;
  u64 content = 0;
  if (d.at + size_bytes > d.size) return false;
  memcpy(&content, d.in + d.at, size_bytes);
  d.at += size_bytes;
  if (!grow(d, content + kMaxBlock)) return false;
  for (bool last = false; !last;) {
    if (d.at + 3 > d.size) return false;
    const u32 head = d.in[d.at] | static_cast<u32>(d.in[d.at + 1]) << 8 | static_cast<u32>(d.in[d.at + 2]) << 16;
    d.at += 3;
    last = (head & 1) != 0;
    const u32 type = (head >> 1) & 3, length = head >> 3;
    if (length > kMaxBlock || type == 3 || d.at + (type == 1 ? 1 : length) > d.size) return false;
    if (!grow(d, d.produced + kMaxBlock)) return false;
    const u8* p = d.in + d.at;
    if (type == 0) memcpy(d.output + d.produced, p, length);
    if (type == 1) memset(d.output + d.produced, *p, length);
    if (type < 2) d.produced += length;
    if (type == 2 && !compressed_block(d, p, length)) return false;
    d.at += type == 1 ? 1 : length;
  }
  if (checksum) d.at += 4;
  return d.at <= d.size;
}

}  // namespace

long unzstd(const u8* in, size_t n, byte_sink& out) {
  Decoder* d = static_cast<Decoder*>(vmalloc(sizeof(Decoder)));
  if (d == nullptr) return -1;
  new (d) Decoder{in, n};
  bool good = grow(*d, kMaxBlock) && read_frame(*d);
  if (good) good = out.write(d->output, d->produced);
  const long used = static_cast<long>(d->at);
  vfree(d->output);
  vfree(d);
  return good ? used : -1;
}

}  // namespace xm::os
