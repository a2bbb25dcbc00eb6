// SPDX-License-Identifier: GPL-2.0-or-later
// The ioctls of consoles, in the order of [man 4 console_ioctl]: fonts and glyph maps, modes, switching. Those of the
// keyboard are in drivers/input/keyboard_ioctl.cc. GAP: screen maps of single bytes (PIO_SCRNMAP) and selections by
// TIOCLINUX are not kept.
#include "kernel/drivers/vt/vt.h"
#include "kernel/fs/fs.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kFontBytes = 512 * 32;

// The controlling terminal's owner, or who may configure terminals.
bool may_configure(const tty_struct* t) { return current->signal->tty == t || capable(CAP_SYS_TTY_CONFIG); }

long set_font(const console_font_op& op) {
  if (op.width != 8 || op.height > 32 || op.charcount == 0 || op.charcount > 512 || op.data == 0) return -EINVAL;
  u8* glyphs = static_cast<u8*>(vmalloc(kFontBytes));
  if (glyphs == nullptr) return -ENOMEM;
  memset(glyphs, 0, kFontBytes);
  long result = copy_from_user(glyphs, reinterpret_cast<const void*>(op.data), op.charcount * 32ul);
  if (result == 0) {
    IrqGuard guard(vt_lock);
    result = display->set_font(glyphs, op.charcount, op.height);
    if (result == 0) vt_redraw();
  }
  vfree(glyphs);
  return result;
}

long get_font(console_font_op& op) {
  u8* glyphs = static_cast<u8*>(vmalloc(kFontBytes));
  if (glyphs == nullptr) return -ENOMEM;
  const u32 room = op.charcount;
  {
    IrqGuard guard(vt_lock);
    op.charcount = display->get_font(glyphs, &op.height);
  }
  op.width = 8;
  long result = 0;
  if (op.data != 0 && op.charcount > room) result = -ENOSPC;
  if (op.data != 0 && result == 0) result = copy_to_user(reinterpret_cast<void*>(op.data), glyphs, op.charcount * 32ul);
  vfree(glyphs);
  return result;
}

long font_op(tty_struct* t, u64 argument) {
  console_font_op op;
  TRY_INT(get_user_at(op, argument));
  if (op.op != KD_FONT_OP_GET && !may_configure(t)) return -EPERM;
  switch (op.op) {
    case KD_FONT_OP_SET: return set_font(op);
    case KD_FONT_OP_GET: {
      TRY_INT(static_cast<int>(get_font(op)));
      return put_user_at(op, argument);
    }
    default: return -ENOSYS;  // the font of the firmware is gone once another is set
  }
}

long set_unimap(u64 argument) {
  unimapdesc d;
  TRY_INT(get_user_at(d, argument));
  const size_t bytes = d.count * sizeof(unipair);
  if (bytes == 0) return 0;
  unipair* pairs = static_cast<unipair*>(vmalloc(bytes));
  if (pairs == nullptr) return -ENOMEM;
  long result = copy_from_user(pairs, reinterpret_cast<const void*>(d.entries), bytes);
  if (result == 0) result = unimap_set(pairs, d.count);
  vfree(pairs);
  if (result == 0) {
    IrqGuard guard(vt_lock);
    vt_redraw();
  }
  return result;
}
long get_unimap(u64 argument) {
  unimapdesc d;
  TRY_INT(get_user_at(d, argument));
  const u32 count = unimap_get(nullptr, 0);
  const bool fits = d.count >= count;
  if (fits) {
    unipair* pairs = static_cast<unipair*>(vmalloc(count * sizeof(unipair) + 1));
    if (pairs == nullptr) return -ENOMEM;
    unimap_get(pairs, count);
    const long error = copy_to_user(reinterpret_cast<void*>(d.entries), pairs, count * sizeof(unipair));
    vfree(pairs);
    if (error != 0) return error;
  }
  d.count = static_cast<u16>(count);
  TRY_INT(put_user_at(d, argument));
  return fits ? 0 : -ENOMEM;
}

long colour_map(vc_data* vc, bool set, u64 argument) {
  static constexpr u8 kOrder[16] = {0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15};  // ANSI to VGA
  u8 map[48];
  if (!set) {
    for (u32 i = 0; i < 16; ++i) memcpy(map + i * 3, vc->colours[kOrder[i]], 3);
    return copy_to_user(reinterpret_cast<void*>(argument), map, sizeof map);
  }
  TRY_INT(static_cast<int>(copy_from_user(map, reinterpret_cast<const void*>(argument), sizeof map)));
  IrqGuard guard(vt_lock);
  for (u32 i = 0; i < 16; ++i) vc->palette(kOrder[i], map[i * 3], map[i * 3 + 1], map[i * 3 + 2]);
  return 0;
}

long font_ioctl(tty_struct* t, vc_data* vc, u32 command, u64 argument) {
  switch (command) {
    case KDFONTOP: return font_op(t, argument);
    case GIO_UNIMAP: return get_unimap(argument);
    case PIO_UNIMAP: return may_configure(t) ? set_unimap(argument) : -EPERM;
    case PIO_UNIMAPCLR:
      if (!may_configure(t)) return -EPERM;
      unimap_clear();
      return 0;
    case GIO_CMAP: return colour_map(vc, false, argument);
    case PIO_CMAP: return may_configure(t) ? colour_map(vc, true, argument) : -EPERM;
    case PIO_FONTRESET: return -ENOSYS;
    default: return -ENOIOCTLCMD;
  }
}

