// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/input/ps2_mouse.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr u8 kResend = 0xFE;
constexpr int kMotionLimit = 1 << 20;  // motion nobody fetches is not collected without end

}  // namespace

void Ps2Mouse::set_defaults() {
  reporting_ = remote_ = wrap_ = scaling_ = false;
  resolution_ = 2;
  sample_rate_ = 100;
  dx_ = dy_ = dz_ = 0;
  clear_queue();
}

void Ps2Mouse::reset() {
  set_defaults();
  id_ = 0;
  previous_rates_ = {};
  command_waits_ = 0;
  reported_buttons_ = buttons_;
}

void Ps2Mouse::command(u8 byte) {
  if (wrap_ && byte != 0xFF && byte != 0xEC) {
    queue(byte);
    return;
  }
  if (command_waits_ != 0) {
    argument(byte);
    return;
  }
  clear_queue();
  switch (byte) {
    case 0xE6:
    case 0xE7:
      scaling_ = byte == 0xE7;
      acknowledge();
      break;
    case 0xE8:  // resolution
    case 0xF3:  // sample rate
      command_waits_ = byte;
      acknowledge();
      break;
    case 0xE9:
      acknowledge();
      queue_status();
      break;
    case 0xEA:
    case 0xF0:
      remote_ = byte == 0xF0;
      acknowledge();
      break;
    case 0xEB:  // read data
      acknowledge();
      queue_packet();
      break;
    case 0xEC:
    case 0xEE:
      wrap_ = byte == 0xEE;
      acknowledge();
      break;
    case 0xF2:
      acknowledge();
      queue(id_);
      break;
    case 0xF4:
    case 0xF5:
      reporting_ = byte == 0xF4;
      acknowledge();
      break;
    case 0xF6:
      set_defaults();
      acknowledge();
      break;
    case 0xFE: queue(last_sent()); break;
    case 0xFF:
      reset();
      acknowledge();
      queue(0xAA);  // self-test passed
      queue(id_);
      break;
    default: queue(kResend); break;
  }
}

void Ps2Mouse::argument(u8 byte) {
  const u8 waiting = command_waits_;
  command_waits_ = 0;
  if (waiting == 0xE8) {
    resolution_ = byte & 3;
  } else {
    set_sample_rate(byte);
  }
  acknowledge();
}

// 200, 100, 80 asks for the wheel, 200, 200, 80 for five buttons.
void Ps2Mouse::set_sample_rate(u8 rate) {
  if (rate == 80 && previous_rates_[0] == 200 && previous_rates_[1] == 100) id_ = 3;
  if (rate == 80 && previous_rates_[0] == 200 && previous_rates_[1] == 200) id_ = 4;
  previous_rates_ = {previous_rates_[1], rate};
  sample_rate_ = rate;
}

void Ps2Mouse::queue_status() {
  const u8 left_middle_right = static_cast<u8>((buttons_ & 1) << 2 | (buttons_ >> 2 & 1) << 1 | (buttons_ >> 1 & 1));
  queue(static_cast<u8>(left_middle_right | (scaling_ ? 0x10 : 0) | (reporting_ ? 0x20 : 0) | (remote_ ? 0x40 : 0)));
  queue(resolution_);
  queue(sample_rate_);
}

void Ps2Mouse::pointer_motion(int dx, int dy, int wheel) {
  const auto add = [](int& sum, int delta) {
    sum = std::clamp(sum + std::clamp(delta, -kMotionLimit, kMotionLimit), -kMotionLimit, kMotionLimit);
  };
  add(dx_, dx);
  add(dy_, -dy);
  add(dz_, -wheel);
}

void Ps2Mouse::pointer_button(MouseButton button, bool down) {
  const auto mask = static_cast<u8>(1u << static_cast<u8>(button));
  buttons_ = static_cast<u8>(down ? buttons_ | mask : buttons_ & ~mask);
}

void Ps2Mouse::pointer_sync() {
  if (!reporting_) {
    dx_ = dy_ = dz_ = 0;
    return;
  }
  // A change of buttons must not be merged away by the next one while the guest is slow to fetch.
  if (buttons_ != reported_buttons_ && !remote_ && room() >= packet_bytes()) {
    queue_packet();
  } else if (!has_byte()) {
    report_if_due();
  }
}

void Ps2Mouse::report_if_due() {
  const bool moved = dx_ != 0 || dy_ != 0 || (id_ != 0 && dz_ != 0);
  if (reporting_ && !remote_ && (moved || buttons_ != reported_buttons_)) queue_packet();
}

void Ps2Mouse::queue_packet() {
  const int dx = std::clamp(dx_, -255, 255);
  const int dy = std::clamp(dy_, -255, 255);
  dx_ -= dx;
  dy_ -= dy;
  reported_buttons_ = buttons_;
  const auto head = static_cast<u8>(0x08 | (buttons_ & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
  if (id_ == 0) {
    dz_ = 0;
    queue({head, static_cast<u8>(dx), static_cast<u8>(dy)});
    return;
  }
  const int dz = std::clamp(dz_, -8, 7);
  dz_ -= dz;
  const auto tail = static_cast<u8>(id_ == 3 ? dz : (dz & 0x0F) | (buttons_ & 0x18) << 1);
  queue({head, static_cast<u8>(dx), static_cast<u8>(dy), tail});
}

void Ps2Mouse::exchange(bus::Archive& archive) {
  exchange_queue(archive);
  archive.field("reporting", reporting_);
  archive.field("remote", remote_);
  archive.field("wrap", wrap_);
  archive.field("scaling", scaling_);
  archive.field("resolution", resolution_);
  archive.field("sample_rate", sample_rate_);
  archive.field("id", id_);
  archive.field("previous_rates", previous_rates_);
  archive.field("command_waits", command_waits_);
  archive.field("buttons", buttons_);
  archive.field("reported_buttons", reported_buttons_);
  archive.field("dx", dx_);
  archive.field("dy", dy_);
  archive.field("dz", dz_);
  if (archive.loading()) pointer_motion(0, 0, 0);  // brings the sums into their limits
}

}  // namespace xm::devices
