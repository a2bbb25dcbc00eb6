// SPDX-License-Identifier: GPL-2.0-or-later
// Parsing of MOO files and of their metadata.
#include "tests/cpu/vectors/moo.h"

#include <zlib.h>

#include <fstream>
#include <iterator>
#include <span>

#include "emu/base/bits.h"

namespace xm::cpu::vectors {
namespace {

using Bytes = std::span<const u8>;

std::vector<u8> read_gzip(const std::string& path) {
  std::vector<u8> bytes;
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  std::array<u8, 65536> buffer;
  for (int count; (count = gzread(file, buffer.data(), buffer.size())) > 0;) {
    bytes.insert(bytes.end(), buffer.begin(), buffer.begin() + count);
  }
  gzclose(file);
  return bytes;
}

// Calls visit(tag, payload) for each chunk; stops at the first that does not fit.
template <class Visit>
void each_chunk(Bytes bytes, Visit visit) {
  while (bytes.size() >= 8) {
    const std::string tag(reinterpret_cast<const char*>(bytes.data()), 4);
    const u32 length = load_le<u32>(&bytes[4]);
    if (length > bytes.size() - 8) return;
    visit(tag, bytes.subspan(8, length));
    bytes = bytes.subspan(8 + length);
  }
}

MooState parse_state(Bytes bytes) {
  MooState state;
  each_chunk(bytes, [&](const std::string& tag, Bytes payload) {
    if (tag == "REGS") {
      const u16 mask = load_le<u16>(payload.data());
      std::size_t offset = 2;
      for (unsigned i = 0; i < kMooRegisters && offset + 2 <= payload.size(); ++i) {
        if (!((mask >> i) & 1)) continue;
        state.reg[i] = load_le<u16>(&payload[offset]);
        offset += 2;
      }
    } else if (tag == "RAM ") {
      const u32 count = load_le<u32>(payload.data());
      for (u32 i = 0; i < count && 9 + 5 * u64{i} <= payload.size(); ++i) {
        state.ram.push_back({load_le<u32>(&payload[4 + 5 * i]), payload[8 + 5 * i]});
      }
    }
  });
  return state;
}

MooTest parse_test(Bytes bytes) {
  MooTest test;
  test.index = load_le<u32>(bytes.data());
  each_chunk(bytes.subspan(4), [&](const std::string& tag, Bytes payload) {
    if (tag == "NAME") test.name.assign(reinterpret_cast<const char*>(payload.data()) + 4, payload.size() - 4);
    if (tag == "BYTS" && payload.size() >= 4) test.bytes.assign(payload.begin() + 4, payload.end());
    if (tag == "INIT") test.initial = parse_state(payload);
    if (tag == "FINA") test.final = parse_state(payload);
    if (tag == "EXCP") test.exception = MooException{payload[0], load_le<u32>(&payload[1])};
  });
  return test;
}

// Just enough JSON for {"opcodes": {"F7": {"flags-mask": n, "reg": {"4": {"flags-mask": n}}}}}.
class MaskReader {
 public:
  explicit MaskReader(std::string text) : text_(std::move(text)) {}

  std::map<std::string, u16> read() {
    object("");
    return std::move(masks_);
  }

 private:
  void skip_to(const char* set) { at_ = std::min(text_.find_first_of(set, at_), text_.size()); }

  std::string string() {
    const std::size_t end = std::min(text_.find('"', at_ + 1), text_.size());
    std::string value = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return value;
  }

  // `path` names the opcode as file names do: "F7" then "F7.4".
  void object(const std::string& path) {
    ++at_;
    for (skip_to("\"}"); at_ < text_.size() && text_[at_] == '"'; skip_to("\"}")) {
      const std::string key = string();
      skip_to(":");
      at_ = text_.find_first_not_of(": \n\r\t", at_);
      if (at_ == std::string::npos) return;
      if (text_[at_] == '{') {
        const bool transparent = key == "opcodes" || key == "reg";
        object(transparent ? path : path.empty() ? key : path + "." + key);
      } else if (text_[at_] == '"') {
        string();
      } else if (key == "flags-mask") {
        masks_[path] = static_cast<u16>(std::stoul(text_.substr(at_, 8)));
      }
    }
    if (at_ < text_.size()) ++at_;
  }

  std::string text_;
  std::size_t at_ = 0;
  std::map<std::string, u16> masks_;
};

}  // namespace

std::vector<MooTest> load_moo(const std::string& path) {
  std::vector<MooTest> tests;
  const std::vector<u8> bytes = read_gzip(path);
  each_chunk(bytes, [&](const std::string& tag, Bytes payload) {
    if (tag == "TEST" && payload.size() >= 4) tests.push_back(parse_test(payload));
  });
  return tests;
}

std::map<std::string, u16> load_flag_masks(const std::string& metadata_path) {
  std::ifstream file(metadata_path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.empty()) return {};
  return MaskReader(std::move(text)).read();
}

}  // namespace xm::cpu::vectors