long set_kd_mode(vc_data* vc, u64 mode) {
  if (mode == 2 || mode == 3) mode = KD_TEXT;  // KD_TEXT0, KD_TEXT1
  if (mode > 1) return -EINVAL;
  IrqGuard guard(vt_lock);
  if (vc->kd_mode == mode) return 0;
  vc->kd_mode = static_cast<u32>(mode);
  if (mode == KD_TEXT) vt_redraw();
  return 0;
}

long mode_ioctl(tty_struct* t, vc_data* vc, u32 command, u64 argument) {
  switch (command) {
    case KDGKBTYPE: return put_user_at(KB_101, argument);
    case KDGETMODE: return put_user_at(static_cast<int>(vc->kd_mode), argument);
    case KDSETMODE: return may_configure(t) ? set_kd_mode(vc, argument) : -EPERM;
    case KIOCSOUND:
      if (!may_configure(t)) return -EPERM;
      beep(argument == 0 ? 0 : 1193182 / static_cast<u32>(max<u64>(argument & 0xffff, 1)), 0);
      return 0;
    case KDMKTONE: {
      if (!may_configure(t)) return -EPERM;
      const u32 count = argument & 0xffff, ms = static_cast<u32>(argument >> 16) & 0xffff;
      beep(count == 0 ? 0 : 1193182 / count, ms);
      return 0;
    }
    case TIOCLINUX: {
      u8 what;
      TRY_INT(get_user_at(what, argument));
      switch (what) {
        case 6: return put_user_at(u8{0}, argument);  // shift state
        case 12: return static_cast<long>(foreground) - 1;
        case 4:
        case 14: return 0;  // unblank, blank
        default: return -EINVAL;
      }
    }
    default: return -ENOIOCTLCMD;
  }
}

long set_switch_mode(vc_data* vc, u64 argument) {
  vt_mode m;
  TRY_INT(get_user_at(m, argument));
  if (m.mode != VT_AUTO && m.mode != VT_PROCESS) return -EINVAL;
  m.frsig = 0;
  vc->switching = m;
  vc->owner = m.mode == VT_PROCESS ? current->tgid : 0;
  return 0;
}

long get_state(u64 argument) {
  vt_stat s{static_cast<u16>(foreground), 0, 1};
  for (u32 i = 0; i < kConsoles; ++i) {
    const bool used = consoles[i] != nullptr && consoles[i]->tty != nullptr && consoles[i]->tty->open_count > 0;
    if (used) s.v_state = static_cast<u16>(s.v_state | 2u << i);
  }
  return put_user_at(s, argument);
}

long open_query(u64 argument) {
  for (u32 i = 0; i < kConsoles; ++i) {
    const tty_struct* t = find_tty(make_dev(4, i + 1));
    if (t != nullptr && t->open_count == 0) return put_user_at(static_cast<int>(i + 1), argument);
  }
  return put_user_at(-1, argument);
}

long disallocate(u64 number) {
  if (number > kConsoles) return -ENXIO;
  const tty_struct* t = number == 0 ? nullptr : find_tty(make_dev(4, static_cast<u32>(number)));
  const bool busy = number == foreground || number == 1 || (t != nullptr && t->open_count > 0);
  return number != 0 && busy ? -EBUSY : 0;  // its memory is kept for the next user
}

long switch_ioctl(tty_struct* t, vc_data* vc, u32 command, u64 argument) {
  switch (command) {
    case VT_OPENQRY: return open_query(argument);
    case VT_GETMODE: return put_user_at(vc->switching, argument);
    case VT_SETMODE: return may_configure(t) ? set_switch_mode(vc, argument) : -EPERM;
    case VT_GETSTATE: return get_state(argument);
    case VT_RELDISP:
      if (!may_configure(t)) return -EPERM;
      if (vc->switching.mode != VT_PROCESS) return -EINVAL;
      if (wanted_console == 0) return argument == VT_ACKACQ ? 0 : -EINVAL;
      if (argument == 0) {
        wanted_console = 0;
      } else {
        complete_change(wanted_console);
      }
      return 0;
    case VT_ACTIVATE:
      if (!may_configure(t)) return -EPERM;
      if (argument == 0 || argument > kConsoles) return -ENXIO;
      change_console(static_cast<u32>(argument));
      return 0;
    case VT_WAITACTIVE:
      if (!may_configure(t)) return -EPERM;
      if (argument == 0 || argument > kConsoles) return -ENXIO;
      return vt_wait_active(static_cast<u32>(argument));
    case VT_DISALLOCATE: return disallocate(argument);
    case VT_RESIZE: {
      vt_sizes s;
      if (!may_configure(t)) return -EPERM;
      TRY_INT(get_user_at(s, argument));
      return s.rows == display->rows && s.columns == display->columns ? 0 : -EINVAL;
    }
    case VT_LOCKSWITCH:
    case VT_UNLOCKSWITCH: return capable(CAP_SYS_TTY_CONFIG) ? 0 : -EPERM;
    case VT_GETHIFONTMASK: return put_user_at(u16{0x800}, argument);
    default: return -ENOIOCTLCMD;
  }
}

}  // namespace

long vt_ioctl(tty_struct* t, u32 command, u64 argument) {
  vc_data* vc = static_cast<vc_data*>(t->driver_data);
  if (vc == nullptr) return -ENOIOCTLCMD;
  long r = font_ioctl(t, vc, command, argument);
  if (r == -ENOIOCTLCMD) r = mode_ioctl(t, vc, command, argument);
  if (r == -ENOIOCTLCMD) r = switch_ioctl(t, vc, command, argument);
  return r == -ENOIOCTLCMD ? keyboard_ioctl(vc, command, argument) : r;
}

}  // namespace xm::os
