// SPDX-License-Identifier: GPL-2.0-or-later
// Page-table walks: 32-bit (with PSE and PSE-36), PAE, 4-level and 5-level paging; accessed and dirty bits; the rights
// rules of CR0.WP, NX, SMEP and SMAP; the page-fault error code. [SDM3 4]
//
// GAP: PAE's four PDPTEs are read from memory at each walk, not latched by MOV to CR3; protection keys are not
// modelled.
#pragma once

#include "cpu/mmu/tlb.h"

namespace xm::cpu {
class Vcpu;
}

namespace xm::cpu::mmu {

// What the access may do: user rights, and whether RFLAGS.AC lifts SMAP for it.
struct Rights {
  bool user = false;
  bool ac = false;
};

// Bits of a page-fault error code [SDM3 4.7].
namespace page_fault {
inline constexpr u32 kPresent = 1, kWrite = 2, kUser = 4, kReserved = 8, kFetch = 16;
}

bool permitted(const Vcpu& cpu, const Translation& page, Access access, Rights rights);

enum class WalkEffect : u8 { Update, Quiet };  // Quiet: no accessed/dirty updates, no rights checks, no fault

// False after recording #PF (Update), or if the page is not mapped (Quiet).
bool walk(Vcpu& cpu, u64 linear, Access access, Rights rights, WalkEffect effect, Translation& result);

}  // namespace xm::cpu::mmu
