// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/user_net.h"

#include <arpa/inet.h>
#include <libslirp.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <optional>

namespace xm::host {

namespace {

constexpr std::size_t kMaxWaiting = 1024;  // frames kept for a card that is full; TCP repeats what is dropped

struct Network {
  u32 address;
  u32 mask;
};

std::optional<u32> parse_address(const std::string& text) {
  in_addr address{};
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::optional<Network> parse_network(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  u32 mask = 0xFFFFFF00;
  if (slash != std::string::npos) {
    const std::string tail = text.substr(slash + 1);
    if (const auto dotted = parse_address(tail)) {
      mask = *dotted;
    } else {
      unsigned bits = 0;
      const auto [end, error] = std::from_chars(tail.data(), tail.data() + tail.size(), bits);
      if (error != std::errc() || end != tail.data() + tail.size() || bits < 4 || bits > 30) return std::nullopt;
      mask = ~u32{0} << (32 - bits);
    }
  }
  return Network{*address & mask, mask};
}

in_addr to_in_addr(u32 address) {
  in_addr result{};
  result.s_addr = htonl(address);
  return result;
}

std::string describe(const HostForward& forward) {
  return std::string(forward.udp ? "udp:" : "tcp:") + forward.host_address + ":" + std::to_string(forward.host_port) +
         "-" + forward.guest_address + ":" + std::to_string(forward.guest_port);
}

class SlirpNet final : public UserNet {
 public:
  explicit SlirpNet(EventLoop& loop) : loop_(loop) {}
  ~SlirpNet() override {
    if (slirp_ != nullptr) slirp_cleanup(slirp_);
    for (const auto& [fd, events] : watched_) loop_.remove_fd(fd);
    loop_.cancel_timer(deadline_);
    for (const auto& timer : timers_) loop_.cancel_timer(timer->id);
  }

  Result<void> start(const UserNetOptions& options);

  std::string description() const override { return "user"; }
  void send(const devices::NetFrame& frame) override;
  void receiver_ready() override { flush_waiting(); }
  Result<void> add_forward(const HostForward& forward) override;
  Result<void> remove_forward(const HostForward& forward) override;
  std::string connections() override {
    char* text = slirp_connection_info(slirp_);
    std::string result = text;
    std::free(text);
    return result;
  }

 private:
  struct SlirpTimer {
    SlirpTimerCb callback;
    void* opaque;
    EventLoop::TimerId id = 0;
  };
  struct Endpoints {
    u32 host;
    u32 guest;
  };

  static const SlirpCb& callbacks();
  void deliver(std::span<const u8> frame);
  void flush_waiting();
  Result<Endpoints> endpoints(const HostForward& forward) const;
  void schedule();
  void poll_and_refill();
  void refill();

  EventLoop& loop_;
  Slirp* slirp_ = nullptr;
  u32 dhcp_start_ = 0;
  std::vector<std::unique_ptr<SlirpTimer>> timers_;
  std::map<int, u32> watched_;  // descriptor -> events of the loop
  std::map<int, int> ready_;    // descriptor -> SLIRP_POLL_* since the last poll
  std::vector<int> polled_;     // index of slirp -> descriptor
  std::map<int, u32> filling_;
  EventLoop::TimerId deadline_ = 0;
  bool scheduled_ = false;
  std::deque<std::vector<u8>> waiting_;
  std::vector<u8> gathered_;
  // Tasks posted to the loop find out here that the network is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

const SlirpCb& SlirpNet::callbacks() {
  static const SlirpCb kCallbacks = [] {
    SlirpCb cb{};
    cb.send_packet = [](const void* frame, std::size_t size, void* self) -> ssize_t {
      static_cast<SlirpNet*>(self)->deliver({static_cast<const u8*>(frame), size});
      return static_cast<ssize_t>(size);
    };
    cb.guest_error = [](const char*, void*) {};
    cb.clock_get_ns = [](void*) -> int64_t { return EventLoop::now_ns(); };
    cb.timer_new = [](SlirpTimerCb callback, void* opaque, void* self) -> void* {
      auto& timers = static_cast<SlirpNet*>(self)->timers_;
      timers.push_back(std::make_unique<SlirpTimer>(SlirpTimer{callback, opaque, 0}));
      return timers.back().get();
    };
    cb.timer_free = [](void* timer, void* self) {
      auto* net = static_cast<SlirpNet*>(self);
      net->loop_.cancel_timer(static_cast<SlirpTimer*>(timer)->id);
      std::erase_if(net->timers_, [timer](const auto& t) { return t.get() == timer; });
    };
    cb.timer_mod = [](void* timer, int64_t expire_ms, void* self) {
      auto* net = static_cast<SlirpNet*>(self);
      auto* entry = static_cast<SlirpTimer*>(timer);
      net->loop_.cancel_timer(entry->id);
      entry->id = net->loop_.add_timer(expire_ms * 1'000'000, [entry] { entry->callback(entry->opaque); });
    };
    cb.register_poll_fd = [](int, void*) {};
    cb.unregister_poll_fd = [](int, void*) {};
    cb.notify = [](void* self) { static_cast<SlirpNet*>(self)->schedule(); };
    return cb;
  }();
  return kCallbacks;
}

Result<void> SlirpNet::start(const UserNetOptions& options) {
  const auto network = parse_network(options.network);
  if (!network) return Error{"bad network: net=" + options.network + "; give an address and mask like 10.0.2.0/24"};
  const auto inside = [&](const std::string& text, u32 host_number, const char* name) -> Result<u32> {
    if (text.empty()) return network->address | host_number;
    const auto address = parse_address(text);
    if (!address) return Error{std::string("bad address: ") + name + "=" + text + "; give an IPv4 address"};
    if ((*address & network->mask) != network->address) {
      return Error{std::string("address is not in the network: ") + name + "=" + text + "; the network is " +
                   options.network};
    }
    return *address;
  };
  SlirpConfig config{};
  config.version = 4;
  config.restricted = options.restricted;
  config.in_enabled = true;
  config.vnetwork = to_in_addr(network->address);
  config.vnetmask = to_in_addr(network->mask);
  config.vhost = to_in_addr(TRY(inside(options.host, 2, "host")));
  config.vnameserver = to_in_addr(TRY(inside(options.dns, 3, "dns")));
  dhcp_start_ = TRY(inside(options.dhcp_start, ~network->mask >= 31 ? 15 : 4, "dhcpstart"));
  config.vdhcp_start = to_in_addr(dhcp_start_);
  config.in6_enabled = options.ipv6;
  inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
  config.vprefix_len = 64;
  inet_pton(AF_INET6, "fec0::2", &config.vhost6);
  inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
  const auto optional_text = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  config.vhostname = optional_text(options.hostname);
  config.vdomainname = optional_text(options.domain_name);
  config.tftp_path = optional_text(options.tftp);
  config.bootfile = optional_text(options.boot_file);
  slirp_ = slirp_new(&config, &callbacks(), this);
  if (slirp_ == nullptr) return Error{"cannot start the user-mode network: libslirp refused its configuration"};
  for (const HostForward& forward : options.forwards) TRY(add_forward(forward));
  refill();
  return {};
}

Result<SlirpNet::Endpoints> SlirpNet::endpoints(const HostForward& forward) const {
  Endpoints result{INADDR_ANY, dhcp_start_};
  if (!forward.host_address.empty()) {
    const auto address = parse_address(forward.host_address);
    if (!address) return Error{"bad host address: hostfwd=" + describe(forward) + "; give an IPv4 address"};
    result.host = *address;
  }
  if (!forward.guest_address.empty()) {
    const auto address = parse_address(forward.guest_address);
    if (!address) return Error{"bad guest address: hostfwd=" + describe(forward) + "; give an IPv4 address"};
    result.guest = *address;
  }
  return result;
}

Result<void> SlirpNet::add_forward(const HostForward& forward) {
  const Endpoints ends = TRY(endpoints(forward));
  errno = 0;
  if (slirp_add_hostfwd(slirp_, forward.udp, to_in_addr(ends.host), forward.host_port, to_in_addr(ends.guest),
                        forward.guest_port) == 0) {
    schedule();
    return {};
  }
  const char* hint = errno == EADDRINUSE ? "; the port is in use, choose another"
                     : errno == EACCES   ? "; ports below 1024 need privileges"
                                         : "";
  return Error{"cannot forward host port: hostfwd=" + describe(forward) + ": " + std::strerror(errno) + hint};
}

Result<void> SlirpNet::remove_forward(const HostForward& forward) {
  const Endpoints ends = TRY(endpoints(forward));
  if (slirp_remove_hostfwd(slirp_, forward.udp, to_in_addr(ends.host), forward.host_port) == 0) return {};
  return Error{"no such forwarding: hostfwd=" + describe(forward)};
}

void SlirpNet::send(const devices::NetFrame& frame) {
  gathered_.clear();
  for (const std::span<u8> part : frame.parts) gathered_.insert(gathered_.end(), part.begin(), part.end());
  slirp_input(slirp_, gathered_.data(), static_cast<int>(gathered_.size()));
  schedule();
}

void SlirpNet::deliver(std::span<const u8> frame) {
  if (receiver() == nullptr || !link_up()) return;
  std::vector<u8> copy(frame.begin(), frame.end());
  if (waiting_.empty()) {
    const std::span<u8> part(copy);
    if (receiver()->receive({{}, {&part, 1}})) return;
  }
  if (waiting_.size() < kMaxWaiting) waiting_.push_back(std::move(copy));
}

void SlirpNet::flush_waiting() {
  while (!waiting_.empty() && receiver() != nullptr) {
    const std::span<u8> part(waiting_.front());
    if (!receiver()->receive({{}, {&part, 1}})) return;
    waiting_.pop_front();
  }
}

// One poll for everything that happened in this turn of the loop.
void SlirpNet::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  loop_.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) poll_and_refill();
  });
}

