// SPDX-License-Identifier: GPL-2.0-or-later
// Consoles and keyboards: ioctls of [man 4 console_ioctl] and the codes of key maps (linux/kd.h, vt.h, keyboard.h).
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr u32 GIO_FONT = 0x4b60, PIO_FONT = 0x4b61, GIO_FONTX = 0x4b6b, PIO_FONTX = 0x4b6c, PIO_FONTRESET = 0x4b6d,
              GIO_CMAP = 0x4b70, PIO_CMAP = 0x4b71, KIOCSOUND = 0x4b2f, KDMKTONE = 0x4b30, KDGETLED = 0x4b31,
              KDSETLED = 0x4b32, KDGKBTYPE = 0x4b33, KDADDIO = 0x4b34, KDDELIO = 0x4b35, KDENABIO = 0x4b36,
              KDDISABIO = 0x4b37, KDSETMODE = 0x4b3a, KDGETMODE = 0x4b3b, GIO_SCRNMAP = 0x4b40, PIO_SCRNMAP = 0x4b41,
              KDGKBMODE = 0x4b44, KDSKBMODE = 0x4b45, KDGKBENT = 0x4b46, KDSKBENT = 0x4b47, KDGKBSENT = 0x4b48,
              KDSKBSENT = 0x4b49, KDGKBDIACR = 0x4b4a, KDSKBDIACR = 0x4b4b, KDGETKEYCODE = 0x4b4c,
              KDSETKEYCODE = 0x4b4d, KDSIGACCEPT = 0x4b4e, KDKBDREP = 0x4b52, KDGKBMETA = 0x4b62, KDSKBMETA = 0x4b63,
              KDGKBLED = 0x4b64, KDSKBLED = 0x4b65, GIO_UNIMAP = 0x4b66, PIO_UNIMAP = 0x4b67, PIO_UNIMAPCLR = 0x4b68,
              GIO_UNISCRNMAP = 0x4b69, PIO_UNISCRNMAP = 0x4b6a, KDFONTOP = 0x4b72, KDGKBDIACRUC = 0x4bfa,
              KDSKBDIACRUC = 0x4bfb;
constexpr u32 VT_OPENQRY = 0x5600, VT_GETMODE = 0x5601, VT_SETMODE = 0x5602, VT_GETSTATE = 0x5603, VT_SENDSIG = 0x5604,
              VT_RELDISP = 0x5605, VT_ACTIVATE = 0x5606, VT_WAITACTIVE = 0x5607, VT_DISALLOCATE = 0x5608,
              VT_RESIZE = 0x5609, VT_RESIZEX = 0x560a, VT_LOCKSWITCH = 0x560b, VT_UNLOCKSWITCH = 0x560c,
              VT_GETHIFONTMASK = 0x560d;
constexpr u32 KD_TEXT = 0, KD_GRAPHICS = 1;
constexpr u32 K_RAW = 0, K_XLATE = 1, K_MEDIUMRAW = 2, K_UNICODE = 3, K_OFF = 4;
constexpr u8 KB_101 = 2;
constexpr u8 VT_AUTO = 0, VT_PROCESS = 1, VT_ACKACQ = 2;

struct vt_mode {
  u8 mode, waitv;
  u16 relsig, acqsig, frsig;
};
struct vt_stat {
  u16 v_active, v_signal, v_state;
};
struct vt_sizes {
  u16 rows, columns, scrollsize;
};
struct kbentry {
  u8 table, index;
  u16 value;
};
struct kbsentry {
  u8 func;
  u8 string[512];
};
struct unipair {
  u16 unicode, fontpos;
};
struct unimapdesc {
  u16 count;
  u64 entries;
};
constexpr u32 KD_FONT_OP_SET = 0, KD_FONT_OP_GET = 1, KD_FONT_OP_SET_DEFAULT = 2, KD_FONT_OP_COPY = 3;
struct console_font_op {
  u32 op, flags, width, height, charcount;
  u64 data;
};

// Key map entries: type << 8 | value.
constexpr u8 KT_LATIN = 0, KT_FN = 1, KT_SPEC = 2, KT_PAD = 3, KT_DEAD = 4, KT_CONS = 5, KT_CUR = 6, KT_SHIFT = 7,
             KT_META = 8, KT_ASCII = 9, KT_LOCK = 10, KT_LETTER = 11, KT_SLOCK = 12;
constexpr u16 K(u8 type, u8 value) { return static_cast<u16>(type << 8 | value); }
constexpr u16 K_HOLE = K(KT_SPEC, 0), K_ENTER = K(KT_SPEC, 1), K_CAPS = K(KT_SPEC, 7), K_NUM = K(KT_SPEC, 8),
              K_HOLD = K(KT_SPEC, 9), K_SCROLLFORW = K(KT_SPEC, 10), K_SCROLLBACK = K(KT_SPEC, 11),
              K_BOOT = K(KT_SPEC, 12), K_DECRCONSOLE = K(KT_SPEC, 16), K_INCRCONSOLE = K(KT_SPEC, 17),
              K_CONS = K(KT_SPEC, 14);
constexpr u32 kKeys = 128, kKeyTables = 16;  // tables: shift 1, altgr 2, control 4, alt 8

}  // namespace xm::os
