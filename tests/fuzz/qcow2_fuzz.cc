// SPDX-License-Identifier: GPL-2.0-or-later
// A qcow2 file of arbitrary bytes: opened, checked, read, written and repaired without a signal. Seeds: any small
// images, e.g. of `xiaoma img create -f qcow2 -o cluster_size=512 seed 64k`.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "emu/host/image_file.h"
#include "emu/host/qcow2/check.h"

using namespace xm;
using namespace xm::host;

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
  const int fd = memfd_create("qcow2", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) return 0;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  for (const bool repair : {false, true}) {
    ImageOptions options;
    options.format = "qcow2";
    options.with_backing = false;
    options.no_flush = true;
    options.locking = false;
    options.ignore_dirty = repair;
    auto opened = open_image(path, options);
    if (!opened.ok()) continue;
    BlockImage& image = **opened;
    std::vector<u8> bytes(4096);
    for (u64 at = 0; at + bytes.size() <= std::min<u64>(image.size_bytes(), 1 << 18); at += bytes.size()) {
      (void)image.read(at, {std::span(bytes)});
      if (at % 16384 == 0) (void)image.write(at, {std::span(bytes)});
    }
    (void)image.flush();
    (void)Qcow2Checker(dynamic_cast<Qcow2Image&>(image)).check(repair ? CheckRepair::All : CheckRepair::None).ok();
  }
  close(fd);
  return 0;
}
