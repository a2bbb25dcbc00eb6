// SPDX-License-Identifier: GPL-2.0-or-later
// The settings under /proc/sys/net/ipv4 and net/core. Names and defaults are Linux's. [man 7 tcp], [man 7 ip]
#include "kernel/fs/proc/proc.h"
#include "kernel/lib/format.h"
#include "kernel/lib/string.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/slab.h"
#include "kernel/net/tcp.h"

namespace xm::os {

s64 sysctl_tcp_sack = 1, sysctl_tcp_timestamps = 1, sysctl_tcp_window_scaling = 1, sysctl_tcp_dsack = 1,
    sysctl_tcp_ecn = 2, sysctl_tcp_syn_retries = 6, sysctl_tcp_synack_retries = 5, sysctl_tcp_retries1 = 3,
    sysctl_tcp_retries2 = 15, sysctl_tcp_orphan_retries = 0, sysctl_tcp_fin_timeout = 60,
    sysctl_tcp_keepalive_time = 7200, sysctl_tcp_keepalive_intvl = 75, sysctl_tcp_keepalive_probes = 9,
    sysctl_tcp_syncookies = 1, sysctl_tcp_max_syn_backlog = 512, sysctl_tcp_abort_on_overflow = 0,
    sysctl_tcp_max_tw_buckets = 16384, sysctl_tcp_max_orphans = 16384, sysctl_tcp_rfc1337 = 0, sysctl_tcp_stdurg = 0,
    sysctl_tcp_tw_reuse = 2, sysctl_tcp_moderate_rcvbuf = 1, sysctl_tcp_adv_win_scale = 1,
    sysctl_tcp_slow_start_after_idle = 1, sysctl_tcp_reordering = 3, sysctl_tcp_max_reordering = 300,
    sysctl_tcp_early_retrans = 3, sysctl_tcp_recovery = 1, sysctl_tcp_limit_output_bytes = 1048576,
    sysctl_tcp_challenge_ack_limit = 1000, sysctl_tcp_invalid_ratelimit = 500, sysctl_tcp_autocorking = 1,
    sysctl_tcp_min_tso_segs = 2, sysctl_tcp_base_mss = 1024, sysctl_tcp_no_metrics_save = 1,
    sysctl_tcp_notsent_lowat = 0xffffffff, sysctl_tcp_retrans_collapse = 1, sysctl_tcp_workaround_signed_windows = 0,
    sysctl_tcp_thin_linear_timeouts = 0, sysctl_tcp_mtu_probing = 0, sysctl_tcp_fastopen = 0;
s64 sysctl_tcp_rmem[3] = {4096, 131072, 6291456}, sysctl_tcp_wmem[3] = {4096, 16384, 4194304},
    sysctl_tcp_mem[3] = {0, 0, 0};
s64 sysctl_ip_early_demux = 1;
extern s64 sysctl_ip_default_ttl, sysctl_ip_nonlocal_bind, sysctl_ping_group_range[2], sysctl_icmp_echo_ignore_all,
    sysctl_icmp_echo_ignore_broadcasts, sysctl_icmp_ratelimit, sysctl_icmp_ratemask, sysctl_icmp_msgs_per_sec,
    sysctl_icmp_msgs_burst, sysctl_ipfrag_high_thresh, sysctl_ipfrag_time, sysctl_ipfrag_max_dist;

namespace {

constexpr s64 kIntMax = 0x7fffffff;
struct Row {
  const char* name;
  s64* value;
  s64 low, high;
};
#define ROW(name) \
  { "tcp_" #name, &sysctl_tcp_##name, 0, kIntMax }
const Row kRows[] = {ROW(sack),
                     ROW(timestamps),
                     ROW(window_scaling),
                     ROW(dsack),
                     ROW(ecn),
                     {"tcp_syn_retries", &sysctl_tcp_syn_retries, 1, 127},
                     ROW(synack_retries),
                     ROW(retries1),
                     ROW(retries2),
                     ROW(orphan_retries),
                     ROW(fin_timeout),
                     ROW(keepalive_time),
                     ROW(keepalive_intvl),
                     ROW(keepalive_probes),
                     ROW(syncookies),
                     ROW(max_syn_backlog),
                     ROW(abort_on_overflow),
                     ROW(max_tw_buckets),
                     ROW(max_orphans),
                     ROW(rfc1337),
                     ROW(stdurg),
                     ROW(tw_reuse),
                     ROW(moderate_rcvbuf),
                     {"tcp_adv_win_scale", &sysctl_tcp_adv_win_scale, -31, 31},
                     ROW(slow_start_after_idle),
                     ROW(reordering),
                     ROW(max_reordering),
                     ROW(early_retrans),
                     ROW(recovery),
                     ROW(limit_output_bytes),
                     ROW(challenge_ack_limit),
                     ROW(invalid_ratelimit),
                     ROW(autocorking),
                     ROW(min_tso_segs),
                     ROW(base_mss),
                     ROW(no_metrics_save),
                     {"tcp_notsent_lowat", &sysctl_tcp_notsent_lowat, 0, 0xffffffff},
                     ROW(retrans_collapse),
                     ROW(workaround_signed_windows),
                     ROW(thin_linear_timeouts),
                     ROW(mtu_probing),
                     ROW(fastopen),
                     {"ip_default_ttl", &sysctl_ip_default_ttl, 1, 255},
                     {"ip_nonlocal_bind", &sysctl_ip_nonlocal_bind, 0, 1},
                     {"ip_early_demux", &sysctl_ip_early_demux, 0, 1},
                     {"ip_unprivileged_port_start", &sysctl_ip_unprivileged_port_start, 0, 65535},
                     {"icmp_echo_ignore_all", &sysctl_icmp_echo_ignore_all, 0, 1},
                     {"icmp_echo_ignore_broadcasts", &sysctl_icmp_echo_ignore_broadcasts, 0, 1},
                     {"icmp_ratelimit", &sysctl_icmp_ratelimit, 0, kIntMax},
                     {"icmp_ratemask", &sysctl_icmp_ratemask, 0, kIntMax},
                     {"icmp_msgs_per_sec", &sysctl_icmp_msgs_per_sec, 0, kIntMax},
                     {"icmp_msgs_burst", &sysctl_icmp_msgs_burst, 0, kIntMax},
                     {"ipfrag_high_thresh", &sysctl_ipfrag_high_thresh, 0, kIntMax},
                     {"ipfrag_time", &sysctl_ipfrag_time, 1, kIntMax},
                     {"ipfrag_max_dist", &sysctl_ipfrag_max_dist, 0, kIntMax}};
#undef ROW

struct Vector {
  s64* values;
  u32 n;
};
const Vector kRmem{sysctl_tcp_rmem, 3}, kWmem{sysctl_tcp_wmem, 3}, kMem{sysctl_tcp_mem, 3},
    kPorts{sysctl_local_port_range, 2}, kPing{sysctl_ping_group_range, 2};

void show_vector(TextBuffer& out, void* data) {
  const Vector* v = static_cast<const Vector*>(data);
  for (u32 i = 0; i < v->n; ++i) out.print("%s%ld", i == 0 ? "" : "\t", v->values[i]);
  out.put('\n');
}
int store_vector(const char* text, size_t size, void* data) {
  const Vector* v = static_cast<const Vector*>(data);
  s64 fresh[3];
  const char* p = text;
  const char* end = text + size;
  for (u32 i = 0; i < v->n; ++i) {
    while (p < end && (*p == ' ' || *p == '\t')) ++p;
    if (p >= end || *p < '0' || *p > '9') return -EINVAL;
    fresh[i] = 0;
    while (p < end && *p >= '0' && *p <= '9') fresh[i] = min<s64>(fresh[i] * 10 + (*p++ - '0'), 0xffffffff);
  }
  for (u32 i = 0; i < v->n; ++i) v->values[i] = fresh[i];
  return 0;
}

void show_congestion(TextBuffer& out, void*) { out.print("%s\n", tcp_default_ca->name); }
int store_congestion(const char* text, size_t size, void*) {
  char name[16]{};
  while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' ')) --size;
  memcpy(name, text, min(size, sizeof name - 1));
  const tcp_congestion_ops* ca = tcp_ca_find(name);
  if (ca == nullptr) return -ENOENT;
  tcp_default_ca = ca;
  return 0;
}
void show_available(TextBuffer& out, void*) {
  char text[128]{};
  tcp_list_congestion_controls(text, sizeof text);
  out.print("%s\n", text);
}

// ip_forward is the setting "forwarding" of all devices, those to come too.
void show_forward(TextBuffer& out, void*) { out.print("%ld\n", ipv4_devconf_all.data[IPV4_DEVCONF_forwarding]); }
int store_forward(const char* text, size_t size, void*) {
  if (size == 0) return -EINVAL;
  const s64 on = text[0] != '0';
  rtnl_lock();
  ipv4_devconf_all.data[IPV4_DEVCONF_forwarding] = ipv4_devconf_dflt.data[IPV4_DEVCONF_forwarding] = on;
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (in_device* in = in_dev_get(d); in != nullptr) in->cnf.data[IPV4_DEVCONF_forwarding] = on;
  }
  rt_cache_flush();
  rtnl_unlock();
  return 0;
}
int flush_routes(const char*, size_t, void*) {
  rt_cache_flush();
  return 0;
}