void SlirpNet::poll_and_refill() {
  scheduled_ = false;
  slirp_pollfds_poll(
      slirp_, 0,
      [](int index, void* self) {
        auto* net = static_cast<SlirpNet*>(self);
        if (index < 0 || static_cast<std::size_t>(index) >= net->polled_.size()) return 0;
        const auto found = net->ready_.find(net->polled_[static_cast<std::size_t>(index)]);
        return found == net->ready_.end() ? 0 : found->second;
      },
      this);
  ready_.clear();
  refill();
}

// Asks slirp what it waits for and tells the loop the difference.
void SlirpNet::refill() {
  polled_.clear();
  filling_.clear();
  uint32_t timeout_ms = UINT32_MAX;
  slirp_pollfds_fill(
      slirp_, &timeout_ms,
      [](int fd, int events, void* self) {
        auto* net = static_cast<SlirpNet*>(self);
        net->polled_.push_back(fd);
        u32& wanted = net->filling_[fd];
        if ((events & (SLIRP_POLL_IN | SLIRP_POLL_PRI)) != 0) wanted |= EventLoop::kReadable;
        if ((events & SLIRP_POLL_OUT) != 0) wanted |= EventLoop::kWritable;
        return static_cast<int>(net->polled_.size()) - 1;
      },
      this);
  for (auto it = watched_.begin(); it != watched_.end();) {
    if (filling_.contains(it->first)) {
      ++it;
    } else {
      loop_.remove_fd(it->first);
      it = watched_.erase(it);
    }
  }
  for (const auto& [fd, events] : filling_) {
    const auto found = watched_.find(fd);
    if (found == watched_.end()) {
      loop_.add_fd(fd, events, [this, fd = fd](u32 seen) {
        int& ready = ready_[fd];
        if ((seen & EventLoop::kReadable) != 0) ready |= SLIRP_POLL_IN;
        if ((seen & EventLoop::kWritable) != 0) ready |= SLIRP_POLL_OUT;
        if ((seen & EventLoop::kHangup) != 0) ready |= SLIRP_POLL_HUP | SLIRP_POLL_IN;
        if ((seen & EventLoop::kError) != 0) ready |= SLIRP_POLL_ERR | SLIRP_POLL_IN;
        schedule();
      });
    } else if (found->second != events) {
      loop_.modify_fd(fd, events);
    }
    watched_[fd] = events;
  }
  loop_.cancel_timer(deadline_);
  deadline_ = 0;
  if (timeout_ms != UINT32_MAX) {
    deadline_ = loop_.add_timer(EventLoop::now_ns() + i64{timeout_ms} * 1'000'000, [this] { schedule(); });
  }
}

}  // namespace

