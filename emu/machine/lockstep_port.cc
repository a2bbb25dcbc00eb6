// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/lockstep_port.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::machine {

using Kind = DeviceAccess::Kind;

std::string DeviceAccess::text() const {
  static constexpr const char* kNames[] = {"port read",   "port write",   "MMIO read",  "MMIO write",
                                           "x2APIC read", "x2APIC write", "acknowledge"};
  char text[96];
  std::snprintf(text, sizeof text, "%s 0x%" PRIx64 " size %u value 0x%" PRIx64, kNames[static_cast<unsigned>(kind)],
                address, size_bytes, value);
  return text;
}

// --- primary

template <class Work>
u64 PrimaryPort::access(DeviceAccess request, Work&& work) {
  if (replay != nullptr) {
    if (replay->empty()) return ~u64{0};
    const DeviceAccess noted = replay->front();
    replay->pop_front();
    accesses.push_back(noted);
    return noted.value;
  }
  request.value = unlocked<u64>([&] { return work(request); });
  accesses.push_back(request);
  return request.value;
}

void PrimaryPort::write_ram(u8* host, u64 physical, u64 value, unsigned size_bytes) {
  u64 old = 0;
  std::memcpy(&old, host, size_bytes);
  std::memcpy(host, &value, size_bytes);
  writes.push_back({host, physical, old, size_bytes});
  if (code_pages.count(physical >> 12) != 0) code_changed(GuestPhys{physical}, size_bytes);
}

u64 PrimaryPort::mmio_read(GuestPhys address, unsigned size_bytes) {
  return access({Kind::MmioRead, address.value, size_bytes, 0},
                [&](DeviceAccess&) { return real_.mmio_read(address, size_bytes); });
}

void PrimaryPort::mmio_write(GuestPhys address, u64 value, unsigned size_bytes) {
  const cpu::PhysPage page = real_.resolve_page({address.value & ~kPageMask});
  if (page.write_host != nullptr)
    return write_ram(page.write_host + (address.value & kPageMask), address.value, value, size_bytes);
  access({Kind::MmioWrite, address.value, size_bytes, value},
         [&](DeviceAccess&) { return real_.mmio_write(address, value, size_bytes), value; });
}

u32 PrimaryPort::port_read(Port port, unsigned size_bytes) {
  return static_cast<u32>(access({Kind::PortRead, port.value, size_bytes, 0},
                                 [&](DeviceAccess&) { return u64{real_.port_read(port, size_bytes)}; }));
}

void PrimaryPort::port_write(Port port, u32 value, unsigned size_bytes) {
  access({Kind::PortWrite, port.value, size_bytes, value},
         [&](DeviceAccess&) { return real_.port_write(port, value, size_bytes), u64{value}; });
}

bool PrimaryPort::x2apic_read(u32 msr, u64& value) {
  value = access({Kind::X2ApicRead, msr, 8, 0}, [&](DeviceAccess& request) {
    u64 result = 0;
    request.ok = real_.x2apic_read(msr, result);
    return result;
  });
  return accesses.back().ok;
}

bool PrimaryPort::x2apic_write(u32 msr, u64 value) {
  access({Kind::X2ApicWrite, msr, 8, value}, [&](DeviceAccess& request) {
    request.ok = real_.x2apic_write(msr, value);
    return value;
  });
  return accesses.back().ok;
}

int PrimaryPort::acknowledge_interrupt() {
  return unlocked<int>([&] { return real_.acknowledge_interrupt(); });
}

// --- shadow

cpu::PhysPage ShadowPort::resolve_page(GuestPhys page) {
  const cpu::PhysPage real = map_.resolve_page(page);
  return {.read_host = real.read_host == nullptr ? nullptr : memory_.shadow_of(real.read_host),
          .write_host = nullptr,
          .marks = nullptr};
}

DeviceAccess ShadowPort::answer(DeviceAccess request) {
  if (notes->empty()) {
    if (difference.empty()) difference = "the shadow engine alone makes an access: " + request.text();
    request.value = ~u64{0};
    return request;
  }
  const DeviceAccess noted = notes->front();
  notes->pop_front();
  if (!noted.same_request(request) && difference.empty())
    difference = "device accesses differ: primary " + noted.text() + ", shadow " + request.text();
  return noted;
}

u64 ShadowPort::mmio_read(GuestPhys address, unsigned size_bytes) {
  const cpu::PhysPage page = map_.resolve_page({address.value & ~kPageMask});
  if (page.read_host != nullptr) {  // ROM above RAM that takes the writes is no memory slot of KVM's
    u64 value = 0;
    std::memcpy(&value, memory_.shadow_of(page.read_host) + (address.value & kPageMask), size_bytes);
    return value;
  }
  return answer({Kind::MmioRead, address.value, size_bytes, 0}).value;
}

void ShadowPort::mmio_write(GuestPhys address, u64 value, unsigned size_bytes) {
  const cpu::PhysPage page = map_.resolve_page({address.value & ~kPageMask});
  if (page.write_host != nullptr) {
    std::memcpy(memory_.shadow_of(page.write_host) + (address.value & kPageMask), &value, size_bytes);
    if (code_changed && code_pages.count(address.value >> 12) != 0) code_changed(address, size_bytes);
    return;
  }
  answer({Kind::MmioWrite, address.value, size_bytes, value});
}

u32 ShadowPort::port_read(Port port, unsigned size_bytes) {
  return static_cast<u32>(answer({Kind::PortRead, port.value, size_bytes, 0}).value);
}

void ShadowPort::port_write(Port port, u32 value, unsigned size_bytes) {
  answer({Kind::PortWrite, port.value, size_bytes, value});
}

bool ShadowPort::x2apic_read(u32 msr, u64& value) {
  const DeviceAccess noted = answer({Kind::X2ApicRead, msr, 8, 0});
  value = noted.value;
  return noted.ok;
}

bool ShadowPort::x2apic_write(u32 msr, u64 value) { return answer({Kind::X2ApicWrite, msr, 8, value}).ok; }

int ShadowPort::acknowledge_interrupt() { return -1; }

}  // namespace xm::machine
