// SPDX-License-Identifier: GPL-2.0-or-later
// native_bench SCALE...: the guest programs (engine_programs.asm) on the host's own processor, called as functions at
// the address they are made for. One scale for each program in the table's order; those with scale 0 and those that
// need the system side are left out. Prints a line for each program: its number and the CPU seconds it took.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <vector>

#include "emu/base/types.h"

namespace {

using namespace xm;

constexpr u64 kLoad = 0x100000, kEnd = 0x1800000;  // programs and their data
constexpr u32 kNeedsSystem = 1;

struct Program {
  u64 entry, scale;
  u32 flags, operations;
  char name[24];
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Programs may change every register but RSP.
void call(u64 entry, u64 scale) {
  asm volatile("push %%rbp; push %%rbx; call *%%rsi; pop %%rbx; pop %%rbp; emms"
               : "+D"(scale), "+S"(entry)
               :
               : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
                 "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                 "xmm15", "memory", "cc");
}

}  // namespace

int main(int argc, char** argv) {
  std::ifstream file(ENGINE_PROGRAMS, std::ios::binary);
  const std::vector<char> image((std::istreambuf_iterator<char>(file)), {});
  void* const place = reinterpret_cast<void*>(kLoad);
  void* const memory = mmap(place, kEnd - kLoad, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (image.empty() || memory != place) {
    std::fprintf(stderr, "native_bench: error: %s: can not be placed at 1 MiB\n", ENGINE_PROGRAMS);
    return 125;
  }
  std::copy(image.begin(), image.end(), static_cast<char*>(memory));
  const auto* program = reinterpret_cast<const Program*>(kLoad + sizeof(u64));
  for (int i = 1; i < argc && program->entry != 0; ++i, ++program) {
    const u64 scale = std::strtoull(argv[i], nullptr, 10);
    if (scale == 0 || (program->flags & kNeedsSystem) != 0) continue;
    const double start = cpu_seconds();
    call(program->entry, scale);
    std::printf("%d %.9f\n", i - 1, cpu_seconds() - start);
  }
  return 0;
}
