// SPDX-License-Identifier: GPL-2.0-or-later
// Registration: what appears in /sys for a device, and which driver gets it.
#include "kernel/drivers/base/device.h"

#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"

namespace xm::os {

constinit bus_type platform_bus{"platform", [](const device*, const device_driver*) { return false; }};
constinit device_class tty_class{"tty"}, mem_class{"mem"}, misc_class{"misc"}, input_class{"input"}, rtc_class{"rtc"},
    graphics_class{"graphics"}, block_class{"block"}, vtconsole_class{"vtconsole"};

namespace {

constinit mutex model_mutex{};

struct BoundAttribute {
  device* d;
  const device_attribute* attribute;
};
void show_attribute(TextBuffer& out, void* p) {
  const BoundAttribute* b = static_cast<BoundAttribute*>(p);
  b->attribute->show(out, b->d);
}
int store_attribute(const char* text, size_t n, void* p) {
  const BoundAttribute* b = static_cast<BoundAttribute*>(p);
  return b->attribute->store == nullptr ? -EIO : b->attribute->store(text, n, b->d);
}

void show_number(TextBuffer& out, device* d) { out.print("%u:%u\n", major_of(d->number), minor_of(d->number)); }
void show_uevent(TextBuffer& out, device* d) {
  TextBuffer text;
  if (d->number != 0)
    text.print("MAJOR=%u%cMINOR=%u%cDEVNAME=%s%c", major_of(d->number), 0, minor_of(d->number), 0,
               d->node != nullptr ? d->node : d->name, 0);
  if (d->driver != nullptr) text.print("DRIVER=%s%c", d->driver->name, 0);
  if (d->bus != nullptr && d->bus->uevent != nullptr) d->bus->uevent(text, d);
  if (d->uevent != nullptr) d->uevent(text, d);
  for (size_t i = 0; i < text.length(); ++i) out.put(text.data()[i] == 0 ? '\n' : text.data()[i]);
}
// "add", "change" and so on, written by who starts late and wants to hear of everything.
int store_uevent(const char* text, size_t n, device* d) {
  static const char* const actions[] = {"add", "remove", "change", "move", "online", "offline", "bind", "unbind"};
  for (const char* a : actions) {
    const size_t length = strlen(a);
    if (n >= length && strncmp(text, a, length) == 0) {
      kobject_uevent(d, a);
      return 0;
    }
  }
  return -EINVAL;
}
constexpr device_attribute kDev{"dev", 0444, show_number, nullptr};
constexpr device_attribute kUevent{"uevent", 0644, show_uevent, store_uevent};

void choose_path(device* d) {
  if (d->parent != nullptr && d->cls != nullptr && d->parent->cls != d->cls) {
    format(d->path, sizeof d->path, "%s/%s/%s", d->parent->path, d->cls->name, d->name);
  } else if (d->parent != nullptr) {
    format(d->path, sizeof d->path, "%s/%s", d->parent->path, d->name);
  } else if (d->cls != nullptr) {
    format(d->path, sizeof d->path, "devices/virtual/%s/%s", d->cls->name, d->name);
  } else if (d->bus == &platform_bus) {
    format(d->path, sizeof d->path, "devices/platform/%s", d->name);
  } else {
    format(d->path, sizeof d->path, "devices/%s", d->name);
  }
}

// A link at `where` (below /sys) to `target` (below /sys), relative as sysfs has them.
void link(const char* where, const char* target) {
  char text[kDevicePath * 2] = "";
  size_t n = 0;
  for (const char* at = where; *at != 0; ++at) {
    if (*at == '/') n += static_cast<size_t>(format(text + n, sizeof text - n, "../"));
  }
  copy_string(text + n, target, sizeof text - n);
  if (const char* copy = kstrdup(text)) proc_symlink(&sysfs_root, where, copy);
}
void link_in(const char* folder, const char* name, const char* target) {
  char where[kDevicePath * 2];
  format(where, sizeof where, "%s/%s", folder, name);
  link(where, target);
}

void make_entries(device* d) {
  proc_mkdir(&sysfs_root, d->path);
  device_file(d, &kUevent);
  if (d->number != 0) device_file(d, &kDev);
  for (u32 i = 0; i < d->attribute_count; ++i) device_file(d, &d->attributes[i]);
  char folder[96];
  if (d->bus != nullptr) {
    format(folder, sizeof folder, "bus/%s/devices", d->bus->name);
    link_in(folder, d->name, d->path);
    format(folder, sizeof folder, "bus/%s", d->bus->name);
    link_in(d->path, "subsystem", folder);
  }
  if (d->cls != nullptr) {
    format(folder, sizeof folder, "class/%s", d->cls->name);
    link_in(folder, d->name, d->path);
    link_in(d->path, "subsystem", folder);
    if (d->parent != nullptr && d->parent->cls != d->cls) link_in(d->path, "device", d->parent->path);
  }
  if (d->number == 0) return;
  char where[64];
  format(where, sizeof where, "dev/%s/%u:%u", d->is_block ? "block" : "char", major_of(d->number), minor_of(d->number));
  link(where, d->path);
}

bool bind(device* d, device_driver* driver) {
  if (d->driver != nullptr || !d->bus->match(d, driver)) return false;
  d->driver = driver;
  if (driver->probe(d) != 0) {
    d->driver = nullptr;
    return false;
  }
  char folder[96];
  format(folder, sizeof folder, "bus/%s/drivers/%s", d->bus->name, driver->name);
  link_in(folder, d->name, d->path);
  link_in(d->path, "driver", folder);
  return true;
}

void find_driver(device* d) {
  for (device_driver* driver = d->bus->drivers; driver != nullptr; driver = driver->next) {
    if (bind(d, driver)) return;
  }
}

}  // namespace

void device_file(device* d, const device_attribute* attribute) {
  char where[kDevicePath + 40];
  format(where, sizeof where, "%s/%s", d->path, attribute->name);
  BoundAttribute* bound = knew<BoundAttribute>(BoundAttribute{d, attribute});
  if (bound == nullptr) return;
  proc_create(&sysfs_root, where, attribute->mode, attribute->show == nullptr ? nullptr : show_attribute,
              attribute->store == nullptr ? nullptr : store_attribute, bound);
}

void device_register(device* d) {
  choose_path(d);
  make_entries(d);
  kobject_uevent(d, "add");
  if (d->bus == nullptr) return;
  {
    MutexGuard guard(model_mutex);
    device** at = &d->bus->devices;
    while (*at != nullptr) at = &(*at)->bus_next;
    *at = d;
  }
  find_driver(d);
}

void device_unregister(device* d) {
  kobject_uevent(d, "remove");
  char where[kDevicePath * 2];
  if (d->cls != nullptr) {
    format(where, sizeof where, "class/%s/%s", d->cls->name, d->name);
    proc_remove(&sysfs_root, where);
  }
  if (d->number != 0) {
    format(where, sizeof where, "dev/%s/%u:%u", d->is_block ? "block" : "char", major_of(d->number),
           minor_of(d->number));
    proc_remove(&sysfs_root, where);
  }
  proc_remove(&sysfs_root, d->path);
}

void driver_register(device_driver* driver) {
  char folder[96];
  format(folder, sizeof folder, "bus/%s/drivers/%s", driver->bus->name, driver->name);
  proc_mkdir(&sysfs_root, folder);
  {
    MutexGuard guard(model_mutex);
    device_driver** at = &driver->bus->drivers;
    while (*at != nullptr) at = &(*at)->next;
    *at = driver;
  }
  for (device* d = driver->bus->devices; d != nullptr; d = d->bus_next) bind(d, driver);
}

device* device_create(device_class* cls, device* parent, dev_t number, const char* name) {
  device* d = knew<device>();
  if (d == nullptr) return nullptr;
  copy_string(d->name, name, sizeof d->name);
  d->cls = cls;
  d->parent = parent;
  d->number = number;
  device_register(d);
  return d;
}

device* platform_device(const char* name) {
  for (device* d = platform_bus.devices; d != nullptr; d = d->bus_next) {
    if (strcmp(d->name, name) == 0) return d;
  }
  device* d = knew<device>();
  if (d == nullptr) return nullptr;
  copy_string(d->name, name, sizeof d->name);
  d->bus = &platform_bus;
  device_register(d);
  return d;
}

}  // namespace xm::os
