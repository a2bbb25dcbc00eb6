// SPDX-License-Identifier: GPL-2.0-or-later
// /proc/net of IPv4 and its transports: sockets, counters, routes, drop reasons. Formats: [man 5 proc]
#include "kernel/fs/proc/proc.h"
#include "kernel/lib/format.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp.h"
#include "kernel/net/udp.h"

namespace xm::os {

void ipv4_sysctl_init();

namespace {

ino_t ino_of(const sock* sk) {
  const socket* s = sk->sk_socket;
  return s != nullptr && s->file_ != nullptr ? s->file_->f_inode->i_ino : 0;
}
u64 clock_left(const timer_list& t) {
  const u64 e = t.expires.load(), now = ktime_get();
  return e > now ? (e - now) / (kNsPerSec / kUserHz) : 0;
}

struct Table {
  TextBuffer& out;
  int family;
  u32 n = 0;
};

void put_address(TextBuffer& out, int family, const in6_addr& a, u16 port) {
  if (family == AF_INET)
    out.print("%08X:%04X", a.words[3], port);
  else
    out.print("%08X%08X%08X%08X:%04X", a.words[0], a.words[1], a.words[2], a.words[3], port);
}

void end_line(TextBuffer& out, int family, size_t start) {
  if (family == AF_INET)
    while (out.length() - start < 149) out.put(' ');
  out.put('\n');
}

void show_tcp_sock(Table& t, const sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  const size_t start = t.out.length();
  t.out.print("%4u: ", t.n++);
  put_address(t.out, t.family, sk->sk_v6_rcv_saddr, ntohs(tp->inet_sport));
  t.out.put(' ');
  put_address(t.out, t.family, sk->sk_v6_daddr, ntohs(sk->sk_dport));
  u32 active = 0;
  u64 left = 0;
  if (tp->icsk_pending == ICSK_TIME_RETRANS || tp->icsk_pending == ICSK_TIME_REO_TIMEOUT ||
      tp->icsk_pending == ICSK_TIME_LOSS_PROBE) {
    active = 1;
    left = clock_left(tp->icsk_retransmit_timer);
  } else if (tp->icsk_pending == ICSK_TIME_PROBE0) {
    active = 4;
    left = clock_left(tp->icsk_retransmit_timer);
  } else if (timer_pending(&sk->sk_timer)) {
    active = 2;
    left = clock_left(sk->sk_timer);
  }
  const u32 rx = sk->sk_state == TCP_LISTEN ? sk->sk_ack_backlog
                                            : static_cast<u32>(max(static_cast<s32>(tp->rcv_nxt - tp->copied_seq), 0));
  t.out.print(" %02X %08X:%08X %02X:%08lX %08X %5u %8d %lu %d %p %lu %lu %u %u %d", sk->sk_state,
              tp->write_seq - tp->snd_una, rx, active, left, tp->icsk_retransmits, sk->sk_uid, tp->icsk_probes_out,
              ino_of(sk), sk->sk_refcnt.load(), static_cast<const void*>(sk), tp->icsk_rto / (kNsPerSec / kUserHz),
              tp->icsk_ack.ato / (kNsPerSec / kUserHz),
              static_cast<u32>(tp->icsk_ack.quick << 1 | (tp->icsk_ack.pingpong >= 3)), tp->snd_cwnd,
              tp->snd_ssthresh >= TCP_INFINITE_SSTHRESH ? -1 : static_cast<int>(tp->snd_ssthresh));
  end_line(t.out, t.family, start);
}

void show_small(Table& t, const sock_common* s, u8 state, u32 timer, u64 left, be16 sport) {
  const size_t start = t.out.length();
  t.out.print("%4u: ", t.n++);
  put_address(t.out, t.family, s->sk_v6_rcv_saddr, ntohs(sport));
  t.out.put(' ');
  put_address(t.out, t.family, s->sk_v6_daddr, ntohs(s->sk_dport));
  t.out.print(" %02X %08X:%08X %02X:%08lX %08X %5d %8d %d %d %p", state, 0, 0, timer, left, 0, 0, 0, 0,
              s->sk_refcnt.load(), static_cast<const void*>(s));
  end_line(t.out, t.family, start);
}

void visit_tcp(sock_common* s, void* data) {
  Table& t = *static_cast<Table*>(data);
  if (s->sk_family != t.family) return;
  if (s->sk_state == TCP_TIME_WAIT) {
    const inet_timewait_sock* tw = inet_twsk(s);
    show_small(t, s, tw->tw_substate, 3, clock_left(tw->tw_timer), tw->tw_sport);
  } else if (s->sk_state == TCP_NEW_SYN_RECV) {
    show_small(t, s, TCP_SYN_RECV, 1, clock_left(inet_reqsk(s)->rsk_timer), htons(s->sk_num));
  } else {
    show_tcp_sock(t, static_cast<const sock*>(s));
  }
}

void show_tcp(TextBuffer& out, void* data) {
  const int family = static_cast<int>(reinterpret_cast<u64>(data));
  const size_t start = out.length();
  out.print(
      family == AF_INET
          ? "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
          : "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
            "tm->when retrnsmt   uid  timeout inode");
  end_line(out, family, start);
  Table t{out, family};
  tcp_for_each(true, visit_tcp, &t);
  tcp_for_each(false, visit_tcp, &t);
}

void show_datagram(Table& t, const inet_sock* sk) {
  const size_t start = t.out.length();
  t.out.print("%5u: ", t.n++);
  put_address(t.out, t.family, sk->sk_v6_rcv_saddr, ntohs(sk->inet_sport));
  t.out.put(' ');
  put_address(t.out, t.family, sk->sk_v6_daddr, ntohs(sk->sk_dport));
  t.out.print(" %02X %08X:%08X 00:00000000 00000000 %5u %8d %lu %d %p %d", sk->sk_state,
              static_cast<u32>(sk_wmem_alloc_get(sk)), static_cast<u32>(sk_rmem_alloc_get(sk)), sk->sk_uid, 0,
              ino_of(sk), sk->sk_refcnt.load(), static_cast<const void*>(sk), sk->sk_drops.load());
  if (t.family == AF_INET)
    while (t.out.length() - start < 127) t.out.put(' ');
  t.out.put('\n');
}

void datagram_header(TextBuffer& out, int family) {
  out.print(
      family == AF_INET
          ? "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref "
            "pointer drops             \n"
          : "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
            "tm->when retrnsmt   uid  timeout inode ref pointer drops\n");
}

void show_udp(TextBuffer& out, void* data) {
  Table t{out, static_cast<int>(reinterpret_cast<u64>(data))};
  datagram_header(out, t.family);
  udp_for_each(
      [](udp_sock* u, void* d) {
        if (u->sk_family == static_cast<Table*>(d)->family) show_datagram(*static_cast<Table*>(d), u);
      },
      &t);
}
void show_raw(TextBuffer& out, void*) {
  Table t{out, AF_INET};
  datagram_header(out, t.family);
  raw_for_each([](inet_sock* r, void* d) { show_datagram(*static_cast<Table*>(d), r); }, &t);
}
void show_icmp(TextBuffer& out, void*) {
  Table t{out, AF_INET};
  datagram_header(out, t.family);
  ping_for_each([](inet_sock* r, void* d) { show_datagram(*static_cast<Table*>(d), r); }, &t);
}

void show_counters(TextBuffer& out, const char* prefix, const char* const* names, const u64* values, u32 n) {
  out.print("%s:", prefix);
  for (u32 i = 0; i < n; ++i) out.print(" %s", names[i]);
  out.print("\n%s:", prefix);
  for (u32 i = 0; i < n; ++i) out.print(" %lu", values[i]);
  out.put('\n');
}

#define X(name) #name,
const char* const kIpNames[] = {XM_IP_MIB(X)};
const char* const kIpExtNames[] = {XM_IPEXT_MIB(X)};
const char* const kIcmpNames[] = {XM_ICMP_MIB(X)};
const char* const kTcpNames[] = {XM_TCP_MIB(X)};
const char* const kUdpNames[] = {XM_UDP_MIB(X)};
const char* const kTcpExtNames[] = {XM_TCPEXT_MIB(X)};
#undef X

void show_icmpmsg(TextBuffer& out) {
  bool any = false;
  for (u32 i = 0; i < 256; ++i) any |= icmp_in_type[i] != 0 || icmp_out_type[i] != 0;
  if (!any) return;
  for (u32 line = 0; line < 2; ++line) {
    out.print("IcmpMsg:");
    for (u32 i = 0; i < 512; ++i) {
      const u64 v = i < 256 ? icmp_in_type[i] : icmp_out_type[i - 256];
      if (v == 0) continue;
      if (line == 0)
        out.print(" %sType%u", i < 256 ? "In" : "Out", i & 255);
      else
        out.print(" %lu", v);
    }
    out.put('\n');
  }
}

void show_snmp(TextBuffer& out, void*) {
  tcp_stats[TCP_MIB_RtoAlgorithm] = 1;
  tcp_stats[TCP_MIB_RtoMin] = 200;
  tcp_stats[TCP_MIB_RtoMax] = 120000;
  // Ip begins with two words that are settings.
  out.print("Ip: Forwarding DefaultTTL");
  for (const char* name : kIpNames) out.print(" %s", name);
  out.print("\nIp: %d 64", ipv4_devconf_all.data[IPV4_DEVCONF_forwarding] != 0 ? 1 : 2);
  for (u32 i = 0; i < IPSTATS_MAX; ++i) out.print(" %lu", ip_stats[i]);
  out.put('\n');
  show_counters(out, "Icmp", kIcmpNames, icmp_stats, ICMP_MIB_MAX);
  show_icmpmsg(out);
  out.print("Tcp:");
  for (const char* name : kTcpNames) out.print(" %s", name);
  out.print("\nTcp:");
  for (u32 i = 0; i < TCP_MIB_MAX; ++i) {
    if (i == TCP_MIB_MaxConn)
      out.print(" -1");
    else
      out.print(" %lu", tcp_stats[i]);
  }
  out.put('\n');
  show_counters(out, "Udp", kUdpNames, udp_stats, UDP_MIB_MAX);
}

void show_netstat(TextBuffer& out, void*) {
  show_counters(out, "TcpExt", kTcpExtNames, linux_stats, LINUX_MIB_MAX);
  show_counters(out, "IpExt", kIpExtNames, ipext_stats, IPEXT_MAX);
}

void show_sockstat(TextBuffer& out, void*) {
  struct Counts {
    u32 tcp, udp, raw;
  } c{};
  const auto count = [](sock_common* s, void* d) {
    if (s->sk_state != TCP_TIME_WAIT && s->sk_state != TCP_NEW_SYN_RECV) ++static_cast<Counts*>(d)->tcp;
  };
  tcp_for_each(true, count, &c);
  tcp_for_each(false, count, &c);
  udp_for_each([](udp_sock*, void* d) { ++static_cast<Counts*>(d)->udp; }, &c);
  raw_for_each([](inet_sock*, void* d) { ++static_cast<Counts*>(d)->raw; }, &c);
  out.print("sockets: used %d\nTCP: inuse %u orphan %d tw %d alloc %u mem %ld\nUDP: inuse %u mem 0\nUDPLITE: inuse 0\n",
            sockets_allocated.load(), c.tcp, tcp_orphan_count.load(), tcp_tw_count.load(), c.tcp,
            tcp_memory_allocated.load(), c.udp);
  out.print("RAW: inuse %u\nFRAG: inuse %u memory %lu\n", c.raw, ip_frag_nqueues(), ip_frag_mem());
}

bool show_route_line(const fib_route& r, void* data) {
  TextBuffer& out = *static_cast<TextBuffer*>(data);
  const fib_info* fi = r.fa->fa_info;
  if (r.fa->fa_type == RTN_BROADCAST || r.fa->fa_type == RTN_MULTICAST) return true;
  const size_t start = out.length();
  const fib_nh* nh = fi->nh();
  u32 flags = r.fa->fa_type == RTN_UNREACHABLE || r.fa->fa_type == RTN_PROHIBIT ? RTF_REJECT : 0u;
  if (nh->nh_gw != 0) flags |= RTF_GATEWAY;
  if (r.prefixlen == 32) flags |= RTF_HOST;
  flags |= RTF_UP;
  out.print("%s\t%08X\t%08X\t%04X\t%d\t%u\t%u\t%08X\t%u\t%u\t%u", nh->nh_dev != nullptr ? nh->nh_dev->name : "*",
            r.prefix, nh->nh_gw, flags, 0, 0, fi->fib_priority, inet_make_mask(r.prefixlen),
            fi->fib_advmss != 0 ? fi->fib_advmss + 40 : 0, fi->fib_window, 0);
  while (out.length() - start < 127) out.put(' ');
  out.put('\n');
  return true;
}

void show_route(TextBuffer& out, void*) {
  const size_t start = out.length();
  out.print("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT");
  while (out.length() - start < 127) out.put(' ');
  out.put('\n');
  rtnl_lock();
  if (fib_table* main = fib_get_table(RT_TABLE_MAIN); main != nullptr) fib_table_walk(main, show_route_line, &out);
  rtnl_unlock();
}

void show_fib_triestat(TextBuffer& out, void*) {
  rtnl_lock();
  fib_for_each_table(
      [](fib_table* tb, void* d) {
        const fib_trie_stat s = fib_trie_statistics(tb);
        static_cast<TextBuffer*>(d)->print("Id %u:\n\tPrefixes:       %u\n\tInternal nodes: %u\n\tMax depth:      %u\n",
                                           fib_table_id(tb), s.prefixes, s.nodes - min(s.nodes, s.prefixes), s.depth);
      },
      &out);
  rtnl_unlock();
}

void show_drops(TextBuffer& out, void*) {
  for (u32 i = 0; i < SKB_DROP_MAX; ++i) out.print("%-24s %lu\n", skb_drop_names[i], skb_drop_counts[i]);
}

}  // namespace

void ipv4_proc_init() {
  void* const v4 = reinterpret_cast<void*>(static_cast<u64>(AF_INET));
  void* const v6 = reinterpret_cast<void*>(static_cast<u64>(AF_INET6));
  proc_create(&proc_root, "net/tcp", 0444, show_tcp, nullptr, v4);
  proc_create(&proc_root, "net/tcp6", 0444, show_tcp, nullptr, v6);
  proc_create(&proc_root, "net/udp", 0444, show_udp, nullptr, v4);
  proc_create(&proc_root, "net/udp6", 0444, show_udp, nullptr, v6);
  proc_create(&proc_root, "net/raw", 0444, show_raw);
  proc_create(&proc_root, "net/icmp", 0444, show_icmp);
  proc_create(&proc_root, "net/snmp", 0444, show_snmp);
  proc_create(&proc_root, "net/netstat", 0444, show_netstat);
  proc_create(&proc_root, "net/sockstat", 0444, show_sockstat);
  proc_create(&proc_root, "net/route", 0444, show_route);
  proc_create(&proc_root, "net/fib_triestat", 0444, show_fib_triestat);
  proc_create(&proc_root, "net/drop_reasons", 0444, show_drops);
  ipv4_sysctl_init();
}

}  // namespace xm::os