Result<HostForward> parse_host_forward(const std::string& text) {
  const Error bad{"bad forwarding: hostfwd=" + text +
                  "; the form is [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport"};
  HostForward forward;
  const std::size_t first = text.find(':');
  const std::size_t dash = text.find('-');
  if (first == std::string::npos || dash == std::string::npos || dash < first) return bad;
  const std::string protocol = text.substr(0, first);
  if (protocol != "" && protocol != "tcp" && protocol != "udp") return bad;
  forward.udp = protocol == "udp";
  const auto split = [](const std::string& part, std::string& address, u16& port) {
    const std::size_t colon = part.rfind(':');
    if (colon == std::string::npos) return false;
    address = part.substr(0, colon);
    const char* end = part.data() + part.size();
    const auto [stop, error] = std::from_chars(part.data() + colon + 1, end, port);
    return error == std::errc() && stop == end;
  };
  if (!split(text.substr(first + 1, dash - first - 1), forward.host_address, forward.host_port) ||
      !split(text.substr(dash + 1), forward.guest_address, forward.guest_port) || forward.guest_port == 0) {
    return bad;
  }
  return forward;
}

Result<std::unique_ptr<UserNet>> UserNet::create(const UserNetOptions& options, EventLoop& loop) {
  auto net = std::make_unique<SlirpNet>(loop);
  TRY(net->start(options));
  return std::unique_ptr<UserNet>(std::move(net));
}

}  // namespace xm::host
