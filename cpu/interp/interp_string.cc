// SPDX-License-Identifier: GPL-2.0-or-later
// MOVS, STOS, LODS, CMPS and SCAS, alone and repeated. Repeated forms work through the operands page by page on host
// memory where both sides have some; between pages a pending event suspends them with the registers in order. Whatever
// does not fit (faults, MMIO, code pages, backward direction) goes element by element. [SDM2 REP, MOVS, ...]
#include <algorithm>

#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

namespace {

enum class Outcome : u8 { Done, Suspended, Fault };

constexpr unsigned kElementsBeforeLook = 256;

// What an execution works on: offsets, count and step in the address size of the instruction.
class StringRun {
 public:
  StringRun(Vcpu& cpu, const Insn& insn)
      : cpu_(cpu),
        segment_(insn.segment),
        mask_(mask_of_bytes(insn.address_size)),
        address_size_(insn.address_size),
        backward_((cpu.state.rflags & flag::kDf) != 0) {}

  u64 source() const { return cpu_.state.gpr[gpr::kRsi] & mask_; }
  u64 destination() const { return cpu_.state.gpr[gpr::kRdi] & mask_; }
  u64 count() const { return cpu_.state.gpr[gpr::kRcx] & mask_; }
  Segment segment() const { return segment_; }
  bool backward() const { return backward_; }

  void advance_source(u64 bytes) { advance(gpr::kRsi, bytes); }
  void advance_destination(u64 bytes) { advance(gpr::kRdi, bytes); }
  void use_count(u64 elements) { cpu_.set_gpr(gpr::kRcx, address_size_, count() - elements); }

  // How many of `elements` lie before the page's end and before the address wraps.
  template <class T>
  u64 elements_in_page(u64 offset, u64 linear, u64 elements) const {
    const u64 page_room = (kPageSize - (linear & kPageMask)) / sizeof(T);
    const u64 wrap_room = (mask_ - offset) / sizeof(T) + 1;
    return std::min({elements, page_room, wrap_room});
  }
  // Linear address of the first element if a run of at least one lies in host memory; checked for the whole of it.
  template <class T>
  const u8* source_window(u64 offset, Segment segment, u64& elements) {
    u64 linear = 0;
    if (!place<T>(offset, segment, false, linear, elements)) return nullptr;
    bool ok = false;
    return cpu_.read_window(linear, static_cast<unsigned>(elements * sizeof(T)), ok);
  }
  template <class T>
  u8* destination_window(u64 offset, u64& elements) {
    u64 linear = 0;
    if (!place<T>(offset, Segment::Es, true, linear, elements)) return nullptr;
    bool ok = false;
    return cpu_.write_window(linear, static_cast<unsigned>(elements * sizeof(T)), ok);
  }

 private:
  void advance(unsigned reg, u64 bytes) {
    cpu_.set_gpr(reg, address_size_, backward_ ? cpu_.state.gpr[reg] - bytes : cpu_.state.gpr[reg] + bytes);
  }
  template <class T>
  bool place(u64 offset, Segment segment, bool for_write, u64& linear, u64& elements) {
    if (!cpu_.linear_address(segment, offset, sizeof(T), for_write, linear)) return false;
    elements = elements_in_page<T>(offset, linear, elements);
    if (elements == 0) return false;
    return cpu_.linear_address(segment, offset, static_cast<unsigned>(elements * sizeof(T)), for_write, linear);
  }

