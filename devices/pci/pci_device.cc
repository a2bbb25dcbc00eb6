// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/pci_device.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

// MSI capability layout [PCI 6.8.1], 64-bit form.
constexpr u8 kMsiControl = 2, kMsiAddressLow = 4, kMsiAddressHigh = 8, kMsiData = 12, kMsiMask = 16, kMsiPending = 20;
constexpr u32 kRomEnable = 1;

bool overlaps(u8 offset, unsigned size_bytes, u8 first, unsigned count) {
  return offset < first + count && first < offset + size_bytes;
}

}  // namespace

PciFunction::PciFunction(const PciEnvironment& environment, std::string name, const PciIdentity& identity)
    : environment_(environment), name_(std::move(name)), memory_(environment.memory, environment.code) {
  define16(pci_reg::kVendorId, identity.vendor_id);
  define16(pci_reg::kDeviceId, identity.device_id);
  // Memory and I/O decoding, bus master, parity, SERR# and interrupt disable can be set by software [PCI 6.2.2].
  define16(pci_reg::kCommand, 0, 0x0147 | pci_reg::kCommandIntxDisable);
  define8(pci_reg::kRevision, identity.revision);
  define8(pci_reg::kClassCode, static_cast<u8>(identity.class_code));
  define16(pci_reg::kClassCode + 1, static_cast<u16>(identity.class_code >> 8));
  define8(pci_reg::kCacheLine, 0, 0xFF);
  define8(pci_reg::kLatency, 0, 0xF8);
  define16(pci_reg::kSubsystemVendorId, identity.subsystem_vendor_id);
  define16(pci_reg::kSubsystemId, identity.subsystem_id);
  define_write_one_clears16(pci_reg::kStatus, 0xF900);
  define8(pci_reg::kInterruptLine, 0, 0xFF);
  for (unsigned i = 0; i < bars_.size(); i++) {
    bars_[i].owner = this;
    bars_[i].index = i;
  }
}

PciFunction::~PciFunction() {
  for (Bar& bar : bars_) {
    environment_.memory.remove(bar.region);
    environment_.ports.remove(bar.ports);
  }
}

u16 PciFunction::config16(u8 offset) const { return load_le<u16>(&config_[offset]); }
u32 PciFunction::config32(u8 offset) const { return load_le<u32>(&config_[offset]); }
void PciFunction::set_config16(u8 offset, u16 value) { store_le(&config_[offset], value); }
void PciFunction::set_config32(u8 offset, u32 value) { store_le(&config_[offset], value); }

void PciFunction::define8(u8 offset, u8 value, u8 writable) {
  config_[offset] = value;
  defaults_[offset] = value;
  writable_[offset] = writable;
}

void PciFunction::define16(u8 offset, u16 value, u16 writable) {
  define8(offset, static_cast<u8>(value), static_cast<u8>(writable));
  define8(static_cast<u8>(offset + 1), static_cast<u8>(value >> 8), static_cast<u8>(writable >> 8));
}

void PciFunction::define32(u8 offset, u32 value, u32 writable) {
  define16(offset, static_cast<u16>(value), static_cast<u16>(writable));
  define16(static_cast<u8>(offset + 2), static_cast<u16>(value >> 16), static_cast<u16>(writable >> 16));
}

void PciFunction::define_write_one_clears16(u8 offset, u16 bits) { store_le(&write_one_clears_[offset], bits); }

void PciFunction::set_interrupt_pin(u8 pin) { define8(pci_reg::kInterruptPin, pin); }

void PciFunction::mark_multifunction() {
  define8(pci_reg::kHeaderType, static_cast<u8>(defaults_[pci_reg::kHeaderType] | 0x80));
}

u8 PciFunction::register_offset(unsigned slot) const {
  return slot == kRomSlot ? pci_reg::kRomBar : static_cast<u8>(pci_reg::kBar0 + 4 * slot);
}

void PciFunction::add_io_bar(unsigned bar, u32 size_bytes) {
  bars_[bar].size_bytes = size_bytes;
  bars_[bar].io = true;
  define32(register_offset(bar), 1, ~(size_bytes - 1) & ~u32{3});
}

