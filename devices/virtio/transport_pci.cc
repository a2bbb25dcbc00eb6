// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/transport_pci.h"

#include <algorithm>
#include <array>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr unsigned kLegacyBar = 0, kMsixBar = 1, kModernBar = 4;
constexpr u64 kRegionSize = 0x1000, kIsrRegion = 0x1000, kDeviceRegion = 0x2000, kNotifyRegion = 0x3000;
constexpr u32 kNotifyMultiplier = 4;
constexpr u16 kNoVector = 0xFFFF;
constexpr u8 kIsrQueue = 1, kIsrConfig = 2;
// Device status bits [VIRTIO 2.1].
constexpr u8 kDriverOk = 4, kFeaturesOk = 8, kNeedsReset = 64;
// Capability types [VIRTIO 4.1.4].
constexpr u8 kCommonCfg = 1, kNotifyCfg = 2, kIsrCfg = 3, kDeviceCfg = 4, kPciCfg = 5;

PciIdentity identity_of(const VirtioDevice::Type& type, const VirtioPci::Options& options) {
  const auto modern_id = static_cast<u16>(0x1040 + type.id);
  return {.vendor_id = 0x1AF4,
          .device_id = options.legacy ? type.legacy_pci : modern_id,
          .revision = static_cast<u8>(options.legacy ? 0 : 1),
          .class_code = type.class_code,
          .subsystem_vendor_id = 0x1AF4,
          // Transitional drivers find the device type here [VIRTIO 4.1.2.3].
          .subsystem_id = options.legacy ? type.id : u16{0x1100}};
}

}  // namespace

VirtioPci::VirtioPci(const PciEnvironment& environment, std::unique_ptr<VirtioDevice> device, Options options)
    : PciFunction(environment, device->type().name, identity_of(device->type(), options)),
      device_(std::move(device)),
      options_(options),
      queues_(device_->queue_count()) {
  device_->connect(*this);
  set_interrupt_pin(1);
  const u16 vectors = options_.vectors != 0 ? options_.vectors : static_cast<u16>(queues_.size() + 1);
  if (options_.legacy) {
    add_io_bar(kLegacyBar, static_cast<u32>(std::max<u64>(32, std::bit_ceil(24 + device_->config().size()))));
  }
  add_memory_bar(kMsixBar, kRegionSize);
  if (options_.modern) add_memory_bar(kModernBar, 4 * kRegionSize, Width::Bits64, true);
  add_msix(vectors, kMsixBar, 0, 0x800);
  if (options_.modern) add_vendor_capabilities();
  device_reset();
}

void VirtioPci::add_vendor_capabilities() {
  const auto add = [this](u8 type, u64 offset, u64 length, u8 size) {
    const u8 at = add_capability(pci_reg::kCapVendor, size);
    define8(static_cast<u8>(at + 2), size);
    define8(static_cast<u8>(at + 3), type);
    define8(static_cast<u8>(at + 4), kModernBar);
    define32(static_cast<u8>(at + 8), static_cast<u32>(offset));
    define32(static_cast<u8>(at + 12), static_cast<u32>(length));
    return at;
  };
  add(kCommonCfg, 0, kRegionSize, 16);
  add(kIsrCfg, kIsrRegion, kRegionSize, 16);
  add(kDeviceCfg, kDeviceRegion, kRegionSize, 16);
  const u8 notify_at = add(kNotifyCfg, kNotifyRegion, kRegionSize, 20);
  define32(static_cast<u8>(notify_at + 16), kNotifyMultiplier);
  const u8 at = add(kPciCfg, 0, 0, 20);
  access_capability_ = at;
  define8(static_cast<u8>(at + 4), 0, 0xFF);
  define32(static_cast<u8>(at + 8), 0, 0xFFFFFFFF);
  define32(static_cast<u8>(at + 12), 0, 0xFFFFFFFF);
  define32(static_cast<u8>(at + 16), 0, 0xFFFFFFFF);
}

void VirtioPci::reset() {
  device_reset();
  PciFunction::reset();
}

void VirtioPci::device_reset() {
  device_->reset();
  for (unsigned i = 0; i < queues_.size(); i++) queues_[i].reset(device_->queue_size(i));
  device_feature_select_ = driver_feature_select_ = 0;
  driver_features_ = 0;
  config_vector_ = kNoVector;
  status_ = 0;
  queue_select_ = 0;
  isr_ = 0;
  set_intx(false);
}

