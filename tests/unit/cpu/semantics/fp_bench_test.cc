// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/cpu/semantics/fp_bench.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "cpu/decode/decoder.h"
#include "cpu/interp/build_context.h"
#include "cpu/interp/fp_handlers.h"
#include "cpu/semantics/x87_image.h"
#include "cpu/system/cpuid.h"
#include "emu/base/log.h"
#include "tests/unit/cpu/test_bus.h"

namespace xm::cpu::test {
namespace {

// --- host side

thread_local sigjmp_buf escape;
thread_local u32 mxcsr_at_fault;

void on_sigfpe(int, siginfo_t*, void* context) {
  mxcsr_at_fault = static_cast<ucontext_t*>(context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(escape, 1);
}

// Bytes of a function void(FpValues*) around the instruction; RDI stays the argument.
class Stub {
 public:
  Stub() {
    page_ = static_cast<u8*>(
        mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  ~Stub() { munmap(page_, kPageSize); }
  void clear() { size_ = 0; }
  void bytes(std::initializer_list<unsigned> list) {
    for (unsigned byte : list) page_[size_++] = static_cast<u8>(byte);
  }
  // ModRM and displacement of [RDI + offset] with this reg field.
  void at(unsigned reg, std::size_t offset) {
    bytes({0x87 | reg << 3});
    const auto value = static_cast<u32>(offset);
    std::memcpy(page_ + size_, &value, 4);
    size_ += 4;
  }
  void append(const std::vector<u8>& code) {
    for (u8 byte : code) page_[size_++] = byte;
  }
  void call(FpValues& values) {
    void (*function)(FpValues*);
    std::memcpy(&function, &page_, sizeof function);
    function(&values);
  }

 private:
  u8* page_;
  unsigned size_ = 0;
};

void emit_transfer(Stub& stub, bool load, bool mmx) {
  for (unsigned i = 0; i < 4; ++i) {
    stub.bytes({0xC5, 0xFE, load ? 0x6Fu : 0x7Fu});  // VMOVDQU
    stub.at(i, offsetof(FpValues, vector) + i * sizeof(VectorRegister));
    if (mmx) {
      stub.bytes({0x0F, load ? 0x6Fu : 0x7Fu});  // MOVQ mm
      stub.at(i, offsetof(FpValues, mmx) + i * 8);
    }
  }
  const unsigned move = load ? 0x8B : 0x89;
  stub.bytes({0x48, move});
  stub.at(0, offsetof(FpValues, rax));
  stub.bytes({0x48, move});
  stub.at(1, offsetof(FpValues, rcx));
  stub.bytes({0x48, move});
  stub.at(2, offsetof(FpValues, rdx));
}

// --- guest side

const interp::Op* stop(Vcpu&, const interp::Op*) { return nullptr; }

}  // namespace

FpValues run_on_host(const std::vector<u8>& code, const FpValues& start, Besides besides) {
  const bool mmx = besides == Besides::Mmx;
  static Stub stub;  // the page is made once
  stub.clear();
  alignas(32) FpValues values = start;
  stub.bytes({0x48, 0x8D});  // LEA RSI, memory
  stub.at(6, offsetof(FpValues, memory));
  emit_transfer(stub, true, mmx);
  if (besides == Besides::X87) {
    stub.bytes({0xDD});  // FRSTOR
    stub.at(4, offsetof(FpValues, x87));
  }
  stub.bytes({0x0F, 0xAE});  // LDMXCSR
  stub.at(2, offsetof(FpValues, mxcsr));
  stub.bytes({0xFF});  // PUSH flags; POPF
  stub.at(6, offsetof(FpValues, flags));
  stub.bytes({0x9D});
  stub.append(code);
  stub.bytes({0x9C, 0x8F});  // PUSHF; POP flags
  stub.at(0, offsetof(FpValues, flags));
  stub.bytes({0x0F, 0xAE});  // STMXCSR
  stub.at(3, offsetof(FpValues, mxcsr));
  if (besides == Besides::X87) {
    stub.bytes({0xDD});  // FNSAVE
    stub.at(6, offsetof(FpValues, x87));
  }
  emit_transfer(stub, false, mmx);
  if (mmx) stub.bytes({0x0F, 0x77});     // EMMS
  stub.bytes({0xC5, 0xF8, 0x77, 0xC3});  // VZEROUPPER; RET
  const u32 host_mxcsr = _mm_getcsr();
  struct sigaction action {
  }, before{};
  action.sa_sigaction = on_sigfpe;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGFPE, &action, &before);
  if (sigsetjmp(escape, 0) == 0) {
    stub.call(values);
  } else {
    values = start;
    values.mxcsr = mxcsr_at_fault;
    values.faulted = true;
    asm volatile("vzeroupper");
    if (mmx) asm volatile("emms");
  }
  _mm_setcsr(host_mxcsr);
  sigaction(SIGFPE, &before, nullptr);
  return values;
}

struct GuestFp::Parts {
  TestBus bus;
  Log log;
  CpuModel model;
  Vcpu cpu{bus, model, log};
};

GuestFp::GuestFp() : parts_(new Parts) {
  CpuState& state = parts_->cpu.state;
  state.cr0 = cr0::kPe | cr0::kNe | cr0::kEt;
  state.cr4 = cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kOsxsave;
  state.xcr0 = 7;
  state.msr.efer = efer::kLme | efer::kLma;
  state.segment[1].attributes = 0xA09B;
  parts_->cpu.update_mode();
}
GuestFp::~GuestFp() { delete parts_; }
Fault GuestFp::last_fault() const { return parts_->cpu.fault; }

namespace {

// The 32-bit protected-mode image: environment, then ST(0) first.
void load_image(X87State& state, const std::array<u8, 108>& image) {
  std::array<u8, 28> environment{};
  std::copy_n(image.begin(), environment.size(), environment.begin());
  semantics::load_environment(state, environment, semantics::X87Format::Protected32);
  for (unsigned i = 0; i < 8; ++i) {
    state.reg[(semantics::x87_top(state.status) + i) & 7] = {load_le<u64>(&image[28 + i * 10]),
                                                             load_le<u16>(&image[36 + i * 10])};
  }
}
void store_image(const X87State& state, std::array<u8, 108>& image) {
  const auto environment = semantics::store_environment(state, semantics::X87Format::Protected32);
  std::copy(environment.begin(), environment.end(), image.begin());
  for (unsigned i = 0; i < 8; ++i) {
    const X87Register& reg = state.reg[(semantics::x87_top(state.status) + i) & 7];
    store_le(&image[28 + i * 10], reg.significand);
    store_le(&image[36 + i * 10], reg.sign_exponent);
  }
}

// Decodes all of the code and chooses handlers; empty if there is none for one of them.
struct Program {
  std::vector<Insn> insns;
  std::vector<interp::Op> ops;
};
bool build(const Vcpu& cpu, std::span<const u8> code, Program& program) {
  program.insns.reserve(code.size());
  while (!code.empty()) {
    Insn insn;
    if (decode_into(code, CodeSize::Bits64, insn) != DecodeStatus::Ok) return false;
    const interp::BuildContext context{.cpu = cpu, .bits64 = true};
    program.insns.push_back(insn);
    interp::Op op{};
    op.insn = &program.insns.back();
    if (!interp::choose_fp_handler(context, insn, op)) return false;
    program.ops.push_back(op);
    code = code.subspan(insn.length);
  }
  interp::Op end{};
  end.handler = stop;
  program.ops.push_back(end);
  return true;
}

}  // namespace

std::optional<FpValues> GuestFp::run(const std::vector<u8>& code, const FpValues& start, Besides besides) {
  constexpr u64 kMemory = 0x10000;
  Vcpu& cpu = parts_->cpu;
  Program program;
  if (!build(cpu, code, program)) return std::nullopt;

  for (unsigned i = 0; i < 4; ++i) {
    cpu.state.vector[i] = start.vector[i];
    cpu.state.x87.reg[i] = {start.mmx[i], 0xFFFF};
  }
  if (besides == Besides::X87) load_image(cpu.state.x87, start.x87);
  parts_->bus.load(kMemory, start.memory);
  cpu.state.gpr[gpr::kRax] = start.rax;
  cpu.state.gpr[gpr::kRcx] = start.rcx;
  cpu.state.gpr[gpr::kRdx] = start.rdx;
  cpu.state.gpr[gpr::kRsi] = kMemory;
  cpu.set_rflags(start.flags);
  cpu.state.mxcsr = start.mxcsr;
  cpu.running.fault_pending = false;
  // Sometimes as in the middle of a program, where fast handlers run: MXCSR and x87 state live in the host already.
  if (start.resident && (start.mxcsr & kMxcsrMasks) == kMxcsrMasks) load_host_mxcsr(cpu);
  if (start.resident && (cpu.state.x87.control & kX87Masks) == kX87Masks) load_host_x87(cpu);
  // One call does it all where handlers call each other.
  for (const interp::Op* op = program.ops.data(); op != nullptr;) op = op->handler(cpu, op);
  leave_host_fp(cpu);

  FpValues values;
  for (unsigned i = 0; i < 4; ++i) {
    values.vector[i] = cpu.state.vector[i];
    values.mmx[i] = cpu.state.x87.reg[i].significand;
  }
  if (besides == Besides::X87) store_image(cpu.state.x87, values.x87);
  std::memcpy(values.memory.data(), parts_->bus.ram() + kMemory, values.memory.size());
  values.rax = cpu.state.gpr[gpr::kRax];
  values.rcx = cpu.state.gpr[gpr::kRcx];
  values.rdx = cpu.state.gpr[gpr::kRdx];
  values.flags = cpu.rflags();
  values.mxcsr = cpu.state.mxcsr;
  values.faulted = cpu.running.fault_pending;
  return values;
}

VectorRegister interesting_vector(std::mt19937_64& random) {
  constexpr u32 kSingles[] = {0,          1,          0x7FFFFF,   0x800000,   0x3F800000, 0x7F7FFFFF,
                              0x7F800000, 0x7F800001, 0x7FC00001, 0x7FFFFFFF, 0x4B000001, 0x4F000000,
                              0x5F000000, 0x3F7FFFFF, 0x33800000, 0x00800001};
  constexpr u64 kDoubles[] = {0,
                              1,
                              0xFFFFFFFFFFFFF,
                              0x10000000000000,
                              0x3FF0000000000000,
                              0x7FEFFFFFFFFFFFFF,
                              0x7FF0000000000000,
                              0x7FF0000000000001,
                              0x7FF8000000000001,
                              0x7FFFFFFFFFFFFFFF,
                              0x41E0000000000000,
                              0x43E0000000000000,
                              0x47EFFFFFE0000000,
                              0x36A0000000000000,
                              0x380FFFFFE0000000,
                              0x0010000000000001};
  VectorRegister value;
  const unsigned kind = random() % 5;
  for (u64& q : value.q) {
    const u64 noise = random();
    switch (kind) {
      case 0: q = noise; break;
      case 1:
        q = kSingles[noise & 15] | (noise >> 8 & 1) << 31 | u64{kSingles[noise >> 4 & 15]} << 32 |
            (noise >> 9 & 1) << 63;
        break;
      case 2: q = kDoubles[noise & 15] | (noise >> 8 & 1) << 63; break;
      case 3: {  // near one, so that sums and products round
        q = (noise & 0x007FFFFF007FFFFF) | 0x3F8000003F800000 | (noise & 0x8180000081800000);
        break;
      }
      default: q = (noise & 0x800FFFFFFFFFFFFF) | (0x3F0 + (noise >> 52 & 31)) << 52; break;
    }
  }
  return value;
}

}  // namespace xm::cpu::test
