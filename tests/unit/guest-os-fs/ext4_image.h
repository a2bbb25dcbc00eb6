// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 images of mke2fs in memory, a device over them with a volatile write cache, and e2fsck as the judge.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "kernel/fs/ext4/journal.h"

namespace xm::os {

inline std::filesystem::path test_dir() {
  const std::filesystem::path dir =
      std::filesystem::path("/tmp") / ("xm_ext4_" + std::to_string(getuid()) + "_" + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  return dir;
}

inline std::vector<char> make_image(const std::string& options, const std::string& size, const std::string& root = "") {
  const std::filesystem::path image = test_dir() / "image";
  std::filesystem::remove(image);
  const std::string command = "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -F -t ext4 " + options +
                              (root.empty() ? "" : " -d " + root) + " " + image.string() + " " + size;
  if (std::system(command.c_str()) != 0) return {};
  std::ifstream in(image, std::ios::binary);
  return std::vector<char>(std::istreambuf_iterator<char>(in), {});
}

// Exit status of e2fsck -fn; its words go to *report.
inline int run_e2fsck(const std::vector<char>& bytes, std::string* report, const std::string& options = "-fn") {
  const std::filesystem::path image = test_dir() / "checked", out = test_dir() / "report";
  std::ofstream(image, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const std::string command =
      "PATH=$PATH:/sbin:/usr/sbin e2fsck " + options + " " + image.string() + " > " + out.string() + " 2>&1";
  const int status = std::system(command.c_str());
  std::ifstream in(out);
  report->assign(std::istreambuf_iterator<char>(in), {});
  return WEXITSTATUS(status);
}

// Writes lie in a cache until a flush; a power cut keeps some of them.
struct MemoryDevice final : ext4_device {
  std::vector<char> bytes;
  struct Pending {
    u64 offset;
    std::vector<char> old;
  };
  std::vector<Pending> unflushed;
  u32 unit = 1024;
  bool recording = false;
  u64 writes = 0;

  int set_block_size(u32 size) override {
    unit = size;
    return 0;
  }
  int read(u64 block, u8* to) override {
    if ((block + 1) * unit > bytes.size()) return -EIO;
    memcpy(to, bytes.data() + block * unit, unit);
    return 0;
  }
  int write(const ext4_write* list, u32 count) override {
    for (u32 i = 0; i < count; ++i) {
      if ((list[i].block + 1) * unit > bytes.size()) return -EIO;
      char* at = bytes.data() + list[i].block * unit;
      if (recording) unflushed.push_back({list[i].block * unit, std::vector<char>(at, at + unit)});
      memcpy(at, list[i].data, unit);
      ++writes;
    }
    return 0;
  }
  int flush() override {
    unflushed.clear();
    return 0;
  }
  // What a disk that loses power may hold: each unflushed write happened or not.
  std::vector<char> cut(std::mt19937& random) const {
    std::vector<char> image = bytes;
    for (size_t i = unflushed.size(); i-- > 0;) {
      if (random() % 2 == 0) memcpy(image.data() + unflushed[i].offset, unflushed[i].old.data(), unit);
    }
    return image;
  }
};

}  // namespace xm::os