void VirtioPci::exchange(bus::Archive& archive) {
  archive.begin(name());
  PciFunction::exchange(archive);
  for (VirtQueue& ring : queues_) ring.exchange(archive);
  archive.field("device_feature_select", device_feature_select_);
  archive.field("driver_feature_select", driver_feature_select_);
  archive.field("driver_features", driver_features_);
  archive.field("config_vector", config_vector_);
  archive.field("status", status_);
  archive.field("config_generation", config_generation_);
  archive.field("queue_select", queue_select_);
  archive.field("isr", isr_);
  if (archive.loading()) device_->accept_features(driver_features_);
  device_->exchange(archive);
  archive.end();
}

// Interrupts.

void VirtioPci::raise(u16 vector, u8 isr_bit) {
  if (msix_enabled()) {
    if (vector != kNoVector) msix_notify(vector);
    return;
  }
  isr_ |= isr_bit;
  set_intx(true);
}

void VirtioPci::signal_queue(unsigned index) {
  if (queues_[index].take_interrupt_need(memory())) raise(queues_[index].vector(), kIsrQueue);
}

void VirtioPci::signal_config() {
  config_generation_++;
  if ((status_ & kDriverOk) != 0) raise(config_vector_, kIsrQueue | kIsrConfig);
}

void VirtioPci::needs_reset(const char* reason) {
  if (environment().log != nullptr) {
    environment().log->line(LogItem::GuestErrors, "%s: driver error: %s", device_->type().name, reason);
  }
  if (legacy_driver() || (status_ & kNeedsReset) != 0) return;
  status_ |= kNeedsReset;
  signal_config();
}

u8 VirtioPci::take_isr() {
  const u8 isr = isr_;
  isr_ = 0;
  set_intx(false);
  return isr;
}

// Legacy drivers may use the queues before DRIVER_OK, and some forget bus mastering [VIRTIO 3.1.2].
bool VirtioPci::driver_ok() const {
  if ((status_ & kNeedsReset) != 0) return false;
  return legacy_driver() || ((status_ & kDriverOk) != 0 && bus_master());
}

void VirtioPci::notify(u64 queue) {
  if (queue < queues_.size() && queues_[queue].enabled() && driver_ok())
    device_->notified(static_cast<unsigned>(queue));
}

// Features and status.

u64 VirtioPci::offered_features() const {
  u64 features = device_->features() | virtio_feature::kIndirect | virtio_feature::kEventIndex;
  if (options_.modern) features |= virtio_feature::kVersion1;
  if (options_.legacy) features |= virtio_feature::kNotifyOnEmpty | virtio_feature::kAnyLayout;
  return features;
}

void VirtioPci::set_driver_features(u64 features) {
  driver_features_ = features & offered_features();
  for (VirtQueue& ring : queues_) ring.set_event_index((driver_features_ & virtio_feature::kEventIndex) != 0);
  device_->accept_features(driver_features_);
}

void VirtioPci::set_status(u8 status) {
  if (status == 0) return device_reset();
  const u8 before = status_;
  status_ = static_cast<u8>((status & ~kNeedsReset) | (before & kNeedsReset));
  if ((status_ & ~before & kFeaturesOk) != 0) {
    // A modern driver must take VERSION_1 and nothing that was not offered; refusal shows by the bit staying clear.
    const u64 wanted = driver_features_;
    if ((wanted & ~offered_features()) != 0 || (wanted & virtio_feature::kVersion1) == 0) {
      status_ &= static_cast<u8>(~kFeaturesOk);
      log_guest_error("features refused", wanted);
    } else {
      set_driver_features(wanted);
    }
  }
  if ((status_ & ~before & kDriverOk) != 0) device_->started();
}

// Modern interface.

u64 VirtioPci::modern_read(u64 offset, unsigned size_bytes) {
  if (offset < kIsrRegion) return common_read(offset, size_bytes);
  if (offset < kDeviceRegion) return offset == kIsrRegion ? take_isr() : 0;
  if (offset < kNotifyRegion) return device_config_read(offset - kDeviceRegion, size_bytes);
  return 0;
}

void VirtioPci::modern_write(u64 offset, u64 value, unsigned size_bytes) {
  if (offset < kIsrRegion) {
    if (size_bytes == 8) {
      common_write(offset, value & 0xFFFFFFFF, 4);
      return common_write(offset + 4, value >> 32, 4);
    }
    return common_write(offset, value, size_bytes);
  }
  if (offset >= kNotifyRegion) return notify((offset - kNotifyRegion) / kNotifyMultiplier);
  if (offset >= kDeviceRegion) device_->config_written(offset - kDeviceRegion, value, size_bytes);
}

