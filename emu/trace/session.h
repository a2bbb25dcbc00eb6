// SPDX-License-Identifier: GPL-2.0-or-later
// Session: one -trace-insn of a running machine: a recorder on every vCPU, the file they write to, and its orderly end.
// Lives from before Machine::run to after it, on the machine thread.
#pragma once

#include <memory>
#include <vector>

#include "emu/machine/machine.h"
#include "emu/trace/recorder.h"

namespace xm::trace {

class Sink : public FrameSink {
 public:
  virtual ~Sink() = default;
  virtual Result<void> close() = 0;
};

class Session final : private machine::PortWatch {
 public:
  static Result<std::unique_ptr<Session>> start(machine::Machine& machine, const std::string& words);
  ~Session();
  // Takes the recorders off and closes the file. An error if something of the trace was lost (status 111).
  Result<void> finish();

 private:
  explicit Session(machine::Machine& machine, Options options);
  void port_written(unsigned vcpu, Port port, u32 value) override;

  machine::Machine& machine_;
  Options options_;
  Control control_;
  std::unique_ptr<Sink> sink_;
  std::vector<std::unique_ptr<Recorder>> recorders_;
};

}  // namespace xm::trace
