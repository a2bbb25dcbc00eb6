// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 images of mke2fs read by the guest kernel's code, damaged ones refused; partition tables.
#include "kernel/fs/ext4/ext4.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "kernel/block/partitions.h"

namespace xm::os {
namespace {

struct MemorySource final : ext4_source {
  std::vector<char> bytes;
  int read(u64 offset, void* to, u32 length) const override {
    if (offset + length > bytes.size()) return -EIO;
    memcpy(to, bytes.data() + offset, length);
    return 0;
  }
};

std::string big_content() {
  std::string s;
  for (int i = 0; i < 60000; ++i) s += std::to_string(i * 7);
  return s;
}

// An image with a file, a sparse file and a directory of 300 entries.
class Ext4Image : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::filesystem::path dir =
        std::filesystem::path(::testing::TempDir()) / ("xm_ext4_" + std::to_string(getpid()));
    std::filesystem::remove_all(dir);
    std::filesystem::create_directories(dir / "root/many");
    std::ofstream(dir / "root/big") << big_content();
    std::ofstream(dir / "root/sparse").seekp(3000000) << "end";
    for (int i = 0; i < 300; ++i) std::ofstream(dir / "root/many" / ("entry-number-" + std::to_string(i))) << i;
    const std::string command = "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -F -t ext4 " + std::string(GetParam()) + " -d " +
                                (dir / "root").string() + " " + (dir / "image").string() + " 16M";
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::ifstream in(dir / "image", std::ios::binary);
    source.bytes.assign(std::istreambuf_iterator<char>(in), {});
    std::filesystem::remove_all(dir);
    ASSERT_EQ(ext4_read_super(g, source), 0);
  }

  ext4_body body(u32 ino) {
    ext4_inode raw;
    EXPECT_EQ(ext4_read_inode(g, ino, raw), 0);
    return ext4_body_of(ino, raw);
  }
  std::string content(const ext4_body& b) {
    std::string out(b.size, '\0');
    for (u64 at = 0; at < b.size;) {
      ext4_run run{};
      EXPECT_EQ(ext4_map(g, b, static_cast<u32>(at >> g.block_bits), run), 0);
      const u64 n = std::min<u64>(b.size - at, static_cast<u64>(run.count) << g.block_bits);
      if (n == 0) break;
      const int error =
          run.physical == 0 ? 0 : source.read(run.physical << g.block_bits, out.data() + at, static_cast<u32>(n));
      EXPECT_EQ(error, 0);
      at += n;
    }
    return out;
  }
  std::map<std::string, u32> list(const ext4_body& dir) {
    std::map<std::string, u32> names;
    const std::string all = content(dir);
    int error = 0;
    for (u64 at = 0; at < all.size(); at += g.block_size) {
      const u8* block = reinterpret_cast<const u8*>(all.data() + at);
      EXPECT_EQ(ext4_check_dir_block(g, dir, block), 0);
      ext4_dir_cursor cursor{block, g.block_size, 0};
      while (const ext4_dir_entry* e = ext4_next_entry(g, cursor, &error)) names[{e->name, e->name_len}] = e->inode;
    }
    EXPECT_EQ(error, 0);
    return names;
  }

  MemorySource source;
  ext4_geometry g;
};

TEST_P(Ext4Image, ReadsFilesAndDirectories) {
  const auto root = list(body(EXT4_ROOT_INO));
  ASSERT_TRUE(root.count("big") && root.count("sparse") && root.count("many") && root.count("lost+found"));
  EXPECT_EQ(content(body(root.at("big"))), big_content());
  EXPECT_EQ(content(body(root.at("sparse"))), std::string(3000000, '\0') + "end");
  const auto many = list(body(root.at("many")));
  EXPECT_EQ(many.size(), 302u);
  EXPECT_EQ(content(body(many.at("entry-number-217"))), "217");
}

TEST_P(Ext4Image, RefusesDamage) {
  MemorySource damaged = source;
  damaged.bytes[1024 + 0x38] ^= 1;  // magic
  ext4_geometry other;
  EXPECT_EQ(ext4_read_super(other, damaged), -EINVAL);
  ext4_inode raw;
  EXPECT_EQ(ext4_read_inode(g, 0, raw), -EUCLEAN);
  EXPECT_EQ(ext4_read_inode(g, ~0u, raw), -EUCLEAN);
  if (!g.has_checksums) return;
  damaged = source;
  damaged.bytes[1024 + 0x78] ^= 1;  // volume name: only the checksum tells
  EXPECT_EQ(ext4_read_super(other, damaged), -EUCLEAN);
  ext4_group_desc desc;
  ASSERT_EQ(ext4_read_group(g, 0, desc), 0);
  source.bytes[(static_cast<u64>(desc.bg_inode_table_lo) << g.block_bits) + g.inode_size + 8] ^= 1;  // root's atime
  EXPECT_EQ(ext4_read_inode(g, EXT4_ROOT_INO, raw), -EUCLEAN);
}

INSTANTIATE_TEST_SUITE_P(Forms, Ext4Image,
                         ::testing::Values("-b 4096", "-b 1024", "-b 1024 -O ^extents,^64bit,^metadata_csum",
                                           "-b 4096 -O meta_bg,^resize_inode"));

struct SectorReader final : partition_reader {
  std::map<u64, std::vector<u8>> sectors;
  bool read(u64 sector, u8* to) const override {
    const auto it = sectors.find(sector);
    if (it == sectors.end()) return false;
    memcpy(to, it->second.data(), 512);
    return true;
  }
  void entry(u64 sector, u32 index, u8 type, u32 start, u32 count) {
    std::vector<u8>& s = sectors[sector];
    s.resize(512);
    s[510] = 0x55;
    s[511] = 0xaa;
    u8* e = s.data() + 446 + index * 16;
    e[4] = type;
    memcpy(e + 8, &start, 4);
    memcpy(e + 12, &count, 4);
  }
};

TEST(Partitions, PrimaryAndLogical) {
  SectorReader r;
  r.entry(0, 0, 0x83, 2048, 4096);
  r.entry(0, 1, 0x05, 8192, 8192);
  r.entry(8192, 0, 0x83, 63, 1000);
  r.entry(8192, 1, 0x05, 4096, 4096);
  r.entry(12288, 0, 0x82, 63, 100000);  // longer than the disk
  partition_entry found[15];
  u32 signature = 0;
  ASSERT_EQ(scan_mbr(r, 20000, found, 15, &signature), 4u);
  EXPECT_EQ(found[0].start, 2048u);
  EXPECT_EQ(found[2].number, 5u);
  EXPECT_EQ(found[2].start, 8192u + 63);
  EXPECT_EQ(found[3].sectors, 20000u - 12351);
}

TEST(Partitions, ChainThatTurnsBackEnds) {
  SectorReader r;
  r.entry(0, 0, 0x05, 100, 1000);
  r.entry(100, 1, 0x05, 50, 50);
  r.entry(150, 0, 0x83, 1, 10);
  r.entry(150, 1, 0x05, 50, 50);
  partition_entry found[15];
  u32 signature = 0;
  EXPECT_LE(scan_mbr(r, 20000, found, 15, &signature), 15u);
}

}  // namespace
}  // namespace xm::os
