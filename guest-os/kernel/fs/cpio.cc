// SPDX-License-Identifier: GPL-2.0-or-later
// The state machine of the archive: header, name, data, each padded to four bytes. Names and sizes come from outside
// and are checked.
#include "kernel/fs/cpio.h"

#include "kernel/lib/string.h"

namespace xm::os {
namespace {

bool hex(const u8* text, u32& value) {
  value = 0;
  for (int i = 0; i < 8; ++i) {
    const u8 c = text[i];
    u32 digit;
    if (c >= '0' && c <= '9')
      digit = static_cast<u32>(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
      digit = static_cast<u32>((c | 0x20) - 'a' + 10);
    else
      return false;
    value = value << 4 | digit;
  }
  return true;
}

}  // namespace

bool cpio_reader::parse_header() {
  if (memcmp(header_, "070701", 6) != 0 && memcmp(header_, "070702", 6) != 0) return false;
  u32 v[13];
  for (u32 i = 0; i < 13; ++i) {
    if (!hex(header_ + 6 + i * 8, v[i])) return false;
  }
  entry_ = {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], name_};
  name_size_ = v[11];
  return name_size_ >= 1 && name_size_ <= sizeof name_;
}

bool cpio_reader::write(const u8* in, size_t n) {
  while (n > 0 && state_ != State::Damaged) {
    size_t step = 1;
    switch (state_) {
      case State::Header:
        if (have_ == 0 && *in == 0) break;  // padding between archives
        step = min<size_t>(n, sizeof header_ - have_);
        memcpy(header_ + have_, in, step);
        have_ += static_cast<u32>(step);
        if (have_ < sizeof header_) break;
        state_ = parse_header() ? State::Name : State::Damaged;
        have_ = 0;
        break;
      case State::Name:
        step = min<size_t>(n, name_size_ - have_);
        memcpy(name_ + have_, in, step);
        have_ += static_cast<u32>(step);
        if (have_ < name_size_) break;
        name_[name_size_ - 1] = 0;
        left_ = static_cast<u32>(align_up(110 + name_size_, 4) - 110 - name_size_);
        state_ = State::NamePadding;
        have_ = 0;
        break;
      case State::NamePadding:
      case State::DataPadding:
        step = min<size_t>(n, left_);
        left_ -= static_cast<u32>(step);
        break;
      case State::Data:
        step = min<size_t>(n, left_);
        visitor_.data(entry_, in, static_cast<u32>(step));
        left_ -= static_cast<u32>(step);
        break;
      case State::Done: break;  // another archive may follow
      case State::Damaged: return false;
    }
    in += step;
    n -= step;
    if (state_ == State::Done && n > 0 && *in != 0) state_ = State::Header;
    if (state_ == State::NamePadding && left_ == 0) {
      if (strcmp(name_, "TRAILER!!!") == 0) {
        state_ = State::Done;
      } else {
        visitor_.begin(entry_);
        left_ = entry_.size;
        state_ = State::Data;
      }
    }
    if (state_ == State::Data && left_ == 0) {
      visitor_.end(entry_);
      left_ = static_cast<u32>(align_up(entry_.size, 4) - entry_.size);
      state_ = State::DataPadding;
    }
    if (state_ == State::DataPadding && left_ == 0) state_ = State::Header;
  }
  return state_ != State::Damaged;
}

}  // namespace xm::os
