// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/pc_display.h"

namespace xm::machine {

Result<void> Pc::build_display() {
  display_ = std::make_unique<Display>();
  if (parts_.config.vga == "none") return {};
  display_->memory = TRY(bus::RamBlock::create("video memory", Display::kVideoMemoryBytes));
  display_->vga = std::make_unique<devices::Vga>(*display_->memory, parts_.clock);
  display_->function = std::make_unique<devices::VgaPci>(pci_environment(), *display_->vga, *display_->memory);
  ports_.add(Port{0x3B0}, 0x30, display_->vga->ports(), 1, "vga");
  ports_.add(Port{0x1CE}, 3, display_->vga->dispi_ports(), 2, "vbe-dispi");
  memory_->space().add_mmio({0xA0000}, 0x20000, display_->vga->window(), 1, "vga-window");
  add(*display_->vga);
  TRY(attach_vga_rom(*display_->function));
  return place(*display_->function, "", 2);
}

devices::DisplaySource* Pc::display() { return display_->vga.get(); }

}  // namespace xm::machine
