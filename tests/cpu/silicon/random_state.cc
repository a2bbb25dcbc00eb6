// SPDX-License-Identifier: GPL-2.0-or-later
// Random register contents: half of them values at which instructions change their mind.
#include <iterator>

#include "tests/cpu/silicon/generator.h"

namespace xm::cpu::silicon {
namespace {

constexpr u64 kIntegers[] = {
    0,
    1,
    2,
    7,
    8,
    31,
    32,
    63,
    64,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x100000000,
    0x7FFFFFFFFFFFFFFF,
    0x8000000000000000,
    0xFFFFFFFFFFFFFFFF,
    0xFFFFFFFFFFFFFF80,
    0xFFFFFFFF80000000,
    0x5555555555555555,
    0x0123456789ABCDEF,
    0x99,
    0x9999,
};
constexpr u64 kDoubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x7FF0000000000000,
    0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001, 0xFFF4000000000000,
    0x0000000000000001, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x3FE0000000000000,
    0x41DFFFFFFFC00000, 0xC1E0000000000000, 0x43E0000000000000, 0xC3E0000000000000, 0x3FDFFFFFFFFFFFFF,
    0x36A0000000000000, 0x47EFFFFFE0000000, 0x3810000000000000, 0x4008000000000000, 0x3FF8000000000000,
};
constexpr u32 kFloats[] = {
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001,
    0xFFA00000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F000000, 0x4F000000, 0xCF000000, 0x5F000000,
    0x4B000000, 0x3EFFFFFF, 0x40400000, 0x3FC00000, 0x33800000, 0x477FE000, 0x38800000, 0x387FC000,
};
constexpr u16 kExponents[] = {0,      1,      0x7FFF, 0x3FFF, 0x3FFE, 0x4000, 0x403E, 0x401E,
                              0x400E, 0x3C01, 0x3F81, 0x43FE, 0x407E, 0x3FC0, 0x7FFE};

}  // namespace

u64 Generator::interesting_integer() {
  switch (random_() % 4) {
    case 0: return kIntegers[random_() % std::size(kIntegers)];
    case 1: return random_() & 0xFFFFFFFF;
    case 2: return kDataBase + random_() % kDataBytes;
    default: return random_();
  }
}

// Two float lanes, a double lane, integers or noise.
u64 Generator::interesting_lanes() {
  switch (random_() % 6) {
    case 0: return kDoubles[random_() % std::size(kDoubles)];
    case 1: return u64{kFloats[random_() % std::size(kFloats)]} << 32 | kFloats[random_() % std::size(kFloats)];
    case 2: return (random_() & 0x800FFFFFFFFFFFFF) | (0x3E0 + random_() % 64) << 52;
    case 3: return (random_() & 0x807FFFFF807FFFFF) | (112 + random_() % 32) << 55 | (112 + random_() % 32) << 23;
    case 4: return kIntegers[random_() % std::size(kIntegers)];
    default: return random_();
  }
}

X87Register Generator::interesting_float80() {
  X87Register reg;
  reg.sign_exponent = static_cast<u16>(chance(4) ? random_() : 0x3FE0 + random_() % 64);
  reg.significand = random_() | u64{1} << 63;
  if (chance(3)) reg.sign_exponent = kExponents[random_() % std::size(kExponents)];
  if (chance(3)) reg.significand = u64{1} << 63;
  if (chance(8)) reg.significand = random_();  // unnormal, pseudo-denormal, pseudo-infinity
  if (chance(12)) reg = {0, 0};
  if (chance(16)) reg.significand = ~u64{0};
  if (chance(2)) reg.sign_exponent = static_cast<u16>(reg.sign_exponent ^ 0x8000);
  return reg;
}

void Generator::randomize_x87(X87State& x87) {
  for (X87Register& reg : x87.reg) reg = interesting_float80();
  x87.control = static_cast<u16>(0x007F | (random_() & 0x0F00));
  if (chance(8)) x87.control = static_cast<u16>((random_() & 0x0F3F) | 0x40);
  x87.status = static_cast<u16>(random_() & 0x7F7F);
  // ES and B follow from flags and masks [SDM1 8.1.3.3].
  if (!chance(16)) x87.status = static_cast<u16>(x87.status & ~(~x87.control & 0x3F));
  if (x87.status & ~x87.control & 0x3F) x87.status |= 0x8080;
  x87.tag_valid = chance(2) ? 0xFF : static_cast<u8>(random_() | random_());
}

void Generator::randomize(UserState& state) {
  for (u64& reg : state.gpr) reg = interesting_integer();
  state.rflags = 2 | (random_() & flag::kStatus) | (chance(2) ? 0 : flag::kDf);
  randomize_x87(state.x87);
  for (VectorRegister& reg : state.vector) {
    for (u64& lane : reg.q) lane = interesting_lanes();
  }
  state.mxcsr =
      static_cast<u32>(0x1F80 | (random_() & 0x6000) | (chance(4) ? random_() & 0x8040 : 0) | (random_() & 0x3F));
  if (chance(16)) state.mxcsr = static_cast<u32>((random_() & 0xFFC0));
}

}  // namespace xm::cpu::silicon
