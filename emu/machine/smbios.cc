// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/smbios.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace xm::machine {

namespace {

// One structure after another; each ends with its strings and an extra zero.
class Structures {
 public:
  void begin(u8 type, u16 handle) {
    start_ = bytes_.size();
    strings_.clear();
    count_++;
    number(type, 1).number(0, 1).number(handle, 2);
  }
  Structures& number(u64 value, unsigned size_bytes) {
    for (unsigned i = 0; i < size_bytes; i++, value >>= 8) bytes_.push_back(static_cast<u8>(value));
    return *this;
  }
  Structures& text(std::string_view text) {
    strings_.emplace_back(text);
    return number(strings_.size(), 1);
  }
  Structures& raw(const std::vector<u8>& data) {
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return *this;
  }
  void end() {
    bytes_[start_ + 1] = static_cast<u8>(bytes_.size() - start_);
    for (const std::string& string : strings_) {
      bytes_.insert(bytes_.end(), string.begin(), string.end());
      bytes_.push_back(0);
    }
    if (strings_.empty()) bytes_.push_back(0);
    bytes_.push_back(0);
    largest_ = std::max(largest_, bytes_.size() - start_);
  }
  std::vector<u8>& bytes() { return bytes_; }
  std::size_t count() const { return count_; }
  std::size_t largest() const { return largest_; }

 private:
  std::vector<u8> bytes_;
  std::vector<std::string> strings_;
  std::size_t start_ = 0;
  std::size_t count_ = 0;
  std::size_t largest_ = 0;
};

// Text form to bytes; the first three fields are little-endian [SMBIOS 7.2.1].
std::vector<u8> parse_uuid(const std::string& text) {
  std::vector<u8> bytes(16, 0);
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), [](char c) { return c != '-'; });
  if (digits.size() != 32) return bytes;
  static constexpr unsigned kOrder[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  for (unsigned i = 0; i < 16; i++)
    bytes[kOrder[i]] = static_cast<u8>(std::stoul("0x0" + digits.substr(2 * i, 2), nullptr, 16));
  return bytes;
}

void add_processors(Structures& out, unsigned cpus) {
  for (unsigned cpu = 0; cpu < cpus; cpu++) {
    out.begin(4, static_cast<u16>(0x400 + cpu));
    out.text("CPU " + std::to_string(cpu)).number(3, 1).number(1, 1).text("Xiaoma");
    out.number(0, 8).text("virtual").number(0, 1).number(0, 2).number(2000, 2).number(2000, 2);
    out.number(0x41, 1).number(1, 1).number(0xFFFF, 2).number(0xFFFF, 2).number(0xFFFF, 2);
    out.number(0, 1).number(0, 1).number(0, 1).number(1, 1).number(1, 1).number(1, 1).number(4, 2).number(2, 2);
    out.number(1, 2).number(1, 2).number(1, 2);
    out.end();
  }
}

void add_memory(Structures& out, const SmbiosConfig& config) {
  out.begin(16, 0x1000);
  const u64 kib = config.memory_bytes >> 10;
  out.number(1, 1).number(3, 1).number(6, 1).number(std::min<u64>(kib, 0x80000000), 4).number(0xFFFE, 2).number(1, 2);
  out.number(kib >= 0x80000000 ? config.memory_bytes : 0, 8);
  out.end();

  out.begin(17, 0x1100);
  const u64 mib = config.memory_bytes >> 20;
  out.number(0x1000, 2).number(0xFFFE, 2).number(64, 2).number(64, 2).number(std::min<u64>(mib, 0x7FFF), 2);
  out.number(9, 1).number(0, 1).text("DIMM 0").number(0, 1).number(7, 1).number(2, 2).number(0, 2);
  out.text("Xiaoma").number(0, 3).number(0, 1).number(mib > 0x7FFF ? mib : 0, 4).number(0, 8);
  out.end();

  const auto range = [&](u16 handle, u64 first, u64 bytes) {
    out.begin(19, handle);
    out.number(first >> 10, 4).number((first + bytes - 1) >> 10, 4).number(0x1000, 2).number(1, 1).number(0, 16);
    out.end();
  };
  range(0x1300, 0, config.below_4g_bytes);
  if (config.memory_bytes > config.below_4g_bytes)
    range(0x1301, u64{1} << 32, config.memory_bytes - config.below_4g_bytes);
}

std::vector<u8> make_anchor(const Structures& structures, std::size_t length) {
  std::vector<u8> anchor{'_', 'S', 'M', '_', 0, 0x1F, 2, 8};
  const auto number = [&](u64 value, unsigned size) {
    for (unsigned i = 0; i < size; i++) anchor.push_back(static_cast<u8>(value >> (8 * i)));
  };
  number(structures.largest(), 2);
  number(0, 6);
  for (const char c : {'_', 'D', 'M', 'I', '_', '\0'}) anchor.push_back(static_cast<u8>(c));
  number(length, 2);
  number(0, 4);  // the firmware puts the address here
  number(structures.count(), 2);
  number(0x28, 1);
  return anchor;
}

}  // namespace

SmbiosFiles build_smbios(const SmbiosConfig& config) {
  Structures out;
  out.begin(0, 0);
  out.text("Xiaoma").text("0.1").number(0xE800, 2).text("01/01/2026").number(0, 1).number(0x08, 8).number(0x1C00, 2);
  out.number(0, 1).number(1, 1).number(0xFF, 1).number(0xFF, 1);
  out.end();

  out.begin(1, 0x100);
  out.text("Xiaoma").text("Standard PC (i440FX + PIIX)").text("0.1").number(0, 1).raw(parse_uuid(config.uuid));
  out.number(6, 1).number(0, 1).number(0, 1);
  out.end();

  out.begin(3, 0x300);
  out.text("Xiaoma").number(1, 1).text("0.1").number(0, 1).number(0, 1).number(3, 1).number(3, 1).number(3, 1).number(
      2, 1);
  out.number(0, 4).number(0, 1).number(0, 1).number(0, 1).number(0, 1).number(0, 1);
  out.end();

  add_processors(out, config.cpus);
  add_memory(out, config);
  out.begin(32, 0x2000);
  out.number(0, 6).number(0, 1);
  out.end();
  out.begin(127, 0x7F00);
  out.end();

  SmbiosFiles files;
  files.anchor = make_anchor(out, out.bytes().size());
  files.tables = std::move(out.bytes());
  return files;
}

}  // namespace xm::machine
