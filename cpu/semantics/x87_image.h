// SPDX-License-Identifier: GPL-2.0-or-later
// X87State to and from the host's FPU, and to and from the four memory formats of the environment. [SDM1 8.1.10]
#pragma once

#include <array>

#include "cpu/state/cpu_state.h"

namespace xm::cpu::semantics {

// Into the host's FPU, with control word and flags as they are; no exception may be pending.
void load_x87(const X87State& state);
// Out of it, leaving it initialised (FNSAVE). The pointers and the opcode in `state` stay: the host's are its own.
void save_x87(X87State& state);

// The full tag word: 00 valid, 01 zero, 10 special, 11 empty, by physical register.
u16 full_tag_word(const X87State& state);
u8 abridged_tags(u16 full_tag_word);

inline unsigned x87_top(u16 status) { return status >> 11 & 7; }

enum class X87Format : u8 { Real16, Protected16, Real32, Protected32 };
constexpr unsigned environment_size(X87Format format) {
  return format == X87Format::Real16 || format == X87Format::Protected16 ? 14 : 28;
}

// The environment's bytes: 14 or 28 of them. Loading sets ES and B from flags and masks.
std::array<u8, 28> store_environment(const X87State& state, X87Format format);
void load_environment(X87State& state, const std::array<u8, 28>& image, X87Format format);

// ES and B follow from flags and masks after the control or status word was written [SDM1 8.1.3.3].
void update_error_summary(X87State& state);

}  // namespace xm::cpu::semantics
