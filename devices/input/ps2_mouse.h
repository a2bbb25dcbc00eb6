// SPDX-License-Identifier: GPL-2.0-or-later
// PS/2 mouse [IBM PS/2 Technical Reference, Mouse] with the IntelliMouse extensions: a wheel (ID 3) and two more
// buttons (ID 4), which a driver turns on by a sequence of sample rates.
// Not modelled: sample rate as a limit in time (a packet is made when the last has been fetched), 2:1 scaling.
#pragma once

#include "devices/input/input_event.h"
#include "devices/input/ps2_device.h"

namespace xm::devices {

class Ps2Mouse final : public Ps2Device, public PointerSink {
 public:
  void reset();
  void exchange(bus::Archive& archive);
  void command(u8 byte) override;
  void pointer_motion(int dx, int dy, int wheel) override;
  void pointer_button(MouseButton button, bool down) override;
  void pointer_sync() override;
  // The controller could take a byte: motion that has gathered becomes a packet.
  void report_if_due();

 private:
  void set_defaults();
  void argument(u8 byte);
  void acknowledge() { queue(0xFA); }
  void set_sample_rate(u8 rate);
  void queue_status();
  void queue_packet();
  unsigned packet_bytes() const { return id_ == 0 ? 3 : 4; }

  bool reporting_ = false;
  bool remote_ = false;
  bool wrap_ = false;
  bool scaling_ = false;
  u8 resolution_ = 2;
  u8 sample_rate_ = 100;
  u8 id_ = 0;  // 0 standard, 3 wheel, 4 five buttons
  std::array<u8, 2> previous_rates_{};
  u8 command_waits_ = 0;
  u8 buttons_ = 0;  // bits by MouseButton
  u8 reported_buttons_ = 0;
  int dx_ = 0;  // not yet reported; y up, wheel towards the user: PS/2 sense
  int dy_ = 0;
  int dz_ = 0;
};

}  // namespace xm::devices
