// SPDX-License-Identifier: GPL-2.0-or-later
// A few instructions on the host's own CPU and on the interpreter's handlers, from the same register values, for tests
// of the vector and x87 families. They use registers 0 to 3, RAX, RCX, RDX and memory at [RSI].
#pragma once

#include <array>
#include <optional>
#include <random>
#include <vector>

#include "cpu/state/cpu_state.h"
#include "cpu/vcpu/fault.h"

namespace xm::cpu::test {

struct FpValues {
  std::array<VectorRegister, 4> vector{};
  std::array<u8, 64> memory{};  // aligned to 32 bytes
  std::array<u64, 4> mmx{};
  std::array<u8, 108> x87{};  // an FNSAVE image, 32-bit protected format
  u64 rax = 0, rcx = 0, rdx = 0, flags = 2;
  u32 mxcsr = 0x1F80;
  bool resident = false;  // guest only: the host holds the guest's environment before the instruction
  bool faulted = false;   // SIGFPE, or #XM
};

// What is loaded and stored besides the vector registers.
enum class Besides : u8 { Nothing, Mmx, X87 };

// Loads, executes and stores on the host.
FpValues run_on_host(const std::vector<u8>& code, const FpValues& start, Besides besides);

class GuestFp {
 public:
  GuestFp();
  ~GuestFp();
  // nullopt if there is no handler for an instruction.
  std::optional<FpValues> run(const std::vector<u8>& code, const FpValues& start, Besides besides);
  Fault last_fault() const;

 private:
  struct Parts;
  Parts* parts_;
};

// Numbers that matter: zeros, denormals, limits, infinities, both kinds of NaN, in single and double, and noise.
VectorRegister interesting_vector(std::mt19937_64& random);

}  // namespace xm::cpu::test
