// SPDX-License-Identifier: GPL-2.0-or-later
// What an acknowledgement brought: flags between the parts of tcp_ack.
#pragma once

namespace xm::os {

constexpr int FLAG_DATA = 1, FLAG_WIN_UPDATE = 2, FLAG_DATA_ACKED = 4, FLAG_RETRANS_DATA_ACKED = 8,
              FLAG_SYN_ACKED = 0x10, FLAG_DATA_SACKED = 0x20, FLAG_ECE = 0x40, FLAG_LOST_RETRANS = 0x80,
              FLAG_SLOWPATH = 0x100, FLAG_ORIG_SACK_ACKED = 0x200, FLAG_SND_UNA_ADVANCED = 0x400,
              FLAG_DSACKING_ACK = 0x800, FLAG_SET_XMIT_TIMER = 0x1000, FLAG_SACK_RENEGING = 0x2000,
              FLAG_UPDATE_TS_RECENT = 0x4000, FLAG_NO_CHALLENGE_ACK = 0x8000;
constexpr int FLAG_ACKED = FLAG_DATA_ACKED | FLAG_SYN_ACKED, FLAG_NOT_DUP = FLAG_DATA | FLAG_WIN_UPDATE | FLAG_ACKED,
              FLAG_CA_ALERT = FLAG_DATA_SACKED | FLAG_ECE | FLAG_DSACKING_ACK,
              FLAG_FORWARD_PROGRESS = FLAG_ACKED | FLAG_DATA_SACKED;
constexpr int REXMIT_NONE = 0, REXMIT_LOST = 1, REXMIT_NEW = 2;

}  // namespace xm::os
