// SPDX-License-Identifier: GPL-2.0-or-later
// The decoder on arbitrary bytes: it never reads past them, never claims a length beyond 15 or beyond what it was
// given, and says the same of an instruction alone as of an instruction with bytes behind it.
#include <cstdlib>
#include <cstring>

#include "cpu/decode/decoder.h"

using namespace xm;
using namespace xm::cpu;

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
  for (CodeSize mode : {CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64}) {
    const DecodeResult result = decode({data, size}, mode);
    if (!result) continue;
    const unsigned length = result.insn.length;
    if (length == 0 || length > 15 || length > size) std::abort();
    const DecodeResult alone = decode({data, length}, mode);
    if (!alone || alone.insn.length != length || alone.insn.row != result.insn.row) std::abort();
    // Every proper prefix of an instruction is incomplete.
    for (unsigned shorter = 0; shorter < length; ++shorter) {
      if (decode({data, shorter}, mode).status != DecodeStatus::NeedMoreBytes) std::abort();
    }
  }
  return 0;
}