void PciFunction::add_memory_bar(unsigned bar, u64 size_bytes, Width width, bool prefetchable, bus::RamBlock* backing) {
  Bar& slot = bars_[bar];
  slot.size_bytes = size_bytes;
  slot.wide = width == Width::Bits64;
  const u64 writable = ~(size_bytes - 1) & ~u64{15};
  define32(register_offset(bar), (slot.wide ? 4u : 0u) | (prefetchable ? 8u : 0u), static_cast<u32>(writable));
  if (slot.wide) define32(register_offset(bar + 1), 0, static_cast<u32>(writable >> 32));
  const bus::AddressSpace::Transaction batch(environment_.memory);
  slot.region =
      backing != nullptr
          ? environment_.memory.add_ram(GuestPhys{}, size_bytes, *backing, 0, kPciRegionPriority, name_.c_str())
          : environment_.memory.add_mmio(GuestPhys{}, size_bytes, slot, kPciRegionPriority, name_.c_str());
  environment_.memory.set_enabled(slot.region, false);
}

void PciFunction::set_rom(bus::RamBlock& rom, u64 size_bytes) {
  Bar& slot = bars_[kRomSlot];
  slot.size_bytes = size_bytes;
  define32(pci_reg::kRomBar, 0, (~static_cast<u32>(size_bytes - 1) & 0xFFFFF800u) | kRomEnable);
  const bus::AddressSpace::Transaction batch(environment_.memory);
  slot.region = environment_.memory.add_rom(GuestPhys{}, size_bytes, rom, 0, kPciRegionPriority, name_.c_str());
  environment_.memory.set_enabled(slot.region, false);
}

u8 PciFunction::add_capability(u8 id, u8 size_bytes) {
  const u8 offset = next_capability_;
  next_capability_ = static_cast<u8>(align_up(offset + size_bytes, 4));
  define8(offset, id);
  define8(static_cast<u8>(offset + 1), 0);
  const u8 link = last_capability_ == 0 ? pci_reg::kCapabilities : static_cast<u8>(last_capability_ + 1);
  define8(link, offset);
  last_capability_ = offset;
  define16(pci_reg::kStatus,
           static_cast<u16>(load_le<u16>(&defaults_[pci_reg::kStatus]) | pci_reg::kStatusCapabilities));
  return offset;
}

void PciFunction::add_msi(unsigned vectors, bool per_vector_mask) {
  msi_ = add_capability(pci_reg::kCapMsi, per_vector_mask ? 24 : 14);
  msi_maskable_ = per_vector_mask;
  unsigned log2 = 0;
  while ((1u << log2) < vectors) log2++;
  const auto control = static_cast<u16>(log2 << 1 | 1 << 7 | (per_vector_mask ? 1 << 8 : 0));
  define16(static_cast<u8>(msi_ + kMsiControl), control, 0x0071);
  define32(static_cast<u8>(msi_ + kMsiAddressLow), 0, 0xFFFFFFFC);
  define32(static_cast<u8>(msi_ + kMsiAddressHigh), 0, 0xFFFFFFFF);
  define16(static_cast<u8>(msi_ + kMsiData), 0, 0xFFFF);
  if (per_vector_mask) define32(static_cast<u8>(msi_ + kMsiMask), 0, static_cast<u32>((u64{1} << (1u << log2)) - 1));
}

void PciFunction::add_msix(u16 vectors, unsigned bar, u32 table_offset, u32 pending_offset) {
  msix_capability_ = add_capability(pci_reg::kCapMsix, 12);
  msix_bar_ = bar;
  msix_ = std::make_unique<MsixTable>(static_cast<MsixTable::Owner&>(*this), vectors, table_offset, pending_offset);
  define16(static_cast<u8>(msix_capability_ + 2), static_cast<u16>(vectors - 1), 0xC000);
  define32(static_cast<u8>(msix_capability_ + 4), table_offset | bar);
  define32(static_cast<u8>(msix_capability_ + 8), pending_offset | bar);
}

void PciFunction::reset() {
  config_ = defaults_;
  if (msix_ != nullptr) msix_->reset();
  intx_wanted_ = false;
  update_intx();
  update_mappings();
}

void PciFunction::exchange(bus::Archive& archive) {
  archive.begin("pci");
  archive.field("config", config_);
  archive.field("intx", intx_wanted_);
  if (msix_ != nullptr) msix_->exchange(archive);
  archive.end();
  if (archive.loading()) {
    update_mappings();
    update_intx();
  }
}

