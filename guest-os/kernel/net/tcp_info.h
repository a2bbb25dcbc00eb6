// SPDX-License-Identifier: GPL-2.0-or-later
// struct tcp_info as TCP_INFO and inet_diag give it. [man 7 tcp]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct tcp_info {
  u8 tcpi_state, tcpi_ca_state, tcpi_retransmits, tcpi_probes, tcpi_backoff, tcpi_options;
  u8 tcpi_snd_wscale : 4, tcpi_rcv_wscale : 4;
  u8 tcpi_delivery_rate_app_limited : 1, tcpi_fastopen_client_fail : 2;
  u32 tcpi_rto, tcpi_ato, tcpi_snd_mss, tcpi_rcv_mss;
  u32 tcpi_unacked, tcpi_sacked, tcpi_lost, tcpi_retrans, tcpi_fackets;
  u32 tcpi_last_data_sent, tcpi_last_ack_sent, tcpi_last_data_recv, tcpi_last_ack_recv;
  u32 tcpi_pmtu, tcpi_rcv_ssthresh, tcpi_rtt, tcpi_rttvar, tcpi_snd_ssthresh, tcpi_snd_cwnd, tcpi_advmss,
      tcpi_reordering;
  u32 tcpi_rcv_rtt, tcpi_rcv_space, tcpi_total_retrans;
  u64 tcpi_pacing_rate, tcpi_max_pacing_rate, tcpi_bytes_acked, tcpi_bytes_received;
  u32 tcpi_segs_out, tcpi_segs_in, tcpi_notsent_bytes, tcpi_min_rtt, tcpi_data_segs_in, tcpi_data_segs_out;
  u64 tcpi_delivery_rate, tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited;
  u32 tcpi_delivered, tcpi_delivered_ce;
  u64 tcpi_bytes_sent, tcpi_bytes_retrans;
  u32 tcpi_dsack_dups, tcpi_reord_seen, tcpi_rcv_ooopack, tcpi_snd_wnd;
};
static_assert(sizeof(tcp_info) == 232);

}  // namespace xm::os
