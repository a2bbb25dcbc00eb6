// SPDX-License-Identifier: GPL-2.0-or-later
// cpio, gzip and zstd readers of the initramfs, against archives made by the host's tools and against damage.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "kernel/fs/cpio.h"
#include "kernel/mm/slab.h"
#include "tests/unit/guest-os/host_memory.h"

namespace xm::os {
namespace {

using Bytes = std::vector<u8>;

struct Collector final : byte_sink {
  Bytes bytes;
  bool write(const u8* p, size_t n) override {
    bytes.insert(bytes.end(), p, p + n);
    return true;
  }
};

Bytes sample(size_t n) {  // compressible, with long and short matches
  std::mt19937 random(5);
  Bytes b;
  while (b.size() < n) {
    if (random() % 4 == 0 && b.size() > 300) {
      const size_t from = random() % (b.size() - 200), length = 5 + random() % 190;
      for (size_t i = 0; i < length; ++i) b.push_back(b[from + i]);
    } else {
      for (int i = 0; i < 20; ++i) b.push_back(static_cast<u8>("etaoin shrdlu"[random() % 13]));
    }
  }
  b.resize(n);
  return b;
}

Bytes through(const std::string& command, const Bytes& in) {
  char name[] = "/tmp/guest-os-test-XXXXXX";
  const int fd = mkstemp(name);
  FILE* f = fdopen(fd, "wb");
  fwrite(in.data(), 1, in.size(), f);
  fclose(f);
  Bytes out;
  FILE* p = popen((command + " < " + name).c_str(), "r");
  u8 chunk[4096];
  for (size_t n; (n = fread(chunk, 1, sizeof chunk, p)) > 0;) out.insert(out.end(), chunk, chunk + n);
  const int status = pclose(p);
  remove(name);
  if (status != 0) out.clear();
  return out;
}

void prepare() { host_zone(); }

TEST(Gunzip, DecodesWhatGzipWrites) {
  prepare();
  for (const char* level : {"gzip -1", "gzip -9"}) {
    const Bytes plain = sample(300000), packed = through(level, plain);
    ASSERT_FALSE(packed.empty());
    Collector out;
    EXPECT_EQ(gunzip(packed.data(), packed.size(), out), static_cast<long>(packed.size()));
    EXPECT_EQ(out.bytes, plain);
  }
}

TEST(Gunzip, RefusesDamageWithoutCrashing) {
  prepare();
  const Bytes packed = through("gzip -6", sample(20000));
  std::mt19937 random(9);
  for (int i = 0; i < 300; ++i) {
    Bytes bad = packed;
    bad[10 + random() % (bad.size() - 10)] ^= static_cast<u8>(1 + random() % 255);
    Collector out;
    EXPECT_LT(gunzip(bad.data(), bad.size(), out), 0);
  }
}

TEST(Unzstd, DecodesWhatZstdWrites) {
  prepare();
  for (const char* level : {"zstd -q -1 -c", "zstd -q -9 -c", "zstd -q -19 -c"}) {
    const Bytes plain = sample(400000), packed = through(level, plain);
    if (packed.empty()) GTEST_SKIP() << "no zstd on this host";
    Collector out;
    EXPECT_EQ(unzstd(packed.data(), packed.size(), out), static_cast<long>(packed.size())) << level;
    EXPECT_TRUE(out.bytes == plain) << level;
  }
}

TEST(Unzstd, SurvivesDamage) {
  prepare();
  const Bytes packed = through("zstd -q -9 -c", sample(20000));
  if (packed.empty()) GTEST_SKIP() << "no zstd on this host";
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    Bytes bad = packed;
    bad[6 + random() % (bad.size() - 6)] ^= static_cast<u8>(1 + random() % 255);
    Collector out;
    unzstd(bad.data(), bad.size(), out);  // any answer, no crash
  }
}

struct Recorder final : cpio_visitor {
  std::string log;
  void begin(const cpio_entry& e) override {
    char text[300];
    snprintf(text, sizeof text, "%s %o %u;", e.name, e.mode, e.size);
    log += text;
  }
  void data(const cpio_entry&, const u8* p, u32 n) override { log.append(reinterpret_cast<const char*>(p), n); }
  void end(const cpio_entry&) override { log += "|"; }
};

std::string entry(const std::string& name, u32 mode, const std::string& data) {
  char head[128];
  snprintf(head, sizeof head, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 1, mode, 0, 0, 1, 0,
           data.size(), 0, 0, 0, 0, name.size() + 1, 0);
  std::string out = head + name + '\0';
  out.resize((out.size() + 3) & ~3ul);
  out += data;
  out.resize((out.size() + 3) & ~3ul);
  return out;
}

TEST(Cpio, ReadsEntriesWhateverThePieces) {
  const std::string archive = entry("dir", 040755, "") + entry("dir/file", 0100644, "hello") +
                              entry("TRAILER!!!", 0, "") + std::string(100, '\0');
  for (size_t step : {1u, 3u, 7u, 110u, 1000u}) {
    Recorder recorder;
    cpio_reader reader(recorder);
    for (size_t at = 0; at < archive.size(); at += step) {
      const size_t n = std::min(step, archive.size() - at);
      EXPECT_TRUE(reader.write(reinterpret_cast<const u8*>(archive.data()) + at, n));
    }
    EXPECT_EQ(recorder.log, "dir 40755 0;|dir/file 100644 5;hello|") << step;
    EXPECT_TRUE(reader.finished());
  }
}

TEST(Cpio, RefusesABadHeader) {
  Recorder recorder;
  cpio_reader reader(recorder);
  const std::string bad = "0707zz" + std::string(200, '0');
  EXPECT_FALSE(reader.write(reinterpret_cast<const u8*>(bad.data()), bad.size()));
  EXPECT_TRUE(reader.damaged());
}

}  // namespace
}  // namespace xm::os
