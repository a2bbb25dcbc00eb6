// SPDX-License-Identifier: GPL-2.0-or-later
// Decompressors for the initramfs: gzip (RFC 1951/1952) and zstd (RFC 8878). Output goes to a sink in pieces; both are
// free of hardware.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct byte_sink {
  virtual bool write(const u8* bytes, size_t n) = 0;  // false: stop

 protected:
  ~byte_sink() = default;
};
// Returns the bytes of input used, or a negative number: the data is damaged (or memory is short).
long gunzip(const u8* in, size_t n, byte_sink& out);
long unzstd(const u8* in, size_t n, byte_sink& out);

}  // namespace xm::os
