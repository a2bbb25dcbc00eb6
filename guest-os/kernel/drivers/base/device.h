// SPDX-License-Identifier: GPL-2.0-or-later
// The driver model: devices sit in a tree under /sys/devices; a bus brings devices and drivers together; a class names
// what a device is for its users (/sys/class). Each arrival is told to user space as a uevent. [Linux
// Documentation/driver-api/driver-model]. GAP: devices stay for good unless their owner removes them; no power states.
#pragma once

#include "kernel/fs/proc/proc.h"

namespace xm::os {

struct device;
struct device_driver;

struct device_attribute {
  const char* name;
  umode_t mode;
  void (*show)(TextBuffer& out, device* d);
  int (*store)(const char* text, size_t n, device* d) = nullptr;
};

struct bus_type {
  const char* name;
  bool (*match)(const device* d, const device_driver* driver);
  void (*uevent)(TextBuffer& out, const device* d) = nullptr;  // adds KEY=value and a NUL each
  device* devices = nullptr;
  device_driver* drivers = nullptr;
};

struct device_driver {
  const char* name;
  bus_type* bus;
  int (*probe)(device* d);  // 0: the device is the driver's
  device_driver* next = nullptr;
};

struct device_class {
  const char* name;
};

constexpr size_t kDevicePath = 160;
struct device {
  char name[40]{};
  device* parent = nullptr;  // null: /sys/devices/virtual/CLASS, or /sys/devices for a device of a bus
  bus_type* bus = nullptr;
  device_class* cls = nullptr;
  device_driver* driver = nullptr;
  dev_t number = 0;            // of its node in /dev; 0: none
  const char* node = nullptr;  // below /dev, if it is not the name
  bool is_block = false;
  const device_attribute* attributes = nullptr;
  u32 attribute_count = 0;
  void (*uevent)(TextBuffer& out, const device* d) = nullptr;
  void* driver_data = nullptr;
  char path[kDevicePath]{};  // below /sys: devices/pci0000:00/...
  device* bus_next = nullptr;
};

// Makes the directory and links of the device, looks for its driver, tells user space.
void device_register(device* d);
void device_unregister(device* d);
void driver_register(device_driver* driver);  // probes the devices that are there already
void device_file(device* d, const device_attribute* attribute);
// A device that a class makes for a character device: /dev nodes are its caller's.
device* device_create(device_class* cls, device* parent, dev_t number, const char* name);
void kobject_uevent(const device* d, const char* action);

extern bus_type platform_bus;
device* platform_device(const char* name);  // /sys/devices/platform/NAME
extern device_class tty_class, mem_class, misc_class, input_class, rtc_class, graphics_class, block_class,
    vtconsole_class;

}  // namespace xm::os