u64 VirtioPci::device_config_read(u64 offset, unsigned size_bytes) {
  const std::span<const u8> config = device_->config();
  u64 value = 0;
  for (unsigned i = 0; i < size_bytes && offset + i < config.size(); i++) value |= u64{config[offset + i]} << (8 * i);
  return value;
}

VirtQueue* VirtioPci::selected() { return queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr; }

// struct virtio_pci_common_cfg [VIRTIO 4.1.4.3], rendered whole and cut to what was asked for.
u64 VirtioPci::common_read(u64 offset, unsigned size_bytes) {
  std::array<u8, 72> image{};
  if (offset + size_bytes > image.size()) return 0;
  const u64 offered = offered_features();
  const auto half = [](u64 features, u32 select) {
    return select < 2 ? static_cast<u32>(features >> (32 * select)) : 0u;
  };
  // The legacy-only bits 24 and 27 are no business of a modern driver.
  const u64 modern = offered & ~(virtio_feature::kNotifyOnEmpty | virtio_feature::kAnyLayout);
  store_le(&image[0], device_feature_select_);
  store_le(&image[4], half(modern, device_feature_select_));
  store_le(&image[8], driver_feature_select_);
  store_le(&image[12], half(driver_features_, driver_feature_select_));
  store_le(&image[16], config_vector_);
  store_le(&image[18], static_cast<u16>(queues_.size()));
  image[20] = status_;
  image[21] = config_generation_;
  store_le(&image[22], queue_select_);
  if (const VirtQueue* ring = selected(); ring != nullptr) {
    store_le(&image[24], ring->size());
    store_le(&image[26], ring->vector());
    store_le(&image[28], static_cast<u16>(ring->enabled()));
    store_le(&image[30], queue_select_);
    store_le(&image[32], ring->descriptors().value);
    store_le(&image[40], ring->available().value);
    store_le(&image[48], ring->used().value);
  }
  return load_le_sized(&image[offset], size_bytes);
}

void VirtioPci::common_write(u64 offset, u64 value, unsigned size_bytes) {
  (void)size_bytes;
  switch (offset) {
    case 0: device_feature_select_ = static_cast<u32>(value); return;
    case 8: driver_feature_select_ = static_cast<u32>(value); return;
    case 12:
      // Kept as written: what was not offered is found out at FEATURES_OK.
      if (driver_feature_select_ < 2 && (status_ & kFeaturesOk) == 0) {
        const unsigned low = 32 * driver_feature_select_;
        driver_features_ = with_bits(driver_features_, low + 31, low, value);
      }
      return;
    case 16: config_vector_ = value < msix_vectors() ? static_cast<u16>(value) : kNoVector; return;
    case 20: return set_status(static_cast<u8>(value));
    case 22: queue_select_ = static_cast<u16>(value); return;
    default: return common_write_queue(offset, value);
  }
}

void VirtioPci::common_write_queue(u64 offset, u64 value) {
  VirtQueue* ring = selected();
  if (ring == nullptr) return;
  const auto low = [value](GuestPhys old) { return GuestPhys{with_bits(old.value, 31, 0, value)}; };
  const auto high = [value](GuestPhys old) { return GuestPhys{with_bits(old.value, 63, 32, value)}; };
  if (offset == 26) return ring->set_vector(value < msix_vectors() ? static_cast<u16>(value) : kNoVector);
  if (offset == 28) {
    // A queue is enabled once and then until reset [VIRTIO 4.1.4.3.2].
    if (value == 1) ring->set_enabled(true);
    return;
  }
  if (ring->enabled()) return log_guest_error("write to the set-up of an enabled queue at offset", offset);
  switch (offset) {
    case 24:
      if (!ring->set_size(static_cast<u16>(value))) log_guest_error("impossible queue size", value);
      return;
    case 32: return ring->set_addresses(low(ring->descriptors()), ring->available(), ring->used());
    case 36: return ring->set_addresses(high(ring->descriptors()), ring->available(), ring->used());
    case 40: return ring->set_addresses(ring->descriptors(), low(ring->available()), ring->used());
    case 44: return ring->set_addresses(ring->descriptors(), high(ring->available()), ring->used());
    case 48: return ring->set_addresses(ring->descriptors(), ring->available(), low(ring->used()));
    case 52: return ring->set_addresses(ring->descriptors(), ring->available(), high(ring->used()));
    default: return;
  }
}

