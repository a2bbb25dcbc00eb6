// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-blk [VIRTIO 5.2]: a disk. Requests are a 16-byte header, data and a status byte; they go to the block back end
// at once and are answered as they finish. Flush, discard, write-zeroes, get-id, cache mode, several queues.
//
// GAP: no SCSI pass-through (legacy), no zoned or secure-erase commands.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/block/drive.h"
#include "devices/virtio/device.h"

namespace xm::devices {

class VirtioBlk final : public VirtioDevice, private DriveListener {
 public:
  struct Options {
    std::string serial = {};  // empty: the drive's
    u16 queues = 1;
    u16 queue_size = 256;
    u32 logical_block_size = 512;
    u32 physical_block_size = 512;
    bool write_cache = true;
  };

  VirtioBlk(Drive& drive, Options options);
  ~VirtioBlk() override;

  const Type& type() const override;
  u64 features() const override;
  void accept_features(u64 features) override { features_ = features; }
  unsigned queue_count() const override { return options_.queues; }
  u16 queue_size(unsigned) const override { return options_.queue_size; }
  std::span<const u8> config() override;
  void config_written(u64 offset, u64 value, unsigned size_bytes) override;
  void notified(unsigned queue) override;
  void started() override;
  void reset() override;
  void exchange(bus::Archive& archive) override;

 private:
  struct Request;
  void settle();
  void resized() override;
  void start(std::unique_ptr<Request> request);
  void start_transfer(std::unique_ptr<Request> request, u64 sector, bool write);
  void start_ranges(std::unique_ptr<Request> request, bool zero);
  void answer_id(std::unique_ptr<Request> request);
  void finish(Request& request, u8 status, u32 written);
  BlockBackend::Done completion(std::unique_ptr<Request> request);
  bool write_back() const;

  Drive& drive_;
  Options options_;
  u64 features_ = 0;
  bool write_cache_;
  u64 epoch_ = 0;  // counts resets: answers to requests from before are dropped
  unsigned in_flight_ = 0;
  std::array<u8, 60> config_{};
  // Requests refer to the device only while it lives.
  std::shared_ptr<VirtioBlk*> self_ = std::make_shared<VirtioBlk*>(this);
};

}  // namespace xm::devices