u32 PciFunction::config_read(u8 offset, unsigned size_bytes) {
  u32 value = 0;
  for (unsigned i = 0; i < size_bytes && offset + i < config_.size(); i++) value |= u32{config_[offset + i]} << (8 * i);
  return value;
}

void PciFunction::config_write(u8 offset, u32 value, unsigned size_bytes) {
  for (unsigned i = 0; i < size_bytes && offset + i < config_.size(); i++) {
    const auto byte = static_cast<u8>(value >> (8 * i));
    u8& at = config_[offset + i];
    at = static_cast<u8>((at & ~writable_[offset + i]) | (byte & writable_[offset + i]));
    at &= static_cast<u8>(~(byte & write_one_clears_[offset + i]));
  }
  if (overlaps(offset, size_bytes, pci_reg::kCommand, 2) || overlaps(offset, size_bytes, pci_reg::kBar0, 24) ||
      overlaps(offset, size_bytes, pci_reg::kRomBar, 4)) {
    update_mappings();
    update_intx();
  }
  if (msi_ != 0 && overlaps(offset, size_bytes, msi_, 24)) {
    update_intx();
    flush_pending_msi();
  }
  if (msix_ != nullptr && overlaps(offset, size_bytes, static_cast<u8>(msix_capability_ + 2), 2)) {
    msix_->set_control(config16(static_cast<u8>(msix_capability_ + 2)));
    update_intx();
  }
  on_config_written(offset, size_bytes);
}

void PciFunction::on_config_written(u8 offset, unsigned size_bytes) {
  (void)offset;
  (void)size_bytes;
}

// Where the register decodes, or 0: disabled, never programmed, wrapping or left at the all-ones of a size probe.
u64 PciFunction::decoded_address(const Bar& bar) const {
  const u8 at = register_offset(bar.index);
  if (bar.io) {
    const u64 address = config32(at) & ~u64{3};
    return (command() & pci_reg::kCommandIo) == 0 || address + bar.size_bytes > 0x10000 ? 0 : address;
  }
  if ((command() & pci_reg::kCommandMemory) == 0) return 0;
  if (bar.index == kRomSlot && (config32(at) & kRomEnable) == 0) return 0;
  u64 address = config32(at) & ~u64{bar.index == kRomSlot ? 0x7FFu : 15u};
  if (bar.wide) address |= u64{config32(static_cast<u8>(at + 4))} << 32;
  const u64 last = address + bar.size_bytes - 1;
  if (last <= address || last == ~u64{0} || (!bar.wide && last >= 0xFFFFFFFFu)) return 0;
  return address;
}

void PciFunction::update_mappings() {
  const bus::AddressSpace::Transaction batch(environment_.memory);
  for (Bar& bar : bars_) {
    if (bar.size_bytes != 0) update_mapping(bar);
  }
}

void PciFunction::update_mapping(Bar& bar) {
  const u64 address = decoded_address(bar);
  const bool mapped = address != 0;
  if (mapped == bar.mapped && address == bar.address) return;
  bar.mapped = mapped;
  bar.address = address;
  if (bar.io) {
    environment_.ports.remove(bar.ports);
    bar.ports = 0;
    if (mapped) {
      bar.ports = environment_.ports.add(Port{static_cast<u16>(address)}, static_cast<unsigned>(bar.size_bytes), bar, 4,
                                         name_.c_str());
    }
  } else {
    if (mapped) environment_.memory.move(bar.region, GuestPhys{address});
    environment_.memory.set_enabled(bar.region, mapped);
  }
  on_bar_mapped(bar.index);
}

u64 PciFunction::Bar::mmio_read(u64 offset, unsigned size) { return owner->route_bar_read(index, offset, size); }
void PciFunction::Bar::mmio_write(u64 offset, u64 value, unsigned size) {
  owner->route_bar_write(index, offset, value, size);
}
u32 PciFunction::Bar::port_read(Port port, unsigned size) {
  return static_cast<u32>(owner->route_bar_read(index, port.value - address, size));
}
void PciFunction::Bar::port_write(Port port, u32 value, unsigned size) {
  owner->route_bar_write(index, port.value - address, value, size);
}

