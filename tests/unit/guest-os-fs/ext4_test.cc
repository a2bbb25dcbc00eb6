// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 images of mke2fs read by the guest kernel's code, damaged ones refused; partition tables.
#include <gtest/gtest.h>

#include <map>

#include "kernel/block/partitions.h"
#include "tests/unit/guest-os-fs/ext4_image.h"

namespace xm::os {
namespace {

std::string big_content() {
  std::string s;
  for (int i = 0; i < 60000; ++i) s += std::to_string(i * 7);
  return s;
}

// An image with a file, a sparse file and a directory of 300 entries.
class Ext4Image : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::filesystem::path root = test_dir() / "root";
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root / "many");
    std::ofstream(root / "big") << big_content();
    std::ofstream(root / "sparse").seekp(3000000) << "end";
    for (int i = 0; i < 300; ++i) std::ofstream(root / "many" / ("entry-number-" + std::to_string(i))) << i;
    device.bytes = make_image(GetParam(), "16M", root.string());
    ASSERT_FALSE(device.bytes.empty());
    ASSERT_EQ(ext4_open(fs, device), 0);
  }
  void TearDown() override { ext4_close(fs, 0); }

  void read_body(u32 ino, ext4_body& b) {
    ext4_inode raw;
    ASSERT_EQ(ext4_read_inode(fs, ino, raw), 0);
    ext4_fill_body(fs, ino, raw, b);
  }
  std::string content(u32 ino) {
    ext4_body b;
    read_body(ino, b);
    std::string out(b.size, '\0');
    for (u64 at = 0; at < b.size;) {
      ext4_run run{};
      EXPECT_EQ(ext4_map(fs, b, static_cast<u32>(at >> fs.block_bits), run), 0);
      const u64 n = std::min<u64>(b.size - at, static_cast<u64>(run.count) << fs.block_bits);
      if (n == 0) break;
      if (run.physical != 0) memcpy(out.data() + at, device.bytes.data() + (run.physical << fs.block_bits), n);
      at += n;
    }
    return out;
  }
  std::map<std::string, u32> list(u32 ino) {
    std::map<std::string, u32> names;
    ext4_body dir;
    read_body(ino, dir);
    int error = 0;
    for (u32 i = 0; i < dir.size >> fs.block_bits; ++i) {
      ext4_ref block;
      EXPECT_EQ(ext4_dir_block(fs, dir, i, block), 0);
      ext4_dir_cursor cursor{block.data(), fs.block_size, 0};
      while (const ext4_dir_entry* e = ext4_next_entry(fs, cursor, &error)) names[{e->name, e->name_len}] = e->inode;
    }
    EXPECT_EQ(error, 0);
    return names;
  }

  MemoryDevice device;
  ext4_fs fs;
};

TEST_P(Ext4Image, ReadsFilesAndDirectories) {
  const auto root = list(EXT4_ROOT_INO);
  ASSERT_TRUE(root.count("big") && root.count("sparse") && root.count("many") && root.count("lost+found"));
  EXPECT_EQ(content(root.at("big")), big_content());
  EXPECT_EQ(content(root.at("sparse")), std::string(3000000, '\0') + "end");
  const auto many = list(root.at("many"));
  EXPECT_EQ(many.size(), 302u);
  EXPECT_EQ(content(many.at("entry-number-217")), "217");
}

TEST_P(Ext4Image, FindsNamesByTheIndexThatMke2fsMade) {
  ext4_body dir;
  const u32 ino = list(EXT4_ROOT_INO).at("many");
  read_body(ino, dir);
  for (const auto& [name, expected] : list(ino)) {
    u32 found = 0;
    ASSERT_EQ(ext4_find_entry(fs, dir, name.data(), static_cast<u32>(name.size()), &found), 0);
    EXPECT_EQ(found, expected) << name;
  }
  u32 found = 1;
  EXPECT_EQ(ext4_find_entry(fs, dir, "entry-number-300", 16, &found), 0);
  EXPECT_EQ(found, 0u);
}

TEST_P(Ext4Image, RefusesDamage) {
  const auto opens = [](const std::vector<char>& bytes) {
    MemoryDevice damaged;
    damaged.bytes = bytes;
    ext4_fs other;
    const int error = ext4_open(other, damaged);
    if (error == 0) ext4_close(other, 0);
    return error;
  };
  std::vector<char> bytes = device.bytes;
  bytes[1024 + 0x38] ^= 1;  // magic
  EXPECT_EQ(opens(bytes), -EINVAL);
  ext4_inode raw;
  EXPECT_EQ(ext4_read_inode(fs, 0, raw), -EUCLEAN);
  EXPECT_EQ(ext4_read_inode(fs, ~0u, raw), -EUCLEAN);
  if (!fs.has_checksums) return;
  bytes = device.bytes;
  bytes[1024 + 0x78] ^= 1;  // volume name: only the checksum tells
  EXPECT_EQ(opens(bytes), -EUCLEAN);
  ext4_buffer* table;
  const u64 inodes = ext4_desc(fs, 0, &table)->bg_inode_table_lo;
  device.bytes[(inodes << fs.block_bits) + fs.inode_size + 8] ^= 1;  // root's atime
  EXPECT_EQ(ext4_read_inode(fs, EXT4_ROOT_INO, raw), -EUCLEAN);
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
