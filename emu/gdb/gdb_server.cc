// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/gdb/gdb_server.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cpu/vcpu/vcpu.h"
#include "emu/gdb/registers.h"
#include "emu/machine/board.h"
#include "emu/machine/guest_view.h"

namespace xm::gdb {

namespace {

constexpr size_t kPacketBytes = 16384;
constexpr const char* kOk = "OK";
constexpr const char* kBadArgument = "E16";
constexpr const char* kBadAddress = "E0e";

// Hexadecimal number at `at`, which moves behind it; false if there is none.
bool take_hex(const std::string& text, size_t& at, u64& value) {
  char* end = nullptr;
  if (at >= text.size() || !std::isxdigit(static_cast<u8>(text[at]))) return false;
  value = std::strtoull(text.c_str() + at, &end, 16);
  at = static_cast<size_t>(end - text.c_str());
  return true;
}

bool take_char(const std::string& text, size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  at++;
  return true;
}

std::string number(u64 value) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

GdbServer::GdbServer(machine::Machine& machine, devices::CharBackend& port, MonitorLine monitor)
    : machine_(machine), port_(port), monitor_(std::move(monitor)) {
  machine_.add_listener(*this);
  port_.attach(this);
}

GdbServer::~GdbServer() {
  port_.attach(nullptr);
  machine_.remove_listener(*this);
}

void GdbServer::event(devices::CharEvent event) {
  if (event == devices::CharEvent::Opened) {
    connected_ = true;
    acknowledge_ = true;
    waiting_ = interrupted_ = physical_ = false;
    parse_ = Parse::Idle;
    pending_.clear();
    machine_.stop();
  } else if (event == devices::CharEvent::Closed && connected_) {
    connected_ = waiting_ = false;
    machine_.stop();
    breakpoints_.clear();
    watchpoints_.clear();
    apply_breakpoints();
    machine_.resume();
  }
}

void GdbServer::receive(std::span<const u8> bytes) {
  for (const u8 byte : bytes) take(byte);
}

void GdbServer::take(u8 byte) {
  const auto digit = [&] {
    const std::string text(1, static_cast<char>(byte));
    return static_cast<u8>(std::strtoul(text.c_str(), nullptr, 16));
  };
  switch (parse_) {
    case Parse::Idle:
      if (byte == '$') {
        body_.clear();
        sum_ = 0;
        parse_ = Parse::Body;
      } else if (byte == '-') {
        pending_ += last_sent_;
        flush();
      } else if (byte == 3) {
        interrupted_ = true;
        machine_.stop();
      }
      break;
    case Parse::Body:
      if (byte == '#') {
        parse_ = Parse::Sum1;
        break;
      }
      sum_ = static_cast<u8>(sum_ + byte);
      if (byte == '}') {
        parse_ = Parse::Escape;
      } else if (body_.size() < 2 * kPacketBytes) {
        body_ += static_cast<char>(byte);
      }
      break;
    case Parse::Escape:
      sum_ = static_cast<u8>(sum_ + byte);
      body_ += static_cast<char>(byte ^ 0x20);
      parse_ = Parse::Body;
      break;
    case Parse::Sum1:
      given_sum_ = static_cast<u8>(digit() << 4);
      parse_ = Parse::Sum2;
      break;
    case Parse::Sum2:
      parse_ = Parse::Idle;
      given_sum_ = static_cast<u8>(given_sum_ | digit());
      if (acknowledge_) {
        pending_ += given_sum_ == sum_ ? '+' : '-';
        flush();
        if (given_sum_ != sum_) break;
      }
      packet(body_);
      break;
  }
}

void GdbServer::packet(const std::string& text) {
  const std::string rest = text.size() > 1 ? text.substr(1) : "";
  switch (text.empty() ? '\0' : text[0]) {
    case '?': return send(stop_reply());
    case 'g': return send(read_registers());
    case 'G': return send(write_registers(rest));
    case 'p': {
      const u64 reg = std::strtoull(rest.c_str(), nullptr, 16);
      if (reg >= register_count()) return send(kBadArgument);
      return send(register_text(state_of(current_), machine_.board().apic().tpr(current_), static_cast<unsigned>(reg)));
    }
    case 'P': {
      size_t at = 0;
      u64 reg = 0;
      if (!take_hex(rest, at, reg) || !take_char(rest, at, '=')) return send(kBadArgument);
      cpu::CpuState state = state_of(current_);
      if (!set_register(state, static_cast<unsigned>(std::min<u64>(reg, 1000)), rest.substr(at)))
        return send(kBadArgument);
      machine_.vcpus()[current_]->engine().set_state(state);
      return send(kOk);
    }
    case 'm': return send(read_memory(rest));
    case 'M': return send(write_memory(rest, false));
    case 'X': return send(write_memory(rest, true));
    case 'Z': return send(breakpoint(rest, true));
    case 'z': return send(breakpoint(rest, false));
    case 'H': return send(choose_thread(rest));
    case 'T': {
      const u64 thread = std::strtoull(rest.c_str(), nullptr, 16);
      return send(thread >= 1 && thread <= cpus() ? kOk : kBadArgument);
    }
    case 'c':
    case 'C': return go(false, current_);
    case 's':
    case 'S': return go(true, current_);
    case 'D':
      send(kOk);
      breakpoints_.clear();
      watchpoints_.clear();
      apply_breakpoints();
      machine_.resume();
      return;
    case 'k': return machine_.request_quit(0, "host-ui");
    case 'q':
    case 'Q': return send(query(text));
    case 'v':
      if (text == "vCont?") return send("vCont;c;C;s;S");
      if (text.starts_with("vCont;")) return resume(text.substr(6));
      if (text.starts_with("vKill")) {
        send(kOk);
        return machine_.request_quit(0, "host-ui");
      }
      return send("");
    default: return send("");
  }
}

std::string GdbServer::query(const std::string& text) {
  if (text.starts_with("qSupported"))
    return "PacketSize=" + number(kPacketBytes) +
           ";qXfer:features:read+;QStartNoAckMode+;vContSupported+;hwbreak+;swbreak+;multiprocess-";
  if (text == "QStartNoAckMode") {
    acknowledge_ = false;
    return kOk;
  }
  if (text.starts_with("qXfer:features:read:target.xml:")) return transfer(text.substr(31));
  if (text == "qC") return "QC" + number(current_ + 1);
  if (text == "qAttached" || text.starts_with("qAttached:")) return "1";
  if (text == "qfThreadInfo") {
    std::string list = "m";
    for (unsigned i = 1; i <= cpus(); i++) list += (i > 1 ? "," : "") + number(i);
    return list;
  }
  if (text == "qsThreadInfo") return "l";
  if (text.starts_with("qThreadExtraInfo,")) {
    const u64 thread = std::strtoull(text.c_str() + 17, nullptr, 16);
    if (thread < 1 || thread > cpus()) return kBadArgument;
    static constexpr const char* kActivity[] = {"running", "halted", "waiting for SIPI", "shut down", "in MWAIT"};
    const cpu::CpuState state = state_of(static_cast<unsigned>(thread - 1));
    return hex("CPU#" + std::to_string(thread - 1) + " [" + kActivity[static_cast<unsigned>(state.activity)] + "]");
  }
  if (text.starts_with("qRcmd,")) {
    std::string line;
    if (!unhex(text.substr(6), line)) return kBadArgument;
    std::string answer = monitor_(line);
    if (!answer.empty() && !answer.ends_with('\n')) answer += '\n';
    return answer.empty() ? kOk : hex(answer);
  }
  if (text == "qqemu.PhyMemMode") return physical_ ? "1" : "0";
  if (text.starts_with("Qqemu.PhyMemMode:")) {
    physical_ = text.ends_with("1");
    return kOk;
  }
  if (text == "qSymbol::") return kOk;
  return "";
}

// "OFFSET,LENGTH" of the target description: `m` and a part, or `l` and the last one.
std::string GdbServer::transfer(const std::string& text) {
  size_t at = 0;
  u64 offset = 0, length = 0;
  if (!take_hex(text, at, offset) || !take_char(text, at, ',') || !take_hex(text, at, length)) return "E00";
  const std::string xml = target_description();
  if (offset > xml.size()) return "E00";
  const std::string part = xml.substr(offset, std::min<u64>(length, kPacketBytes / 2));
  return (offset + part.size() < xml.size() ? "m" : "l") + part;
}

cpu::CpuState GdbServer::state_of(unsigned cpu) {
  cpu::CpuState state;
  machine_.vcpus()[cpu]->engine().get_state(state);
  return state;
}

std::string GdbServer::read_registers() {
  const cpu::CpuState state = state_of(current_);
  const u8 cr8 = machine_.board().apic().tpr(current_);
  std::string text;
  for (unsigned i = 0; i < register_count(); i++) text += register_text(state, cr8, i);
  return text;
}

std::string GdbServer::write_registers(std::string_view text) {
  cpu::CpuState state = state_of(current_);
  for (unsigned i = 0; i < register_count() && !text.empty(); i++) {
    const unsigned digits = register_digits(i);
    if (text.size() < digits) return kBadArgument;
    static_cast<void>(set_register(state, i, text.substr(0, digits)));  // what can not be set keeps its value
    text.remove_prefix(digits);
  }
  machine_.vcpus()[current_]->engine().set_state(state);
  return kOk;
}

std::string GdbServer::read_memory(const std::string& text) {
  size_t at = 0;
  u64 address = 0, length = 0;
  if (!take_hex(text, at, address) || !take_char(text, at, ',') || !take_hex(text, at, length)) return kBadArgument;
  const cpu::CpuState state = state_of(current_);
  machine::GuestView view(state, machine_.board().memory());
  std::vector<u8> bytes(std::min<u64>(length, kPacketBytes / 2));
  const bool read = physical_ ? view.physical().read(GuestPhys{address}, bytes) : view.read(address, bytes);
  if (!read) {
    // What is there before the first page that is not.
    const u64 first = kPageSize - (address & kPageMask);
    if (bytes.size() <= first || !view.read(address, std::span(bytes).first(first))) return kBadAddress;
    bytes.resize(first);
  }
  return hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string GdbServer::write_memory(const std::string& text, bool binary) {
  size_t at = 0;
  u64 address = 0, length = 0;
  if (!take_hex(text, at, address) || !take_char(text, at, ',') || !take_hex(text, at, length) ||
      !take_char(text, at, ':'))
    return kBadArgument;
  std::string bytes = text.substr(at);
  if (!binary && !unhex(text.substr(at), bytes)) return kBadArgument;
  if (bytes.size() != length) return kBadArgument;
  const cpu::CpuState state = state_of(current_);
  machine::GuestView view(state, machine_.board().memory());
  const std::span<const u8> from(reinterpret_cast<const u8*>(bytes.data()), bytes.size());
  const bool written = physical_ ? view.physical().write(GuestPhys{address}, from) : view.write(address, from);
  for (u64 done = 0; done < length; done += kPageSize - ((address + done) & kPageMask)) {
    const auto page = view.translate(address + done);
    const u64 physical = physical_ ? address + done : page ? page->physical : 0;
    for (auto& vcpu : machine_.vcpus())
      vcpu->engine().code_written(GuestPhys{physical}, kPageSize - (physical & kPageMask));
  }
  return written ? kOk : kBadAddress;
}

// "TYPE,ADDRESS,KIND": 0 and 1 breakpoints, 2 to 4 write, read and access watchpoints (KIND is their length).
std::string GdbServer::breakpoint(const std::string& text, bool insert) {
  size_t at = 0;
  u64 type = 0, address = 0, kind = 0;
  if (!take_hex(text, at, type) || !take_char(text, at, ',') || !take_hex(text, at, address) ||
      !take_char(text, at, ',') || !take_hex(text, at, kind))
    return kBadArgument;
  if (type > 4) return "";
  if (type <= 1) {
    std::erase(breakpoints_, address);
    if (insert) breakpoints_.push_back(address);
  } else {
    if (!machine_.config().trace_insn.empty() || kind == 0) return kBadArgument;
    const Watchpoint watchpoint{.address = address, .size_bytes = kind, .kind = static_cast<WatchKind>(type)};
    std::erase(watchpoints_, watchpoint);
    if (insert) watchpoints_.push_back(watchpoint);
  }
  apply_breakpoints();
  return kOk;
}

void GdbServer::apply_breakpoints() {
  for (auto& vcpu : machine_.vcpus()) {
    static_cast<void>(vcpu->engine().set_breakpoints(breakpoints_));
    if (machine_.config().trace_insn.empty()) vcpu->engine().set_watch(watchpoints_.empty() ? nullptr : this);
  }
}

std::string GdbServer::choose_thread(const std::string& text) {
  const long thread = text.size() > 1 ? std::strtol(text.c_str() + 1, nullptr, 16) : 0;
  if (thread > static_cast<long>(cpus())) return kBadArgument;
  if (thread > 0) current_ = static_cast<unsigned>(thread - 1);
  return kOk;
}

// The actions of vCont: the first step found wins, else all go on.
void GdbServer::resume(const std::string& actions) {
  for (size_t at = 0; at < actions.size();) {
    const size_t end = std::min(actions.find(';', at), actions.size());
    const std::string action = actions.substr(at, end - at);
    const size_t colon = action.find(':');
    const long thread = colon == std::string::npos ? 0 : std::strtol(action.c_str() + colon + 1, nullptr, 16);
    if (action.starts_with('s') || action.starts_with('S')) {
      const bool named = thread > 0 && thread <= static_cast<long>(cpus());
      return go(true, named ? static_cast<unsigned>(thread - 1) : current_);
    }
    at = end + 1;
  }
  go(false, current_);
}

void GdbServer::go(bool step, unsigned cpu) {
  waiting_ = true;
  interrupted_ = false;
  hit_kind_ = 0;
  if (step) return machine_.step(cpu);
  // The instruction under a breakpoint that has been reported is executed first.
  const cpu::CpuState state = state_of(stopped_);
  const bool bits64 = (state.msr.efer & cpu::efer::kLma) != 0 && state.segment[1].long_code();
  const u64 linear = state.rip + (bits64 ? 0 : state.segment[1].base);
  if (std::find(breakpoints_.begin(), breakpoints_.end(), linear) != breakpoints_.end())
    machine_.vcpus()[stopped_]->pass_breakpoint();
  machine_.resume();
}

void GdbServer::left(cpu::Vcpu& cpu, const cpu::WatchedCode&, unsigned) {
  if (hit_kind_.load() != 0) cpu.running.stop_wanted = true;
}

void GdbServer::accessed(cpu::Vcpu&, u64 linear, std::span<const u8> bytes, bool write) {
  for (const Watchpoint& watchpoint : watchpoints_) {
    if (linear >= watchpoint.address + watchpoint.size_bytes || watchpoint.address >= linear + bytes.size()) continue;
    if (watchpoint.kind != WatchKind::Access && (watchpoint.kind == WatchKind::Write) != write) continue;
    hit_address_ = watchpoint.address;
    hit_kind_ = static_cast<int>(watchpoint.kind);
  }
}

std::string GdbServer::stop_reply() const {
  std::string text = interrupted_ ? "T02" : "T05";
  text += "thread:" + number(stopped_ + 1) + ";";
  switch (static_cast<WatchKind>(hit_kind_.load())) {
    case WatchKind::Write: return text + "watch:" + number(hit_address_) + ";";
    case WatchKind::Read: return text + "rwatch:" + number(hit_address_) + ";";
    case WatchKind::Access: return text + "awatch:" + number(hit_address_) + ";";
  }
  return text;
}

void GdbServer::machine_event(machine::MachineEvent event, const char*) {
  if (!connected_) return;
  if (event == machine::MachineEvent::Stop) {
    if (machine_.debug_cpu() >= 0) stopped_ = current_ = static_cast<unsigned>(machine_.debug_cpu());
    if (!waiting_) return;
    waiting_ = false;
    send(stop_reply());
  } else if (event == machine::MachineEvent::Shutdown && waiting_) {
    waiting_ = false;
    send("W00");
  }
}

void GdbServer::send(const std::string& body) {
  std::string escaped;
  u8 sum = 0;
  for (const char c : body) {
    if (c == '$' || c == '#' || c == '}' || c == '*') {
      escaped += '}';
      escaped += static_cast<char>(c ^ 0x20);
    } else {
      escaped += c;
    }
  }
  for (const char c : escaped) sum = static_cast<u8>(sum + static_cast<u8>(c));
  last_sent_ = "$" + escaped + "#" + hex({reinterpret_cast<const char*>(&sum), 1});
  pending_ += last_sent_;
  flush();
}

void GdbServer::flush() {
  const std::size_t taken = port_.write({reinterpret_cast<const u8*>(pending_.data()), pending_.size()});
  pending_.erase(0, taken);
}

}  // namespace xm::gdb
