// SPDX-License-Identifier: GPL-2.0-or-later
// Qcow2Checker: compares what a qcow2 file refers to with what it counts, and repairs it.
#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "emu/host/qcow2/qcow2_image.h"

namespace xm::host {

enum class CheckRepair : u8 { None, Leaks, All };

struct CheckResult {
  u64 corruptions = 0, leaks = 0, check_errors = 0;  // left after repairs
  u64 corruptions_fixed = 0, leaks_fixed = 0;
  u64 total_clusters = 0, allocated_clusters = 0, fragmented_clusters = 0, compressed_clusters = 0;
  u64 image_end_offset = 0;
  std::vector<std::string> messages;  // one line each, in the order found (at most kMaxMessages)
  static constexpr std::size_t kMaxMessages = 10000;
};

class Qcow2Checker {
 public:
  // No request may be in flight.
  explicit Qcow2Checker(Qcow2Image& image) : image_(image) {}
  // Errors are those of the host; what is wrong with the image is in the result.
  Result<CheckResult> check(CheckRepair repair);

 private:
  // References by cluster, in pieces, because a file may have holes of any size.
  class Counts {
   public:
    void add(u64 cluster, u64 count = 1) { at(cluster) += static_cast<u32>(count); }
    u32 get(u64 cluster) const {
      const auto found = pieces_.find(cluster / kPiece);
      return found == pieces_.end() ? 0 : found->second[cluster % kPiece];
    }
    u64 end() const { return end_; }
    std::vector<u64> pieces() const {
      std::vector<u64> numbers;
      for (const auto& [number, counts] : pieces_) numbers.push_back(number);
      return numbers;
    }
    static constexpr u64 kPiece = 2048;

   private:
    u32& at(u64 cluster) {
      end_ = std::max(end_, cluster + 1);
      std::vector<u32>& piece = pieces_[cluster / kPiece];
      if (piece.empty()) piece.resize(kPiece);
      return piece[cluster % kPiece];
    }
    std::unordered_map<u64, std::vector<u32>> pieces_;
    u64 end_ = 0;
  };

  void say(const std::string& text);
  void corruption(const std::string& text);
  bool add_range(u64 offset, u64 bytes, const char* what);
  void walk(const std::vector<u64>& l1, bool active, bool fix);
  void check_entry(u64 entry, u64 bitmap, bool active, u64 table, u64 index, bool fix);
  void count_metadata();
  void count_bitmaps();
  std::vector<u64> pieces_to_compare() const;
  void compare(bool fix_leaks, bool fix_all);
  void compare_cluster(u64 cluster, bool fix_leaks, bool fix_all);
  void check_copied(bool fix);
  Result<void> rebuild();

  Qcow2Image& image_;
  CheckResult result_;
  Counts counts_;
  u64 file_clusters_ = 0;
  u64 last_data_end_ = 0;
  bool table_damaged_ = false;
  bool io_error_ = false;
};

}  // namespace xm::host