void number(const char* path, s64* value, s64 low, s64 high) {
  proc_number* n = static_cast<proc_number*>(kzalloc(sizeof(proc_number)));
  if (n == nullptr) return;
  *n = {value, low, high};
  proc_create_number(path, 0644, n);
}

}  // namespace

void ipv4_sysctl_init() {
  const s64 pages = static_cast<s64>(total_ram_pages());
  sysctl_tcp_mem[0] = max<s64>(pages / 16, 128) * 3 / 4;
  sysctl_tcp_mem[1] = max<s64>(pages / 16, 128);
  sysctl_tcp_mem[2] = sysctl_tcp_mem[0] * 2;
  const s64 limit = max<s64>(pages << (12 - 7), 131072);
  sysctl_tcp_wmem[2] = min<s64>(4 << 20, limit);
  sysctl_tcp_rmem[2] = min<s64>(6 << 20, limit);
  for (const Row& r : kRows) {
    char path[64];
    format(path, sizeof path, "sys/net/ipv4/%s", r.name);
    number(path, r.value, r.low, r.high);
  }
  const auto vector = [](const char* name, const Vector* v) {
    proc_create(&proc_root, name, 0644, show_vector, store_vector, const_cast<Vector*>(v));
  };
  vector("sys/net/ipv4/tcp_rmem", &kRmem);
  vector("sys/net/ipv4/tcp_wmem", &kWmem);
  vector("sys/net/ipv4/tcp_mem", &kMem);
  vector("sys/net/ipv4/ip_local_port_range", &kPorts);
  vector("sys/net/ipv4/ping_group_range", &kPing);
  proc_create(&proc_root, "sys/net/ipv4/tcp_congestion_control", 0644, show_congestion, store_congestion);
  proc_create(&proc_root, "sys/net/ipv4/tcp_available_congestion_control", 0444, show_available);
  proc_create(&proc_root, "sys/net/ipv4/tcp_allowed_congestion_control", 0444, show_available);
  proc_create(&proc_root, "sys/net/ipv4/ip_forward", 0644, show_forward, store_forward);
  proc_create(&proc_root, "sys/net/ipv4/route/flush", 0200, nullptr, flush_routes);
  number("sys/net/core/somaxconn", &sysctl_somaxconn, 0, kIntMax);
}

}  // namespace xm::os