// Legacy interface [VIRTIO 4.1.4.8].

u64 VirtioPci::legacy_read(u64 offset, unsigned size_bytes) {
  const u64 config_at = legacy_config_offset();
  if (offset >= config_at) return device_config_read(offset - config_at, size_bytes);
  std::array<u8, 32> image{};
  store_le(&image[0], static_cast<u32>(offered_features()));
  store_le(&image[4], static_cast<u32>(driver_features_));
  if (const VirtQueue* ring = selected(); ring != nullptr) {
    store_le(&image[8], ring->enabled() ? static_cast<u32>(ring->descriptors().value / kPageSize) : 0u);
    store_le(&image[12], ring->max_size());
    store_le(&image[22], ring->vector());
  }
  store_le(&image[14], queue_select_);
  image[18] = status_;
  if (offset <= 19 && offset + size_bytes > 19) image[19] = take_isr();
  store_le(&image[20], config_vector_);
  return load_le_sized(&image[offset], size_bytes);
}

void VirtioPci::legacy_write(u64 offset, u64 value, unsigned size_bytes) {
  const u64 config_at = legacy_config_offset();
  if (offset >= config_at) return device_->config_written(offset - config_at, value, size_bytes);
  VirtQueue* ring = selected();
  const u16 vector = value < msix_vectors() ? static_cast<u16>(value) : kNoVector;
  switch (offset) {
    case 4: return set_driver_features(static_cast<u32>(value));
    case 8:
      if (value == 0) return device_reset();  // the whole device, as QEMU does; drivers tear all queues down together
      if (ring == nullptr || ring->max_size() == 0) return;
      ring->set_legacy_address(GuestPhys{(value & 0xFFFFFFFF) * kPageSize});
      return ring->set_enabled(true);
    case 14: queue_select_ = static_cast<u16>(value); return;
    case 16: return notify(value & 0xFFFF);
    case 18: return set_status(static_cast<u8>(value));
    case 20: config_vector_ = vector; return;
    case 22:
      if (ring != nullptr) ring->set_vector(vector);
      return;
    default: return;
  }
}

// PCI side.

u64 VirtioPci::bar_read(unsigned bar, u64 offset, unsigned size_bytes) {
  if (bar == kLegacyBar) return legacy_read(offset, size_bytes);
  return bar == kModernBar ? modern_read(offset, size_bytes) : 0;
}

void VirtioPci::bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) {
  if (bar == kLegacyBar) return legacy_write(offset, value, size_bytes);
  if (bar == kModernBar) modern_write(offset, value, size_bytes);
}

// The configuration access capability: a window of 1, 2 or 4 bytes into the region, for firmware that can not map it
// [VIRTIO 4.1.4.9].
u32 VirtioPci::config_read(u8 offset, unsigned size_bytes) {
  const unsigned data = access_capability_ + 16u;
  if (access_capability_ != 0 && offset < data + 4 && offset + size_bytes > data) {
    const u32 length = config32(static_cast<u8>(access_capability_ + 12));
    const u32 at = config32(static_cast<u8>(access_capability_ + 8));
    const bool usable = (length == 1 || length == 2 || length == 4) && at < 4 * kRegionSize && at % length == 0;
    if (usable && config8(static_cast<u8>(access_capability_ + 4)) == kModernBar) {
      set_config32(static_cast<u8>(data), static_cast<u32>(modern_read(at, length)));
    }
  }
  return PciFunction::config_read(offset, size_bytes);
}

void VirtioPci::on_config_written(u8 offset, unsigned size_bytes) {
  const unsigned data = access_capability_ + 16u;
  if (access_capability_ == 0 || offset >= data + 4 || offset + size_bytes <= data) return;
  const u32 length = config32(static_cast<u8>(access_capability_ + 12));
  const u32 at = config32(static_cast<u8>(access_capability_ + 8));
  const bool usable = (length == 1 || length == 2 || length == 4) && at < 4 * kRegionSize && at % length == 0;
  if (usable && config8(static_cast<u8>(access_capability_ + 4)) == kModernBar) {
    modern_write(at, config32(static_cast<u8>(data)) & mask_of_bytes(length), length);
  }
}

}  // namespace xm::devices
