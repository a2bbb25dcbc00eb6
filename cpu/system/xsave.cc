// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/xsave.h"

#include <array>

#include "cpu/system/control_registers.h"
#include "cpu/system/cpuid.h"
#include "cpu/system/privilege.h"

namespace xm::cpu::system {

namespace {

constexpr u64 kX87 = 1, kSse = 2, kAvx = 4;
constexpr u32 kMxcsrMask = 0xFFFF;
constexpr u32 kMxcsrInitial = 0x1F80;
constexpr u64 kCompacted = bit(63);
constexpr unsigned kRegistersOffset = 32;
constexpr unsigned kXmmOffset = 160;
constexpr unsigned kHeaderSize = 64;

// Sixteen bytes at a time, so that nothing but what the manual names is written.
using Cell = std::array<u64, 2>;

// The area in memory: base offset in the operand's segment.
class Area {
 public:
  Area(Vcpu& cpu, const Insn& insn) : cpu_(cpu), insn_(insn), base_(cpu.effective_address(insn)) {}

  [[nodiscard]] bool check_alignment(unsigned alignment) {
    u64 linear = 0;
    if (!cpu_.linear_address(insn_.segment, base_, 1, false, linear)) return false;
    return (linear & (alignment - 1)) == 0 || cpu_.raise(Vector::Gp, 0);
  }
  template <class T>
  [[nodiscard]] bool read(unsigned offset, T& value) {
    return cpu_.read(insn_.segment, at(offset), value);
  }
  template <class T>
  [[nodiscard]] bool write(unsigned offset, const T& value) {
    return cpu_.write(insn_.segment, at(offset), value);
  }
  [[nodiscard]] bool probe_write(unsigned offset, unsigned size) {
    return cpu_.probe_write(insn_.segment, at(offset), size);
  }

 private:
  u64 at(unsigned offset) const { return (base_ + offset) & mask_of_bytes(insn_.address_size); }

