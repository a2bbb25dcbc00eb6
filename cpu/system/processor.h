// SPDX-License-Identifier: GPL-2.0-or-later
// What remains of the system instructions: identification, time, random numbers, halting, caches. [SDM2]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool identify(Vcpu& cpu, const Insn& insn);           // CPUID
[[nodiscard]] bool read_time_stamp(Vcpu& cpu, const Insn& insn);    // RDTSC, RDTSCP
[[nodiscard]] bool read_processor_id(Vcpu& cpu, const Insn& insn);  // RDPID
[[nodiscard]] bool read_performance(Vcpu& cpu, const Insn& insn);   // RDPMC
[[nodiscard]] bool read_random(Vcpu& cpu, const Insn& insn);        // RDRAND, RDSEED
[[nodiscard]] bool halt(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool monitor(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool monitor_wait(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool flush_caches(Vcpu& cpu, const Insn& insn);      // INVD, WBINVD
[[nodiscard]] bool flush_cache_line(Vcpu& cpu, const Insn& insn);  // CLFLUSH, CLFLUSHOPT, CLWB
[[nodiscard]] bool fence(Vcpu& cpu, const Insn& insn);             // LFENCE, MFENCE, SFENCE
[[nodiscard]] bool no_operation(Vcpu& cpu, const Insn& insn);      // prefetches, PAUSE
[[nodiscard]] bool undefined(Vcpu& cpu, const Insn& insn);         // UD0-2, RSM outside SMM

}  // namespace xm::cpu::system