u64 PciFunction::route_bar_read(unsigned bar, u64 offset, unsigned size_bytes) {
  if (msix_ != nullptr && bar == msix_bar_ && msix_->owns(offset)) return msix_->read(offset, size_bytes);
  return bar_read(bar, offset, size_bytes);
}

void PciFunction::route_bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) {
  if (msix_ != nullptr && bar == msix_bar_ && msix_->owns(offset)) return msix_->write(offset, value, size_bytes);
  bar_write(bar, offset, value, size_bytes);
}

u64 PciFunction::bar_read(unsigned bar, u64 offset, unsigned size_bytes) {
  (void)bar;
  (void)offset;
  return mask_of_bytes(size_bytes);
}

void PciFunction::bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) {
  (void)bar;
  (void)offset;
  (void)value;
  (void)size_bytes;
}

void PciFunction::set_intx(bool level) {
  intx_wanted_ = level;
  update_intx();
}

// The status bit shows the request even while the pin is disabled [PCI 6.2.3]; message interrupts silence the pin.
void PciFunction::update_intx() {
  const auto status = static_cast<u16>(config16(pci_reg::kStatus) & ~pci_reg::kStatusIntx);
  set_config16(pci_reg::kStatus, static_cast<u16>(status | (intx_wanted_ ? pci_reg::kStatusIntx : 0)));
  const bool disabled = (command() & pci_reg::kCommandIntxDisable) != 0 || msi_enabled() || msix_enabled();
  intx_.set(intx_wanted_ && !disabled);
}

bool PciFunction::msi_enabled() const { return msi_ != 0 && (config16(static_cast<u8>(msi_ + kMsiControl)) & 1) != 0; }

void PciFunction::msi_notify(unsigned vector) {
  if (!msi_enabled()) return;
  const u16 control = config16(static_cast<u8>(msi_ + kMsiControl));
  const unsigned allocated = 1u << std::min<u64>(bits(control, 6, 4), bits(control, 3, 1));
  vector &= allocated - 1;
  if (msi_maskable_ && has_bit(config32(static_cast<u8>(msi_ + kMsiMask)), vector)) {
    const u32 pending = config32(static_cast<u8>(msi_ + kMsiPending));
    set_config32(static_cast<u8>(msi_ + kMsiPending), static_cast<u32>(pending | bit(vector)));
    return;
  }
  const u64 address =
      config32(static_cast<u8>(msi_ + kMsiAddressLow)) | u64{config32(static_cast<u8>(msi_ + kMsiAddressHigh))} << 32;
  const u16 data = config16(static_cast<u8>(msi_ + kMsiData));
  send_message(address, (data & ~(allocated - 1)) | vector);
}

void PciFunction::flush_pending_msi() {
  if (!msi_maskable_ || !msi_enabled()) return;
  const u32 ready = config32(static_cast<u8>(msi_ + kMsiPending)) & ~config32(static_cast<u8>(msi_ + kMsiMask));
  if (ready == 0) return;
  set_config32(static_cast<u8>(msi_ + kMsiPending), config32(static_cast<u8>(msi_ + kMsiPending)) & ~ready);
  for (unsigned vector = 0; vector < 32; vector++) {
    if (has_bit(ready, vector)) msi_notify(vector);
  }
}

void PciFunction::msix_notify(u16 vector) {
  if (msix_ != nullptr) msix_->notify(vector);
}

// A message is a memory write of the function, so it needs Bus Master Enable like any other.
void PciFunction::send_message(u64 address, u32 data) {
  if (bus_master()) environment_.msi.send_msi(address, data);
}

bool PciFunction::dma_read(GuestPhys from, std::span<u8> to) {
  if (bus_master()) return memory_.read(from, to);
  std::fill(to.begin(), to.end(), u8{0xFF});
  return false;
}

bool PciFunction::dma_write(GuestPhys to, std::span<const u8> from) { return bus_master() && memory_.write(to, from); }

void PciFunction::log_guest_error(const char* what, u64 value) const {
  if (environment_.log == nullptr) return;
  environment_.log->line(LogItem::GuestErrors, "%s: %s 0x%llx", name_.c_str(), what,
                         static_cast<unsigned long long>(value));
}

}  // namespace xm::devices
