// SPDX-License-Identifier: GPL-2.0-or-later
// The guest's network stack on the host: fake devices that keep what is sent, a clock that stands still until a test
// moves it, sockets without tasks (all calls are non-blocking). No kernel header is needed to use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hostnet {

using Bytes = std::vector<uint8_t>;

void start();                                                           // once: lo and the stack
int add_device(const char* name, uint32_t address, int prefix_length);  // ifindex; up
void set_mtu(int ifindex, uint32_t mtu);
void set_gso(bool on);  // off (the default): GSO packets are cut before they reach the device

uint64_t now_ns();
void advance_ms(double ms);                        // timers fire on the way
std::vector<Bytes> sent(int ifindex);              // IP packets since the last call
void inject(int ifindex, const Bytes& ip_packet);  // received

// Routes; error numbers are negative.
int route_add(uint32_t prefix, int length, uint32_t gateway, int oif, uint32_t priority = 0, uint32_t table = 254);
int route_delete(uint32_t prefix, int length, uint32_t gateway, int oif, uint32_t table = 254);
struct Lookup {
  int error;
  int oif;
  uint32_t gateway, source;
  int prefix_length;
};
Lookup lookup(uint32_t destination);

// Sockets by handle.
int socket(int type, int protocol);
int bind(int fd, uint32_t address, uint16_t port);
int listen(int fd, int backlog);
int connect(int fd, uint32_t address, uint16_t port);
int accept(int fd);
long send(int fd, const Bytes& data, uint32_t flags = 0);
long sendto(int fd, const Bytes& data, uint32_t address, uint16_t port);
long recv(int fd, size_t room, Bytes* data, uint32_t flags = 0);
int shutdown(int fd, int how);
void close(int fd);
int setsockopt(int fd, int level, int name, int value);
int getsockopt(int fd, int level, int name);
uint32_t poll(int fd);
struct TcpInfo {
  int state, ca_state;
  uint32_t cwnd, ssthresh, unacked, sacked, lost, retrans, total_retrans, rto_us, rtt_us, snd_wnd;
  uint32_t snd_nxt, rcv_nxt, rcv_wnd;
};
TcpInfo info(int fd);
uint64_t counter(const char* name);  // of TcpExt, Tcp, Ip, Icmp or Udp
void sysctl(const char* name, int64_t value);
int sockets_alive();
size_t skbs_alive();

}  // namespace hostnet
