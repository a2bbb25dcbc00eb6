// SPDX-License-Identifier: GPL-2.0-or-later
// Registration of input devices, distribution of their events, and /proc/bus/input/devices.
#include "kernel/drivers/input/input.h"

#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {

constinit input_dev* input_devices = nullptr;

namespace {

constinit u32 count = 0;

void show_bits(TextBuffer& out, const char* name, const u64* words, u32 n) {
  while (n > 1 && words[n - 1] == 0) --n;
  out.print("B: %s=%lx", name, words[n - 1]);
  for (u32 i = n - 1; i-- > 0;) out.print(" %lx", words[i]);
  out.put('\n');
}

void show_devices(TextBuffer& out, void*) {
  for (const input_dev* d = input_devices; d != nullptr; d = d->next) {
    out.print("I: Bus=%04x Vendor=%04x Product=%04x Version=%04x\nN: Name=\"%s\"\nP: Phys=%s\nS: Sysfs=/%s\nU: Uniq=\n",
              d->id.bustype, d->id.vendor, d->id.product, d->id.version, d->name, d->phys, d->dev.path);
    const bool keyboard = d->has_key(30), mouse = d->rels != 0;
    out.print("H: Handlers=%s%sevent%u \n", keyboard ? "sysrq kbd leds " : "", mouse ? "mouse0 " : "", d->index);
    out.print("B: PROP=%d\n", mouse ? 1 : 0);
    show_bits(out, "EV", &d->events, 1);
    if ((d->events & 1ul << EV_KEY) != 0) show_bits(out, "KEY", d->keys, kKeyWords);
    if (d->rels != 0) show_bits(out, "REL", &d->rels, 1);
    if (d->mscs != 0) show_bits(out, "MSC", &d->mscs, 1);
    if (d->leds != 0) show_bits(out, "LED", &d->leds, 1);
    out.put('\n');
  }
}

void show_name(TextBuffer& out, device* d) { out.print("%s\n", static_cast<input_dev*>(d->driver_data)->name); }
constexpr device_attribute kAttributes[] = {{"name", 0444, show_name}};

void input_init() {
  proc_create(&proc_root, "bus/input/devices", 0444, show_devices);
  mousedev_init();
}
FS_INITCALL(input_init);

}  // namespace

void input_register(input_dev* d) {
  d->index = count++;
  d->dev.parent = platform_device("i8042");
  if (d->id.bustype != BUS_I8042) d->dev.parent = nullptr;
  d->dev.cls = &input_class;
  d->dev.driver_data = d;
  d->dev.attributes = kAttributes;
  d->dev.attribute_count = array_size(kAttributes);
  format(d->dev.name, sizeof d->dev.name, "input%u", d->index);
  device_register(&d->dev);
  evdev_connect(d);
  input_dev** at = &input_devices;
  while (*at != nullptr) at = &(*at)->next;
  *at = d;
  printk(KERN_INFO "input: %s as /%s\n", d->name, d->dev.path);
}

void input_event(input_dev* d, u16 type, u16 code, s32 value) {
  if (type == EV_KEY && code <= KEY_MAX && value != 2) {
    const u64 bit = 1ul << (code % 64);
    d->down[code / 64] = value != 0 ? d->down[code / 64] | bit : d->down[code / 64] & ~bit;
  }
  evdev_event(d, type, code, value);
  if (d->grabbed_by != nullptr) return;
  if (d->rels != 0) mousedev_event(d, type, code, value);
  if (type == EV_KEY && d->has_key(30)) keyboard_key(code, value);
}
void input_sync(input_dev* d) { input_event(d, EV_SYN, SYN_REPORT, 0); }

}  // namespace xm::os