  Vcpu& cpu_;
  const Segment segment_;
  const u64 mask_;
  const unsigned address_size_;
  const bool backward_;
};

// A forward copy whose destination starts inside the source repeats what it has just written.
template <class T>
void copy_elements(u8* to, const u8* from, u64 elements) {
  const u64 bytes = elements * sizeof(T);
  const bool repeats = to > from && to < from + bytes;
  if (!repeats) {
    std::memmove(to, from, bytes);
    return;
  }
  for (u64 i = 0; i < elements; ++i) store_host(to + i * sizeof(T), load_host<T>(from + i * sizeof(T)));
}

template <class T>
void fill_elements(u8* to, T value, u64 elements) {
  if constexpr (sizeof(T) == 1) {
    std::memset(to, value, elements);
  } else {
    for (u64 i = 0; i < elements; ++i) store_host(to + i * sizeof(T), value);
  }
}

// Each kind of instruction: one() does an element by checked accesses and says whether the repetition goes on; many()
// does as much of `elements` as it can on host memory, 0 if nothing, and clears `go_on` when the repetition ends.
template <class T>
struct Movs {
  static bool one(Vcpu& cpu, StringRun& run, bool&) {
    T value;
    if (!cpu.read(run.segment(), run.source(), value) || !cpu.write(Segment::Es, run.destination(), value))
      return false;
    run.advance_source(sizeof(T));
    run.advance_destination(sizeof(T));
    return true;
  }
  static u64 many(Vcpu&, StringRun& run, u64 elements, bool&) {
    u8* to = run.destination_window<T>(run.destination(), elements);
    const u8* from = to == nullptr ? nullptr : run.source_window<T>(run.source(), run.segment(), elements);
    if (from == nullptr) return 0;
    copy_elements<T>(to, from, elements);
    run.advance_source(elements * sizeof(T));
    run.advance_destination(elements * sizeof(T));
    return elements;
  }
};

template <class T>
struct Stos {
  static bool one(Vcpu& cpu, StringRun& run, bool&) {
    if (!cpu.write(Segment::Es, run.destination(), static_cast<T>(cpu.state.gpr[gpr::kRax]))) return false;
    run.advance_destination(sizeof(T));
    return true;
  }
  static u64 many(Vcpu& cpu, StringRun& run, u64 elements, bool&) {
    u8* to = run.destination_window<T>(run.destination(), elements);
    if (to == nullptr) return 0;
    fill_elements<T>(to, static_cast<T>(cpu.state.gpr[gpr::kRax]), elements);
    run.advance_destination(elements * sizeof(T));
    return elements;
  }
};

template <class T>
struct Lods {
  static bool one(Vcpu& cpu, StringRun& run, bool&) {
    T value;
    if (!cpu.read(run.segment(), run.source(), value)) return false;
    cpu.set_gpr(gpr::kRax, sizeof(T), value);
    run.advance_source(sizeof(T));
    return true;
  }
  static u64 many(Vcpu&, StringRun&, u64, bool&) { return 0; }
};

// REPE goes on while equal, REPNE while not.
template <class T, bool kWhileEqual>
struct Scas {
  static void compare(Vcpu& cpu, T value, bool& go_on) {
    const T al = static_cast<T>(cpu.state.gpr[gpr::kRax]);
    cpu.flags.set_sub<T>(al, value, static_cast<T>(al - value));
    go_on = (al == value) == kWhileEqual;
  }
  static bool one(Vcpu& cpu, StringRun& run, bool& go_on) {
    T value;
    if (!cpu.read(Segment::Es, run.destination(), value)) return false;
    run.advance_destination(sizeof(T));
    compare(cpu, value, go_on);
    return true;
  }
  static u64 many(Vcpu& cpu, StringRun& run, u64 elements, bool& go_on) {
    const u8* from = run.source_window<T>(run.destination(), Segment::Es, elements);
    if (from == nullptr) return 0;
    const T al = static_cast<T>(cpu.state.gpr[gpr::kRax]);
    u64 used = 0;
    T value = 0;
    do {
      value = load_host<T>(from + used * sizeof(T));
      ++used;
    } while (used < elements && (al == value) == kWhileEqual);
    compare(cpu, value, go_on);
    run.advance_destination(used * sizeof(T));
    return used;
  }
};

template <class T, bool kWhileEqual>
struct Cmps {
  static void compare(Vcpu& cpu, T first, T second, bool& go_on) {
    cpu.flags.set_sub<T>(first, second, static_cast<T>(first - second));
    go_on = (first == second) == kWhileEqual;
  }
  static bool one(Vcpu& cpu, StringRun& run, bool& go_on) {
    T first, second;
    if (!cpu.read(Segment::Es, run.destination(), second) || !cpu.read(run.segment(), run.source(), first))
      return false;
    run.advance_source(sizeof(T));
    run.advance_destination(sizeof(T));
    compare(cpu, first, second, go_on);
    return true;
  }
  static u64 many(Vcpu& cpu, StringRun& run, u64 elements, bool& go_on) {
    const u8* second_at = run.source_window<T>(run.destination(), Segment::Es, elements);
    const u8* first_at = second_at == nullptr ? nullptr : run.source_window<T>(run.source(), run.segment(), elements);
    if (first_at == nullptr) return 0;
    u64 used = 0;
    T first = 0, second = 0;
    do {
      first = load_host<T>(first_at + used * sizeof(T));
      second = load_host<T>(second_at + used * sizeof(T));
      ++used;
    } while (used < elements && (first == second) == kWhileEqual);
    compare(cpu, first, second, go_on);
    run.advance_source(used * sizeof(T));
    run.advance_destination(used * sizeof(T));
    return used;
  }
};

bool event_waits(const Vcpu& cpu) { return (cpu.signals.load() & cpu.running.attention) != 0; }

template <class Kind>
[[gnu::noinline]] Outcome repeat(Vcpu& cpu, const Insn& insn) {
  StringRun run(cpu, insn);
  const LazyFlags flags_before = cpu.flags;
  unsigned single_elements = 0;
  while (run.count() != 0) {
    bool go_on = true;
    u64 used = 0;
    if (!run.backward() && !cpu.running.single) used = Kind::many(cpu, run, run.count(), go_on);
    if (used == 0) {
      if (!Kind::one(cpu, run, go_on)) {
        cpu.flags = flags_before;  // as if no comparison had been made [SDM2 REP]
        return Outcome::Fault;
      }
      used = 1;
    }
    run.use_count(used);
    if (!go_on || run.count() == 0) break;
    if (cpu.running.single) return Outcome::Suspended;
    if ((used > 1 || ++single_elements % kElementsBeforeLook == 0) && event_waits(cpu)) return Outcome::Suspended;
  }
  return Outcome::Done;
}

template <class Kind>
[[gnu::noinline]] bool once(Vcpu& cpu, const Insn& insn) {
  StringRun run(cpu, insn);
  bool go_on = true;
  return Kind::one(cpu, run, go_on);
}

template <class Kind>
const Op* string_once(Vcpu& cpu, const Op* op) {
  return once<Kind>(cpu, *op->insn) ? next(cpu, op) : fault(cpu, op);
}

template <class Kind>
const Op* string_repeated(Vcpu& cpu, const Op* op) {
  switch (repeat<Kind>(cpu, *op->insn)) {
    case Outcome::Done: return next(cpu, op);
    case Outcome::Suspended: return suspend(cpu, op);
    default: return fault(cpu, op);
  }
}

template <class Kind>
Handler choose(const Insn& insn) {
  return insn.rep == RepPrefix::None ? string_once<Kind> : string_repeated<Kind>;
}

}  // namespace

Handler string_handler(const Insn& insn) {
  const bool while_equal = insn.rep != RepPrefix::Repne;
  return for_size(insn.operand_size, [&]<class T>() -> Handler {
    switch (insn.operation) {
      case Operation::Movs: return choose<Movs<T>>(insn);
      case Operation::Stos: return choose<Stos<T>>(insn);
      case Operation::Lods: return choose<Lods<T>>(insn);
      case Operation::Scas: return while_equal ? choose<Scas<T, true>>(insn) : choose<Scas<T, false>>(insn);
      case Operation::Cmps: return while_equal ? choose<Cmps<T, true>>(insn) : choose<Cmps<T, false>>(insn);
      default: return nullptr;
    }
  });
}

}  // namespace xm::cpu::interp
