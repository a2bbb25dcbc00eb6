// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/block/fault_policy.h"

#include <utility>

namespace xm::devices {

FaultPolicy::FaultPolicy(std::shared_ptr<BlockBackend> inner, Settings settings, bus::Executor& executor, Stop stop)
    : inner_(std::move(inner)), settings_(settings), executor_(executor), stop_(std::move(stop)) {}

FaultPolicy::~FaultPolicy() { *self_ = nullptr; }

void FaultPolicy::read(u64 offset, IoBuffers to, Done done) {
  issue(std::make_shared<Request>(Request{
      [=](BlockBackend& inner, Done then) { inner.read(offset, to, std::move(then)); }, std::move(done), false}));
}
void FaultPolicy::write(u64 offset, IoBuffers from, Done done) {
  issue(std::make_shared<Request>(Request{
      [=](BlockBackend& inner, Done then) { inner.write(offset, from, std::move(then)); }, std::move(done), true}));
}
void FaultPolicy::flush(Done done) {
  issue(std::make_shared<Request>(
      Request{[](BlockBackend& inner, Done then) { inner.flush(std::move(then)); }, std::move(done), true}));
}
void FaultPolicy::discard(u64 offset, u64 length, Done done) {
  issue(std::make_shared<Request>(Request{
      [=](BlockBackend& inner, Done then) { inner.discard(offset, length, std::move(then)); }, std::move(done), true}));
}
void FaultPolicy::write_zeroes(u64 offset, u64 length, Unmap unmap, Done done) {
  issue(std::make_shared<Request>(
      Request{[=](BlockBackend& inner, Done then) { inner.write_zeroes(offset, length, unmap, std::move(then)); },
              std::move(done), true}));
}

void FaultPolicy::issue(std::shared_ptr<Request> request) {
  const auto start = request->start;
  in_flight_++;
  start(*inner_, [self = self_, request = std::move(request)](IoStatus status) {
    if (*self == nullptr) return request->done(status);
    (*self)->finished(request, status);
  });
}

void FaultPolicy::finished(const std::shared_ptr<Request>& request, IoStatus status) {
  in_flight_--;
  const bool host_fault = status == IoStatus::Error || status == IoStatus::NoSpace;
  const OnFault rule = request->write ? settings_.on_write : settings_.on_read;
  if (!host_fault || rule == OnFault::Report) return request->done(status);
  if (rule == OnFault::Ignore) return request->done(IoStatus::Ok);
  if (rule == OnFault::StopIfFull && status != IoStatus::NoSpace) return request->done(status);
  if (draining_) return request->done(status);
  held_.push_back(request);
  stop_(request->write, status);
}

void FaultPolicy::resume() {
  std::vector<std::shared_ptr<Request>> again;
  again.swap(held_);
  for (auto& request : again) issue(std::move(request));
}

void FaultPolicy::drain() {
  inner_->drain();
  std::vector<std::shared_ptr<Request>> failed;
  failed.swap(held_);
  for (auto& request : failed) executor_.post([request] { request->done(IoStatus::Error); });
  // What is on its way from the back end must not be held either: nobody would be there to let it go.
  if (in_flight_ == 0) return;
  draining_ = true;
  executor_.post([self = self_] {
    if (*self != nullptr) (*self)->draining_ = false;
  });
}

}  // namespace xm::devices
