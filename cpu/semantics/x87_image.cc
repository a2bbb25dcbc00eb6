// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/semantics/x87_image.h"

#include "emu/base/bits.h"

namespace xm::cpu::semantics {
namespace {

// The 32-bit protected-mode FNSAVE image, which 64-bit code uses too.
struct SaveImage {
  u16 control, reserved0;
  u16 status, reserved1;
  u16 tag, reserved2;
  u32 instruction_pointer;
  u16 instruction_selector, opcode;
  u32 data_pointer;
  u16 data_selector, reserved3;
  std::array<u8, 80> registers;  // ST(0) first
};
static_assert(sizeof(SaveImage) == 108);

unsigned tag_of(const X87Register& reg) {
  const unsigned exponent = reg.sign_exponent & 0x7FFF;
  if (exponent == 0 && reg.significand == 0) return 1;
  return exponent == 0 || exponent == 0x7FFF || !has_bit(reg.significand, 63) ? 2 : 0;
}

}  // namespace

u16 full_tag_word(const X87State& state) {
  unsigned word = 0;
  for (unsigned i = 0; i < 8; ++i) word |= (has_bit(state.tag_valid, i) ? tag_of(state.reg[i]) : 3) << i * 2;
  return static_cast<u16>(word);
}

u8 abridged_tags(u16 full) {
  unsigned tags = 0;
  for (unsigned i = 0; i < 8; ++i) tags |= ((full >> i * 2 & 3) != 3 ? 1u : 0u) << i;
  return static_cast<u8>(tags);
}

void load_x87(const X87State& state) {
  SaveImage image{};
  image.control = state.control;
  image.status = state.status;
  image.tag = full_tag_word(state);
  const unsigned top = x87_top(state.status);
  for (unsigned i = 0; i < 8; ++i) {
    const X87Register& reg = state.reg[(top + i) & 7];
    store_le(&image.registers[i * 10], reg.significand);
    store_le(&image.registers[i * 10 + 8], reg.sign_exponent);
  }
  asm volatile("frstor %0" : : "m"(image));
}

void save_x87(X87State& state) {
  SaveImage image;
  asm volatile("fnsave %0" : "=m"(image));
  state.status = image.status;
  state.tag_valid = abridged_tags(image.tag);
  const unsigned top = x87_top(state.status);
  for (unsigned i = 0; i < 8; ++i) {
    X87Register& reg = state.reg[(top + i) & 7];
    reg.significand = load_le<u64>(&image.registers[i * 10]);
    reg.sign_exponent = load_le<u16>(&image.registers[i * 10 + 8]);
  }
}

std::array<u8, 28> store_environment(const X87State& state, X87Format format) {
  std::array<u8, 28> image{};
  const bool wide = environment_size(format) == 28;
  const u32 upper = wide ? 0xFFFF0000 : 0;  // reserved halves read as ones
  const auto put = [&](unsigned i, u32 value) {
    wide ? store_le(&image[i * 4], value) : store_le(&image[i * 2], static_cast<u16>(value));
  };
  put(0, upper | state.control);
  put(1, upper | state.status);
  put(2, upper | full_tag_word(state));
  const auto ip = static_cast<u32>(state.instruction_pointer), dp = static_cast<u32>(state.data_pointer);
  if (format == X87Format::Protected16 || format == X87Format::Protected32) {
    put(3, ip);
    put(4, state.instruction_selector | (wide ? u32{state.opcode} << 16 : 0));
    put(5, dp);
    put(6, upper | state.data_selector);
    return image;
  }
  // Real mode keeps linear addresses, cut into 16 bits and the rest in bits 12 and up.
  const u32 linear_ip = ip + (u32{state.instruction_selector} << 4), linear_dp = dp + (u32{state.data_selector} << 4);
  put(3, (wide ? upper : 0) | (linear_ip & 0xFFFF));
  put(4, (linear_ip >> 16 << 12) | state.opcode);
  put(5, (wide ? upper : 0) | (linear_dp & 0xFFFF));
  put(6, linear_dp >> 16 << 12);
  return image;
}

void load_environment(X87State& state, const std::array<u8, 28>& image, X87Format format) {
  const bool wide = environment_size(format) == 28;
  const auto get = [&](unsigned i) { return wide ? load_le<u32>(&image[i * 4]) : load_le<u16>(&image[i * 2]); };
  state.control = static_cast<u16>((get(0) & 0x1F3F) | 0x40);
  state.status = static_cast<u16>(get(1));
  state.tag_valid = abridged_tags(static_cast<u16>(get(2)));
  state.opcode = 0;
  state.instruction_selector = state.data_selector = 0;
  if (format == X87Format::Protected16 || format == X87Format::Protected32) {
    state.instruction_pointer = get(3);
    state.instruction_selector = static_cast<u16>(get(4));
    if (wide) state.opcode = static_cast<u16>(get(4) >> 16 & 0x7FF);
    state.data_pointer = get(5);
    state.data_selector = static_cast<u16>(get(6));
  } else {
    state.instruction_pointer = (get(3) & 0xFFFF) | (get(4) >> 12 << 16);
    state.opcode = static_cast<u16>(get(4) & 0x7FF);
    state.data_pointer = (get(5) & 0xFFFF) | (get(6) >> 12 << 16);
  }
  update_error_summary(state);
}

void update_error_summary(X87State& state) {
  constexpr u16 kSummary = 0x8080;
  const bool pending = (state.status & ~state.control & 0x3F) != 0;
  state.status = static_cast<u16>(pending ? state.status | kSummary : state.status & ~kSummary);
}

}  // namespace xm::cpu::semantics
