// SPDX-License-Identifier: GPL-2.0-or-later
// FaultPolicy: what happens when the host cannot carry out a request (werror=, rerror=): tell the guest, pretend that
// all went well, or hold the request and stop the machine, so that the user can make room and go on; the request is
// then tried again. Sits between a controller and its back end.
#pragma once

#include <functional>
#include <vector>

#include "devices/block/block_backend.h"
#include "emu/bus/executor.h"

namespace xm::devices {

enum class OnFault : u8 { Report, Ignore, Stop, StopIfFull };

class FaultPolicy final : public BlockBackend {
 public:
  struct Settings {
    OnFault on_read = OnFault::Report;
    OnFault on_write = OnFault::StopIfFull;
  };
  // Called with the machine lock held when a request is held: the machine should stop.
  using Stop = std::function<void(bool write, IoStatus status)>;

  FaultPolicy(std::shared_ptr<BlockBackend> inner, Settings settings, bus::Executor& executor, Stop stop);
  ~FaultPolicy() override;

  // Tries held requests again. Machine lock held.
  void resume();
  bool holds_requests() const { return !held_.empty(); }

  std::string description() const override { return inner_->description(); }
  u64 size_bytes() const override { return inner_->size_bytes(); }
  bool read_only() const override { return inner_->read_only(); }
  void read(u64 offset, IoBuffers to, Done done) override;
  void write(u64 offset, IoBuffers from, Done done) override;
  void flush(Done done) override;
  void discard(u64 offset, u64 length, Done done) override;
  void write_zeroes(u64 offset, u64 length, Unmap unmap, Done done) override;
  // Held requests fail: nobody may wait for the user here.
  void drain() override;

 private:
  struct Request {
    std::function<void(BlockBackend&, Done)> start;
    Done done;
    bool write;
  };
  void issue(std::shared_ptr<Request> request);
  void finished(const std::shared_ptr<Request>& request, IoStatus status);

  std::shared_ptr<BlockBackend> inner_;
  Settings settings_;
  bus::Executor& executor_;
  Stop stop_;
  std::vector<std::shared_ptr<Request>> held_;
  unsigned in_flight_ = 0;
  bool draining_ = false;
  std::shared_ptr<FaultPolicy*> self_ = std::make_shared<FaultPolicy*>(this);
};

}  // namespace xm::devices