  Vcpu& cpu_;
  const Insn& insn_;
  u64 base_;
};

unsigned vector_count(const Vcpu& cpu) { return cpu.mode.bits64 ? 16 : 8; }
bool wide_pointers(const Vcpu& cpu, const Insn& insn) { return cpu.mode.bits64 && insn.rex_w(); }

const X87Register& st(const X87State& x87, unsigned index) { return x87.reg[(bits(x87.status, 13, 11) + index) & 7]; }

bool save_x87(Vcpu& cpu, const Insn& insn, Area& area) {
  const X87State& x87 = cpu.state.x87;
  const bool selectors = !cpu.model.has(SystemFeature::ZeroFcsFds);
  const u64 control = x87.control | u64{x87.status} << 16 | u64{x87.tag_valid} << 32 | u64{x87.opcode} << 48;
  u64 instruction = x87.instruction_pointer;
  u64 data = x87.data_pointer;
  if (!wide_pointers(cpu, insn)) {
    instruction = static_cast<u32>(instruction) | (selectors ? u64{x87.instruction_selector} << 32 : 0);
    data = static_cast<u32>(data) | (selectors ? u64{x87.data_selector} << 32 : 0);
  }
  if (!area.write(0, Cell{control, instruction}) || !area.write(16, data)) return false;
  for (unsigned i = 0; i < 8; ++i) {
    const X87Register& reg = st(x87, i);
    if (!area.write(kRegistersOffset + i * 16, Cell{reg.significand, reg.sign_exponent})) return false;
  }
  return true;
}

bool save_mxcsr(Vcpu& cpu, Area& area) { return area.write(24, u64{cpu.state.mxcsr} | u64{kMxcsrMask} << 32); }

bool save_sse(Vcpu& cpu, Area& area) {
  for (unsigned i = 0; i < vector_count(cpu); ++i) {
    const VectorRegister& reg = cpu.state.vector[i];
    if (!area.write(kXmmOffset + i * 16, Cell{reg.q[0], reg.q[1]})) return false;
  }
  return true;
}

bool save_avx(Vcpu& cpu, Area& area) {
  for (unsigned i = 0; i < vector_count(cpu); ++i) {
    const VectorRegister& reg = cpu.state.vector[i];
    if (!area.write(kAvxStateOffset + i * 16, Cell{reg.q[2], reg.q[3]})) return false;
  }
  return true;
}

// What a restore has read; committed only when nothing can fault any more.
struct Image {
  Cell control{};
  u64 data_pointer = 0;
  u64 mxcsr = kMxcsrInitial;
  std::array<Cell, 8> registers{};
  std::array<Cell, 16> low{};
  std::array<Cell, 16> high{};
};

bool read_x87(Area& area, Image& image) {
  if (!area.read(0, image.control) || !area.read(16, image.data_pointer)) return false;
  for (unsigned i = 0; i < 8; ++i)
    if (!area.read(kRegistersOffset + i * 16, image.registers[i])) return false;
  return true;
}

bool read_mxcsr(Vcpu& cpu, Area& area, Image& image) {
  if (!area.read(24, image.mxcsr)) return false;
  image.mxcsr = static_cast<u32>(image.mxcsr);
  return (image.mxcsr & ~u64{kMxcsrMask}) == 0 || cpu.raise(Vector::Gp, 0);
}

bool read_vectors(Vcpu& cpu, Area& area, unsigned offset, std::array<Cell, 16>& cells) {
  for (unsigned i = 0; i < vector_count(cpu); ++i)
    if (!area.read(offset + i * 16, cells[i])) return false;
  return true;
}

void commit_x87(Vcpu& cpu, const Insn& insn, const Image& image) {
  X87State& x87 = cpu.state.x87;
  const u64 control = image.control[0];
  x87.control = static_cast<u16>((control & 0x1F7F) | 0x40);
  x87.status = static_cast<u16>(control >> 16);
  x87.tag_valid = static_cast<u8>(control >> 32);
  x87.opcode = static_cast<u16>(bits(control, 58, 48));
  // The summary bits follow from exceptions and masks [SDM1 8.1.3.3].
  x87.status &= 0x7F7F;
  if ((x87.status & ~x87.control & 0x3F) != 0) x87.status |= 0x8080;
  const bool wide = wide_pointers(cpu, insn);
  x87.instruction_pointer = wide ? image.control[1] : static_cast<u32>(image.control[1]);
  x87.data_pointer = wide ? image.data_pointer : static_cast<u32>(image.data_pointer);
  x87.instruction_selector = wide ? 0 : static_cast<u16>(image.control[1] >> 32);
  x87.data_selector = wide ? 0 : static_cast<u16>(image.data_pointer >> 32);
  const unsigned top = bits(x87.status, 13, 11);
  for (unsigned i = 0; i < 8; ++i)
    x87.reg[(top + i) & 7] = {image.registers[i][0], static_cast<u16>(image.registers[i][1])};
}

void commit_low(Vcpu& cpu, const Image& image) {
  for (unsigned i = 0; i < vector_count(cpu); ++i) {
    cpu.state.vector[i].q[0] = image.low[i][0];
    cpu.state.vector[i].q[1] = image.low[i][1];
  }
}

void commit_high(Vcpu& cpu, const Image& image) {
  for (unsigned i = 0; i < vector_count(cpu); ++i) {
    cpu.state.vector[i].q[2] = image.high[i][0];
    cpu.state.vector[i].q[3] = image.high[i][1];
  }
}

bool x87_in_use(const X87State& x87) {
  const X87State initial;
  return x87.control != initial.control || x87.status != 0 || x87.tag_valid != 0 || x87.opcode != 0 ||
         x87.instruction_pointer != 0 || x87.data_pointer != 0 || x87.reg != initial.reg;
}

// XINUSE; MXCSR counts with the SSE registers.
u64 components_in_use(const Vcpu& cpu) {
  u64 used = x87_in_use(cpu.state.x87) ? kX87 : 0;
  if (cpu.state.mxcsr != kMxcsrInitial) used |= kSse;
  for (unsigned i = 0; i < vector_count(cpu); ++i) {
    const VectorRegister& reg = cpu.state.vector[i];
    if ((reg.q[0] | reg.q[1]) != 0) used |= kSse;
    if ((reg.q[2] | reg.q[3]) != 0) used |= kAvx;
  }
  return used;
}

bool check_fxsr(Vcpu& cpu) { return (cpu.state.cr0 & (cr0::kEm | cr0::kTs)) == 0 || cpu.raise(Vector::Nm); }

bool check_xsave(Vcpu& cpu) {
  if ((cpu.state.cr4 & cr4::kOsxsave) == 0) return cpu.raise(Vector::Ud);
  return (cpu.state.cr0 & cr0::kTs) == 0 || cpu.raise(Vector::Nm);
}

u64 requested_components(const Vcpu& cpu, bool supervisor) {
  const u64 mask = cpu.gpr(gpr::kRax, 4) | cpu.gpr(gpr::kRdx, 4) << 32;
  return mask & (cpu.state.xcr0 | (supervisor ? cpu.state.msr.xss : 0));
}

// Header of a restore: what XSTATE_BV and XCOMP_BV may say [SDM1 13.8.1, 13.8.2, 13.12].
struct Header {
  u64 state = 0;
  bool compacted = false;
};

bool read_header(Vcpu& cpu, Area& area, bool supervisor, Header& header) {
  std::array<u64, 8> raw{};
  if (!area.read(kXsaveHeaderOffset, raw)) return false;
  header.state = raw[0];
  header.compacted = (raw[1] & kCompacted) != 0 && cpu.model.has(Feature::Xsavec);
  const u64 enabled = cpu.state.xcr0 | (supervisor ? cpu.state.msr.xss : 0);
  bool legal = (raw[0] & ~enabled) == 0 && raw[2] == 0;
  if (header.compacted) {
    const u64 format = raw[1] & ~kCompacted;
    legal = legal && (format & ~enabled) == 0 && (raw[0] & ~format) == 0 &&
            (raw[3] | raw[4] | raw[5] | raw[6] | raw[7]) == 0;
  } else {
    legal = legal && raw[1] == 0 && !supervisor;
  }
  return legal || cpu.raise(Vector::Gp, 0);
}

}  // namespace

bool fxsave(Vcpu& cpu, const Insn& insn) {
  leave_host_fp(cpu);
  Area area(cpu, insn);
  if (!check_fxsr(cpu) || !area.check_alignment(16) || !area.probe_write(0, kXsaveHeaderOffset)) return false;
  if (!save_x87(cpu, insn, area)) return false;
  if ((cpu.state.cr4 & cr4::kOsfxsr) == 0) return true;
  return save_mxcsr(cpu, area) && save_sse(cpu, area);
}

bool fxrstor(Vcpu& cpu, const Insn& insn) {
  leave_host_fp(cpu);
  Area area(cpu, insn);
  Image image;
  const bool sse = (cpu.state.cr4 & cr4::kOsfxsr) != 0;
  if (!check_fxsr(cpu) || !area.check_alignment(16) || !read_x87(area, image)) return false;
  if (sse && (!read_mxcsr(cpu, area, image) || !read_vectors(cpu, area, kXmmOffset, image.low))) return false;
  commit_x87(cpu, insn, image);
  if (sse) {
    cpu.state.mxcsr = static_cast<u32>(image.mxcsr);
    commit_low(cpu, image);
  }
  return true;
}

bool xsave(Vcpu& cpu, const Insn& insn) {
  leave_host_fp(cpu);
  const bool supervisor = insn.operation == Operation::Xsaves;
  const bool compacted = supervisor || insn.operation == Operation::Xsavec;
  Area area(cpu, insn);
  if (!check_xsave(cpu) || (supervisor && !require_cpl0(cpu)) || !area.check_alignment(64)) return false;
  const u64 requested = requested_components(cpu, supervisor);
  const u64 used = components_in_use(cpu) & requested;
  // Plain XSAVE writes initial components too; the others leave them out.
  const u64 written = insn.operation == Operation::Xsave ? requested : used;
  // The legacy region is left alone when none of its components is written, but by XSAVE and XSAVEOPT, whose MXCSR lies
  // there.
  const unsigned first = compacted && (written & (kX87 | kSse)) == 0 ? kXsaveHeaderOffset : 0;
  if (!area.probe_write(first, xsave_standard_size(written) - first)) return false;

  u64 state = used;
  if (!compacted) {
    u64 old_state = 0;
    if (!area.read(kXsaveHeaderOffset, old_state)) return false;
    state |= old_state & ~requested;
  }
  if ((written & kX87) != 0 && !save_x87(cpu, insn, area)) return false;
  const u64 mxcsr_owners = compacted ? written & kSse : requested & (kSse | kAvx);
  if (mxcsr_owners != 0 && !save_mxcsr(cpu, area)) return false;
  if ((written & kSse) != 0 && !save_sse(cpu, area)) return false;
  if ((written & kAvx) != 0 && !save_avx(cpu, area)) return false;
  if (compacted) return area.write(kXsaveHeaderOffset, Cell{state, requested | kCompacted});
  return area.write(kXsaveHeaderOffset, state);
}

bool xrstor(Vcpu& cpu, const Insn& insn) {
  leave_host_fp(cpu);
  const bool supervisor = insn.operation == Operation::Xrstors;
  Area area(cpu, insn);
  Header header;
  if (!check_xsave(cpu) || (supervisor && !require_cpl0(cpu)) || !area.check_alignment(64)) return false;
  if (!read_header(cpu, area, supervisor, header)) return false;
  const u64 requested = requested_components(cpu, supervisor);
  const u64 loaded = requested & header.state;
  Image image;
  image.control[0] = X87State{}.control;
  const bool mxcsr_loaded = header.compacted ? (loaded & kSse) != 0 : (requested & (kSse | kAvx)) != 0;
  if ((loaded & kX87) != 0 && !read_x87(area, image)) return false;
  if (mxcsr_loaded && !read_mxcsr(cpu, area, image)) return false;
  if ((loaded & kSse) != 0 && !read_vectors(cpu, area, kXmmOffset, image.low)) return false;
  if ((loaded & kAvx) != 0 && !read_vectors(cpu, area, kAvxStateOffset, image.high)) return false;

  if ((requested & kX87) != 0) commit_x87(cpu, insn, image);
  if (mxcsr_loaded || (header.compacted && (requested & kSse) != 0)) cpu.state.mxcsr = static_cast<u32>(image.mxcsr);
  if ((requested & kSse) != 0) commit_low(cpu, image);
  if ((requested & kAvx) != 0) commit_high(cpu, image);
  return true;
}

}  // namespace xm::cpu::system
