// SPDX-License-Identifier: GPL-2.0-or-later
// The states of a connection by Linux's numbers, as /proc/net/tcp and inet_diag show them. [RFC 9293, 3.3.2]
// Datagram sockets use the first and the seventh.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum TcpState : u8 {
  TCP_ESTABLISHED = 1,
  TCP_SYN_SENT,
  TCP_SYN_RECV,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_TIME_WAIT,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_CLOSING,
  TCP_NEW_SYN_RECV,
  TCP_MAX_STATES
};
constexpr u32 TCPF_ESTABLISHED = 1 << 1, TCPF_SYN_SENT = 1 << 2, TCPF_SYN_RECV = 1 << 3, TCPF_FIN_WAIT1 = 1 << 4,
              TCPF_FIN_WAIT2 = 1 << 5, TCPF_TIME_WAIT = 1 << 6, TCPF_CLOSE = 1 << 7, TCPF_CLOSE_WAIT = 1 << 8,
              TCPF_LAST_ACK = 1 << 9, TCPF_LISTEN = 1 << 10, TCPF_CLOSING = 1 << 11, TCPF_NEW_SYN_RECV = 1 << 12;

}  // namespace xm::os
