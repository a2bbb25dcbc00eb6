// SPDX-License-Identifier: GPL-2.0-or-later
// The host's processor as the reference. The signal frame's layout is Linux's [man 7 signal, asm/sigcontext.h]; the FPU
// part of it is an XSAVE area in standard format [SDM1 13.4].
#include "tests/cpu/silicon/native.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "emu/base/bits.h"

namespace xm::cpu::silicon {
namespace {

constexpr unsigned kXsaveHeader = 512, kXsaveYmm = 576;  // CPUID.(0DH,2):EBX is 576 wherever AVX exists
constexpr u64 kXsaveComponents = 7;
constexpr u64 kUserFlags = flag::kStatus | flag::kDf | flag::kTf | flag::kAc | flag::kRf;

struct Slot {
  TestCase test;
  Outcome outcome;
};

// Shared between parent and child, and read by the signal handler: the one place where a global is needed.
struct Batch {
  u64 count = 0;
  u64 next = 0;  // test to start next
  bool running = false;
  u8* code_alias = nullptr;
  Slot slots[1];
};
Batch* g_batch = nullptr;

constexpr int kGregOf[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

void put_vector_state(const UserState& state, u8* area) {
  const X87State& x87 = state.x87;
  const unsigned top = (x87.status >> 11) & 7;
  std::memset(area, 0, 464);  // bytes 464..511 are the kernel's
  store_le(area, x87.control);
  store_le(area + 2, x87.status);
  area[4] = x87.tag_valid;
  store_le(area + 6, x87.opcode);
  store_le(area + 8, x87.instruction_pointer);
  store_le(area + 16, x87.data_pointer);
  store_le(area + 24, state.mxcsr);
  for (unsigned i = 0; i < 8; ++i) {
    const X87Register& reg = x87.reg[(top + i) & 7];
    store_le(area + 32 + 16 * i, reg.significand);
    store_le(area + 40 + 16 * i, reg.sign_exponent);
  }
  for (unsigned i = 0; i < 16; ++i) {
    std::memcpy(area + 160 + 16 * i, &state.vector[i].q[0], 16);
    std::memcpy(area + kXsaveYmm + 16 * i, &state.vector[i].q[2], 16);
  }
  store_le(area + kXsaveHeader, kXsaveComponents);
}

void get_vector_state(UserState& state, const u8* area) {
  const u64 present = load_le<u64>(area + kXsaveHeader);
  X87State& x87 = state.x87;
  x87 = X87State{};
  if (present & 1) {
    x87.control = load_le<u16>(area);
    x87.status = load_le<u16>(area + 2);
    x87.tag_valid = area[4];
    x87.opcode = load_le<u16>(area + 6);
    x87.instruction_pointer = load_le<u64>(area + 8);
    x87.data_pointer = load_le<u64>(area + 16);
    const unsigned top = (x87.status >> 11) & 7;
    for (unsigned i = 0; i < 8; ++i) {
      X87Register& reg = x87.reg[(top + i) & 7];
      reg.significand = load_le<u64>(area + 32 + 16 * i);
      reg.sign_exponent = load_le<u16>(area + 40 + 16 * i);
    }
  }
  state.mxcsr = load_le<u32>(area + 24);
  for (unsigned i = 0; i < 16; ++i) {
    VectorRegister& reg = state.vector[i];
    reg = VectorRegister{};
    if (present & 2) std::memcpy(&reg.q[0], area + 160 + 16 * i, 16);
    if (present & 4) std::memcpy(&reg.q[2], area + kXsaveYmm + 16 * i, 16);
  }
}

void store_outcome(const ucontext_t& context, Slot& slot) {
  Outcome& outcome = slot.outcome;
  const greg_t* gregs = context.uc_mcontext.gregs;
  outcome.ran = true;
  outcome.vector = static_cast<u8>(gregs[REG_TRAPNO]);
  outcome.error_code = static_cast<u32>(gregs[REG_ERR]);
  outcome.fault_address = static_cast<u64>(gregs[REG_CR2]);
  for (unsigned i = 0; i < 16; ++i) outcome.state.gpr[i] = static_cast<u64>(gregs[kGregOf[i]]);
  outcome.state.rip = static_cast<u64>(gregs[REG_RIP]);
  outcome.state.rflags = static_cast<u64>(gregs[REG_EFL]);
  get_vector_state(outcome.state, reinterpret_cast<const u8*>(context.uc_mcontext.fpregs));
  std::memcpy(outcome.data.data(), reinterpret_cast<const void*>(kDataBase), kDataBytes);
}

void start_test(ucontext_t& context, const TestCase& test, DataPages& data) {
  fill_data(test, data);
  std::memcpy(reinterpret_cast<void*>(kDataBase), data.data(), kDataBytes);
  std::memset(g_batch->code_alias, 0xCC, kCodeBytes);
  std::memcpy(g_batch->code_alias + test.code_offset, test.code.data(), test.code_length);
  greg_t* gregs = context.uc_mcontext.gregs;
  for (unsigned i = 0; i < 16; ++i) gregs[kGregOf[i]] = static_cast<greg_t>(test.state.gpr[i]);
  gregs[REG_RIP] = static_cast<greg_t>(test.state.rip);
  gregs[REG_EFL] =
      static_cast<greg_t>((static_cast<u64>(gregs[REG_EFL]) & ~kUserFlags) | (test.state.rflags & kUserFlags));
  const u64 cs = test.mode == CodeSize::Bits64 ? kUserCs64 : kUserCs32;
  gregs[REG_CSGSFS] = static_cast<greg_t>((static_cast<u64>(gregs[REG_CSGSFS]) & ~u64{0xFFFF}) | cs);
  // The kernel leaves DS and ES alone; 64-bit code does not care and 32-bit code needs flat ones.
  __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(static_cast<u32>(kUserData)));
  put_vector_state(test.state, reinterpret_cast<u8*>(context.uc_mcontext.fpregs));
}

// A test that runs on and on kills its child, never while the handler runs. Processor time, not wall time: kernels
// delay each locked access across cache lines by milliseconds.
void limit_test() {
  const itimerval limit{.it_interval = {}, .it_value = {.tv_sec = 2, .tv_usec = 0}};
  setitimer(ITIMER_VIRTUAL, &limit, nullptr);
}

void on_signal(int, siginfo_t*, void* raw_context) {
  // A test may have set AC, which the kernel leaves set for handlers: no unaligned access before this. Its ID and NT
  // would stay set in the tests to come, because the return from the handler does not load them.
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(flag::kAc | flag::kId | flag::kNt));
  auto& context = *static_cast<ucontext_t*>(raw_context);
  Batch& batch = *g_batch;
  if (batch.running) store_outcome(context, batch.slots[batch.next++]);
  batch.running = true;
  if (batch.next >= batch.count) _exit(0);
  Slot& slot = batch.slots[batch.next];
  start_test(context, slot.test, slot.outcome.data);
  limit_test();
}

[[noreturn]] void child_main() {
  constexpr std::size_t kStackBytes = 256 * 1024;
  static u8 stack[kStackBytes];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = kStackBytes;
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (int signal : {SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS}) sigaction(signal, &action, nullptr);
  struct sigaction killing {};
  killing.sa_handler = SIG_DFL;
  sigaction(SIGVTALRM, &killing, nullptr);
  syscall(SYS_arch_prctl, ARCH_SET_GS, kGsBase);
  __asm__ volatile("int3");
  _exit(1);
}

}  // namespace

