// SPDX-License-Identifier: GPL-2.0-or-later
// The ioctls that loadkeys, dumpkeys, kbd_mode and setleds use. [man 4 console_ioctl]
#include "kernel/drivers/input/keyboard.h"
#include "kernel/drivers/vt/vt.h"
#include "kernel/mm/uaccess.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

bool may_change(const vc_data* vc) { return current->signal->tty == vc->tty || capable(CAP_SYS_TTY_CONFIG); }

// The user's form of an entry is ours; tables beyond ours read as not there.
long get_entry(u64 argument) {
  kbentry e;
  TRY_INT(get_user_at(e, argument));
  if (e.table >= kKeyTables) {
    e.value = K(KT_SPEC, e.index == 0 ? 127 : 0);
  } else {
    e.value = e.index < kKeys ? key_maps[e.table][e.index] : K_HOLE;
  }
  return put_user_at(e, argument);
}
long set_entry(u64 argument) {
  kbentry e;
  TRY_INT(get_user_at(e, argument));
  constexpr u16 kNoSuchMap = K(KT_SPEC, 127), kAllocated = K(KT_SPEC, 126);
  if (e.index == 0 && (e.value == kNoSuchMap || e.value == kAllocated)) return 0;  // all tables stay
  if (e.table >= kKeyTables || e.index >= kKeys) return e.value == K_HOLE ? 0 : -EINVAL;
  if (e.index == 0) return 0;
  key_maps[e.table][e.index] = e.value;
  return 0;
}

long get_string(u64 argument) {
  kbsentry e{};
  TRY_INT(get_user_at(e.func, argument));
  copy_string(reinterpret_cast<char*>(e.string), function_string(e.func), sizeof e.string);
  return put_user_at(e, argument);
}
long set_string(u64 argument) {
  kbsentry e;
  TRY_INT(get_user_at(e, argument));
  e.string[sizeof e.string - 1] = 0;
  return set_function_string(e.func, reinterpret_cast<const char*>(e.string));
}

}  // namespace

long keyboard_ioctl(vc_data* vc, u32 command, u64 argument) {
  switch (command) {
    case KDGKBMODE: return put_user_at(static_cast<int>(vc->kbd_mode), argument);
    case KDSKBMODE:
      if (!may_change(vc)) return -EPERM;
      if (argument > K_OFF) return -EINVAL;
      vc->kbd_mode = static_cast<u32>(argument);
      return 0;
    case KDGKBMETA: return put_user_at(vc->meta_escape ? 4 : 3, argument);
    case KDSKBMETA:
      if (argument != 3 && argument != 4) return -EINVAL;
      vc->meta_escape = argument == 4;
      return 0;
    case KDGKBENT: return get_entry(argument);
    case KDSKBENT: return may_change(vc) ? set_entry(argument) : -EPERM;
    case KDGKBSENT: return get_string(argument);
    case KDSKBSENT: return may_change(vc) ? set_string(argument) : -EPERM;
    case KDGKBDIACR:
    case KDGKBDIACRUC: return put_user_at(u32{0}, argument);
    case KDSKBDIACR:
    case KDSKBDIACRUC: return may_change(vc) ? 0 : -EPERM;
    case KDGKBLED: return put_user_at(static_cast<u8>(vc->lock_flags | vc->lock_flags << 4), argument);
    case KDSKBLED:
      if (!may_change(vc)) return -EPERM;
      if ((argument & ~0x77ul) != 0) return -EINVAL;
      vc->lock_flags = argument & 7;
      if (vc->number == foreground) keyboard_set_leds(vc->lock_flags);
      return 0;
    case KDGETLED: return put_user_at(static_cast<u8>(vc->lock_flags), argument);
    case KDSETLED:
      if (!may_change(vc)) return -EPERM;
      keyboard_set_leds(argument > 7 ? vc->lock_flags : static_cast<u32>(argument));
      return 0;
    case KDKBDREP: {
      int rep[2];
      TRY_INT(get_user_at(rep, argument));
      rep[0] = 250;
      rep[1] = 33;
      return put_user_at(rep, argument);
    }
    case KDSIGACCEPT: return capable(CAP_KILL) ? 0 : -EPERM;
    default: return -ENOIOCTLCMD;
  }
}

}  // namespace xm::os
