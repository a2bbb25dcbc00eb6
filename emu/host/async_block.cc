// SPDX-License-Identifier: GPL-2.0-or-later
// AsyncBlock: see emu/host/block_image.h. The image stays alive until the last request has run; the outcome of a
// request is posted before drain() sees it as finished.
#include <condition_variable>
#include <mutex>

#include "emu/host/block_image.h"

namespace xm::host {

namespace {

class AsyncBlock final : public devices::BlockBackend {
 public:
  AsyncBlock(std::shared_ptr<BlockImage> image, WorkerPool& pool, bus::Executor& executor)
      : state_(std::make_shared<State>(std::move(image), executor)), pool_(pool) {}
  ~AsyncBlock() override { drain(); }

  std::string description() const override { return state_->image->description(); }
  u64 size_bytes() const override { return state_->image->size_bytes(); }
  bool read_only() const override { return state_->image->read_only(); }

  void read(u64 offset, IoBuffers to, Done done) override {
    const IoStatus early = check(offset, devices::total_bytes(to), false);
    start(early, std::move(done), [=](BlockImage& image) { return image.read(offset, to); });
  }
  void write(u64 offset, IoBuffers from, Done done) override {
    const IoStatus early = check(offset, devices::total_bytes(from), true);
    start(early, std::move(done), [=](BlockImage& image) { return image.write(offset, from); });
  }
  void flush(Done done) override {
    start(IoStatus::Ok, std::move(done), [](BlockImage& image) { return image.flush(); });
  }
  void discard(u64 offset, u64 length, Done done) override {
    start(check(offset, length, true), std::move(done),
          [=](BlockImage& image) { return image.discard(offset, length); });
  }
  void write_zeroes(u64 offset, u64 length, Unmap unmap, Done done) override {
    start(check(offset, length, true), std::move(done),
          [=](BlockImage& image) { return image.write_zeroes(offset, length, unmap == Unmap::Allow); });
  }
  void drain() override {
    std::unique_lock lock(state_->mutex);
    state_->idle.wait(lock, [this] { return state_->in_flight == 0; });
  }

 private:
  struct State {
    State(std::shared_ptr<BlockImage> an_image, bus::Executor& an_executor)
        : image(std::move(an_image)), executor(an_executor) {}
    std::shared_ptr<BlockImage> image;
    bus::Executor& executor;
    std::mutex mutex;
    std::condition_variable idle;
    unsigned in_flight = 0;
  };

  IoStatus check(u64 offset, u64 length, bool write) const {
    const u64 size = size_bytes();
    if (offset > size || length > size - offset) return IoStatus::OutOfRange;
    return write && read_only() ? IoStatus::ReadOnly : IoStatus::Ok;
  }

  template <class Work>
  void start(IoStatus early, Done done, Work work) {
    if (early != IoStatus::Ok) {
      return state_->executor.post([done = std::move(done), early] { done(early); });
    }
    {
      const std::scoped_lock lock(state_->mutex);
      state_->in_flight++;
    }
    pool_.submit([state = state_, done = std::move(done), work = std::move(work)]() mutable {
      const IoStatus status = work(*state->image);
      state->executor.post([done = std::move(done), status] { done(status); });
      const std::scoped_lock lock(state->mutex);
      if (--state->in_flight == 0) state->idle.notify_all();
    });
  }

  std::shared_ptr<State> state_;
  WorkerPool& pool_;
};

}  // namespace

std::shared_ptr<devices::BlockBackend> make_async_block(std::shared_ptr<BlockImage> image, WorkerPool& pool,
                                                        bus::Executor& executor) {
  return std::make_shared<AsyncBlock>(std::move(image), pool, executor);
}

}  // namespace xm::host