Native::Native() {
  const int file = memfd_create("silicon-code", 0);
  if (file < 0 || ftruncate(file, kCodeBytes) != 0) return;
  void* code = mmap(reinterpret_cast<void*>(kCodeBase), kCodeBytes, PROT_READ | PROT_EXEC,
                    MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
  void* alias = mmap(nullptr, kCodeBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  void* data = mmap(reinterpret_cast<void*>(kDataBase), kDataBytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (code == MAP_FAILED || alias == MAP_FAILED || data == MAP_FAILED) return;
  code_alias_ = static_cast<u8*>(alias);
  fill_data({}, *std::make_unique<DataPages>());  // builds the pool before the first signal handler needs it
  ok_ = true;
}

Native::~Native() {
  if (!ok_) return;
  munmap(reinterpret_cast<void*>(kCodeBase), kCodeBytes);
  munmap(reinterpret_cast<void*>(kDataBase), kDataBytes);
  munmap(code_alias_, kCodeBytes);
}

std::vector<Outcome> Native::run(std::span<const TestCase> tests) {
  std::vector<Outcome> outcomes(tests.size());
  if (!ok_ || tests.empty()) return outcomes;
  const std::size_t bytes = sizeof(Batch) + sizeof(Slot) * tests.size();
  void* shared = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return outcomes;
  g_batch = static_cast<Batch*>(shared);
  g_batch->count = tests.size();
  g_batch->code_alias = code_alias_;
  for (std::size_t i = 0; i < tests.size(); ++i) g_batch->slots[i].test = tests[i];
  while (g_batch->next < g_batch->count) {
    g_batch->running = false;
    const pid_t child = fork();
    if (child == 0) child_main();
    if (child < 0) break;
    int status = 0;
    waitpid(child, &status, 0);
    if (g_batch->next < g_batch->count) ++g_batch->next;  // that test killed its child
  }
  for (std::size_t i = 0; i < tests.size(); ++i) outcomes[i] = g_batch->slots[i].outcome;
  munmap(shared, bytes);
  g_batch = nullptr;
  return outcomes;
}

bool Native::has(Feature feature) {
  if (feature == Feature::Base) return true;
  const FeatureBit bit = feature_bit(feature);
  unsigned regs[4] = {};
  if (!__get_cpuid_count(bit.leaf, bit.subleaf, &regs[0], &regs[1], &regs[2], &regs[3])) return false;
  return ((regs[static_cast<unsigned>(bit.reg)] >> bit.bit) & 1) != 0;
}

}  // namespace xm::cpu::silicon
