// SPDX-License-Identifier: GPL-2.0-or-later
// CpuState: the whole architectural state of one logical processor between two instructions, as a plain value. Every
// engine (interpreter, translator, KVM) can hand it out and continue from it; snapshots and lockstep are made of it.
// The local APIC's registers are not here: it is a device (devices/intc/lapic).
#pragma once

#include <array>

#include "emu/base/types.h"

namespace xm::cpu {

inline constexpr u32 kCpuStateVersion = 2;

// Segment attributes in the layout of VMX access rights [SDM3 24.4.1]: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13,
// D/B 14, G 15, unusable (null selector) 16. limit is in bytes, already scaled by G.
struct SegmentRegister {
  u64 base = 0;
  u32 limit = 0xFFFF;
  u32 attributes = 0x93;
  u16 selector = 0;

  constexpr unsigned type() const { return attributes & 0xF; }
  constexpr bool system() const { return (attributes & 0x10) == 0; }  // S clear
  constexpr unsigned dpl() const { return (attributes >> 5) & 3; }
  constexpr bool present() const { return (attributes & 0x80) != 0; }
  constexpr bool long_code() const { return (attributes & 0x2000) != 0; }
  constexpr bool big() const { return (attributes & 0x4000) != 0; }
  constexpr bool granular() const { return (attributes & 0x8000) != 0; }
  constexpr bool unusable() const { return (attributes & 0x10000) != 0; }
};

struct TableRegister {
  u64 base = 0;
  u16 limit = 0xFFFF;
};

// One 80-bit register; kept in the order of the physical stack, ST(i) is reg[(TOP + i) & 7].
struct X87Register {
  u64 significand = 0;
  u16 sign_exponent = 0;
  constexpr bool operator==(const X87Register&) const = default;
};

struct X87State {
  std::array<X87Register, 8> reg{};
  u16 control = 0x37F;
  u16 status = 0;    // TOP is bits 13:11
  u8 tag_valid = 0;  // abridged tag word as FXSAVE has it: bit set = not empty, by physical register
  u16 opcode = 0;    // FOP, 11 bits
  u64 instruction_pointer = 0;
  u64 data_pointer = 0;
  u16 instruction_selector = 0;
  u16 data_selector = 0;
};

struct alignas(32) VectorRegister {
  std::array<u64, 4> q{};
  constexpr bool operator==(const VectorRegister&) const = default;
};

enum class Activity : u8 { Running, Halted, WaitForSipi, Shutdown, MonitorWait };

// What STI and MOV SS hold off until after the next instruction [SDM3 6.8.3].
enum class InterruptShadow : u8 { None, Sti, MovSs };

// An event that an engine had begun to deliver when its state was taken, as the VM-entry interruption-information field
// has it [SDM3 24.8.3]. Whoever goes on delivers it before the next instruction.
struct PendingEvent {
  enum class Kind : u8 { None, Interrupt, Nmi, Exception, SoftwareInterrupt };
  Kind kind = Kind::None;
  u8 vector = 0;
  bool has_error_code = false;
  u32 error_code = 0;
};

struct Msrs {
  u64 efer = 0, star = 0, lstar = 0, cstar = 0, sfmask = 0, kernel_gs_base = 0, tsc_aux = 0;
  u64 sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
  u64 pat = 0x0007040600070406;
  u64 misc_enable = 1;
  u64 tsc_adjust = 0;
  u64 tsc_offset = 0;  // guest TSC = clock ticks + tsc_offset
  u64 mtrr_def_type = 0;
  std::array<u64, 16> mtrr_variable{};  // base, mask pairs
  std::array<u64, 11> mtrr_fixed{};     // 64K, 16K x2, 4K x8
  u64 mcg_status = 0, mcg_ctl = 0;
  std::array<u64, 40> mc_banks{};  // ctl, status, addr, misc for 10 banks
  u64 debugctl = 0, spec_ctrl = 0, xss = 0, smi_count = 0, feature_control = 1, bios_sign_id = 0;
};

struct CpuState {
  u32 version = kCpuStateVersion;
  std::array<u64, 16> gpr{};  // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  u64 rip = 0xFFF0;
  u64 rflags = 2;
  std::array<SegmentRegister, 6> segment{};  // ES CS SS DS FS GS, by cpu::Segment
  SegmentRegister ldtr{.limit = 0xFFFF, .attributes = 0x82};
  SegmentRegister tr{.limit = 0xFFFF, .attributes = 0x8B};
  TableRegister gdtr, idtr;
  u64 cr0 = 0x60000010, cr2 = 0, cr3 = 0, cr4 = 0;
  u64 xcr0 = 1;
  std::array<u64, 8> dr{0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400};
  Msrs msr;
  X87State x87;
  std::array<VectorRegister, 16> vector{};
  u32 mxcsr = 0x1F80;
  u8 cpl = 0;
  Activity activity = Activity::Running;
  InterruptShadow interrupt_shadow = InterruptShadow::None;
  bool nmi_blocked = false;
  PendingEvent pending;
  bool smm = false;
  u32 smbase = 0x30000;
  u64 instructions_retired = 0;
};

// State after RESET [SDM3 9.1.1]: CS base FFFF0000, RIP FFF0. AP processors wait for SIPI. `signature` is CPUID.1:EAX,
// which RDX holds after reset.
CpuState reset_state(u32 signature, bool bootstrap_processor);
// INIT keeps x87, SSE, MSRs, CR0.CD/NW and the TSC [SDM3 9.1.1 table 9-1].
void apply_init(CpuState& state, u32 signature, bool bootstrap_processor);

namespace gpr {
inline constexpr unsigned kRax = 0, kRcx = 1, kRdx = 2, kRbx = 3, kRsp = 4, kRbp = 5, kRsi = 6, kRdi = 7;
}  // namespace gpr

// RFLAGS bits [SDM1 3.4.3].
namespace flag {
inline constexpr u64 kCf = 1 << 0, kPf = 1 << 2, kAf = 1 << 4, kZf = 1 << 6, kSf = 1 << 7, kTf = 1 << 8, kIf = 1 << 9;
inline constexpr u64 kDf = 1 << 10, kOf = 1 << 11, kIopl = 3 << 12, kNt = 1 << 14, kRf = 1 << 16, kVm = 1 << 17;
inline constexpr u64 kAc = 1 << 18, kVif = 1 << 19, kVip = 1 << 20, kId = 1 << 21;
inline constexpr u64 kStatus = kCf | kPf | kAf | kZf | kSf | kOf;  // the arithmetic flags
}  // namespace flag

namespace cr0 {
inline constexpr u64 kPe = 1 << 0, kMp = 1 << 1, kEm = 1 << 2, kTs = 1 << 3, kEt = 1 << 4, kNe = 1 << 5;
inline constexpr u64 kWp = 1 << 16, kAm = 1 << 18, kNw = 1 << 29, kCd = 1 << 30, kPg = 1u << 31;
}  // namespace cr0

namespace cr4 {
inline constexpr u64 kVme = 1 << 0, kPvi = 1 << 1, kTsd = 1 << 2, kDe = 1 << 3, kPse = 1 << 4, kPae = 1 << 5;
inline constexpr u64 kMce = 1 << 6, kPge = 1 << 7, kPce = 1 << 8, kOsfxsr = 1 << 9, kOsxmmexcpt = 1 << 10;
inline constexpr u64 kUmip = 1 << 11, kLa57 = 1 << 12, kFsgsbase = 1 << 16, kPcide = 1 << 17, kOsxsave = 1 << 18;
inline constexpr u64 kSmep = 1 << 20, kSmap = 1 << 21, kPke = 1 << 22;
}  // namespace cr4

namespace efer {
inline constexpr u64 kSce = 1 << 0, kLme = 1 << 8, kLma = 1 << 10, kNxe = 1 << 11;
}  // namespace efer

}  // namespace xm::cpu
