// SPDX-License-Identifier: GPL-2.0-or-later
// uevents: one datagram for group 1 of NETLINK_KOBJECT_UEVENT, "ACTION@PATH" and then KEY=value strings, each ended by
// a NUL. [Linux lib/kobject_uevent.c, man 7 udev]. Also /sys/kernel/uevent_seqnum and /sys/kernel/uevent_helper.
#include "kernel/drivers/base/device.h"
#include "kernel/init/initcall.h"
#include "kernel/net/netlink/netlink.h"
#include "kernel/net/skbuff.h"

namespace xm::os {
namespace {

constinit Atomic<u64> sequence{0};

void add_keys(TextBuffer& out, const device* d) {
  const char* subsystem = d->cls != nullptr ? d->cls->name : (d->bus != nullptr ? d->bus->name : nullptr);
  if (subsystem != nullptr) out.print("SUBSYSTEM=%s%c", subsystem, 0);
  if (d->number != 0) {
    out.print("MAJOR=%u%cMINOR=%u%cDEVNAME=%s%c", major_of(d->number), 0, minor_of(d->number), 0,
              d->node != nullptr ? d->node : d->name, 0);
  }
  if (d->driver != nullptr) out.print("DRIVER=%s%c", d->driver->name, 0);
  if (d->bus != nullptr && d->bus->uevent != nullptr) d->bus->uevent(out, d);
  if (d->uevent != nullptr) d->uevent(out, d);
}

void show_sequence(TextBuffer& out, void*) { out.print("%lu\n", sequence.load()); }
void uevent_files() { proc_create(&sysfs_root, "kernel/uevent_seqnum", 0444, show_sequence); }
FS_INITCALL(uevent_files);

}  // namespace

void kobject_uevent(const device* d, const char* action) {
  const u64 number = sequence.add(1);
  if (!netlink_has_listeners(NETLINK_KOBJECT_UEVENT, 1)) return;
  TextBuffer text;
  text.print("%s@/%s%c", action, d->path, 0);
  text.print("ACTION=%s%cDEVPATH=/%s%c", action, 0, d->path, 0);
  add_keys(text, d);
  text.print("SEQNUM=%lu%c", number, 0);
  if (text.failed()) return;
  const u32 length = static_cast<u32>(text.length());
  sk_buff* skb = alloc_skb(length, GFP_KERNEL);
  if (skb == nullptr) return;
  memcpy(skb_put(skb, length), text.data(), length);
  netlink_broadcast(NETLINK_KOBJECT_UEVENT, skb, 1);
}

}  // namespace xm::os
