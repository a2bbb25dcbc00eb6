// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/blk.h"

#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u64 kSectorSize = 512;
constexpr u64 kSegMax = u64{1} << 2, kReadOnly = u64{1} << 5, kBlkSize = u64{1} << 6, kFlush = u64{1} << 9,
              kTopology = u64{1} << 10, kConfigWce = u64{1} << 11, kMultiQueue = u64{1} << 12, kDiscard = u64{1} << 13,
              kWriteZeroes = u64{1} << 14;
// Request types and outcomes [VIRTIO 5.2.6].
constexpr u32 kIn = 0, kOut = 1, kFlushRequest = 4, kGetId = 8, kDiscardRequest = 11, kWriteZeroesRequest = 13;
constexpr u8 kOk = 0, kIoError = 1, kUnsupported = 2;
constexpr u64 kIdLength = 20;
constexpr u32 kMaxRangeSectors = 1u << 22;  // 2 GiB a range
constexpr u32 kMaxRanges = 32;
constexpr u64 kWceOffset = 32;

struct Header {
  u32 type;
  u32 reserved;
  u64 sector;
};

struct Range {
  u64 sector;
  u32 sectors;
  u32 flags;  // bit 0: unmap
};

u8 status_of(IoStatus status) {
  switch (status) {
    case IoStatus::Ok: return kOk;
    case IoStatus::Unsupported: return kUnsupported;
    default: return kIoError;
  }
}

}  // namespace

struct VirtioBlk::Request {
  Chain chain;
  unsigned queue = 0;
  u64 epoch = 0;
  u32 written = 0;           // bytes of data the device has put into the chain if all goes well
  bool flush_after = false;  // write-through: the answer waits for a flush
  std::shared_ptr<BlockBackend> medium;
  unsigned ranges_left = 0;
  IoStatus worst = IoStatus::Ok;
};

VirtioBlk::VirtioBlk(Drive& drive, Options options)
    : drive_(drive), options_(std::move(options)), write_cache_(options_.write_cache) {
  options_.queues = std::clamp<u16>(options_.queues, 1, 64);
  if (options_.serial.empty()) options_.serial = drive_.identity().serial;
  drive_.set_listener(this);
}

VirtioBlk::~VirtioBlk() {
  settle();
  *self_ = nullptr;
  drive_.set_listener(nullptr);
}

const VirtioDevice::Type& VirtioBlk::type() const {
  static constexpr Type kType{"virtio-blk", 2, 0x1001, 0x010000};
  return kType;
}

u64 VirtioBlk::features() const {
  u64 features = kSegMax | kBlkSize | kFlush | kTopology | kConfigWce | kDiscard | kWriteZeroes;
  const BlockBackend* medium = drive_.medium();
  if (medium != nullptr && medium->read_only()) features |= kReadOnly;
  if (options_.queues > 1) features |= kMultiQueue;
  return features;
}

// struct virtio_blk_config [VIRTIO 5.2.4].
std::span<const u8> VirtioBlk::config() {
  const u64 sectors = drive_.size_bytes() / kSectorSize;
  store_le(&config_[0], sectors);
  store_le(&config_[12], u32{options_.queue_size} - 2);                                 // seg_max
  store_le(&config_[16], static_cast<u16>(std::min<u64>(sectors / (16 * 63), 16383)));  // cylinders
  config_[18] = 16;
  config_[19] = 63;
  store_le(&config_[20], options_.logical_block_size);
  unsigned exponent = 0;
  while ((options_.logical_block_size << exponent) < options_.physical_block_size) exponent++;
  config_[24] = static_cast<u8>(exponent);
  store_le(&config_[26], u16{1});  // min_io_size, in logical blocks
  config_[32] = write_cache_;
  store_le(&config_[34], options_.queues);
  store_le(&config_[36], kMaxRangeSectors);
  store_le(&config_[40], kMaxRanges);
  store_le(&config_[44], options_.logical_block_size / static_cast<u32>(kSectorSize));  // discard alignment
  store_le(&config_[48], kMaxRangeSectors);
  store_le(&config_[52], kMaxRanges);
  config_[56] = 1;  // write-zeroes may unmap
  return config_;
}

void VirtioBlk::config_written(u64 offset, u64 value, unsigned size_bytes) {
  if (offset == kWceOffset && size_bytes == 1 && (features_ & kConfigWce) != 0) write_cache_ = (value & 1) != 0;
}

// Without a negotiated FLUSH the driver can not ask for durability, so every write is written through [5.2.6.2].
bool VirtioBlk::write_back() const { return (features_ & kFlush) != 0 && write_cache_; }

void VirtioBlk::reset() {
  epoch_++;
  features_ = 0;
  write_cache_ = options_.write_cache;
  settle();
}

// The buffers of requests in flight are guest memory; a driver owns it again after a reset.
void VirtioBlk::settle() {
  if (in_flight_ == 0) return;
  if (const std::shared_ptr<BlockBackend> medium = drive_.shared_medium()) medium->drain();
}

void VirtioBlk::exchange(bus::Archive& archive) {
  archive.begin("blk");
  archive.field("write_cache", write_cache_);
  archive.end();
}

void VirtioBlk::resized() { transport().signal_config(); }

void VirtioBlk::started() {
  for (unsigned queue = 0; queue < queue_count(); queue++) notified(queue);
}

void VirtioBlk::notified(unsigned queue) {
  for (;;) {
    auto request = std::make_unique<Request>();
    if (!pop(queue, request->chain)) break;
    request->queue = queue;
    request->epoch = epoch_;
    in_flight_++;
    start(std::move(request));
  }
}

void VirtioBlk::start(std::unique_ptr<Request> request) {
  Header header{};
  const bool whole = request->chain.read_at(0, header) && request->chain.writable_bytes() >= 1;
  request->medium = drive_.medium() != nullptr ? drive_.shared_medium() : nullptr;
  if (!whole || request->medium == nullptr) {
    if (!whole) transport().needs_reset("block request without header or status byte");
    return finish(*request, kIoError, 0);
  }
  switch (header.type) {
    case kIn: return start_transfer(std::move(request), header.sector, false);
    case kOut: return start_transfer(std::move(request), header.sector, true);
    case kFlushRequest: {
      BlockBackend& medium = *request->medium;
      return medium.flush(completion(std::move(request)));
    }
    case kGetId: return answer_id(std::move(request));
    case kDiscardRequest: return start_ranges(std::move(request), false);
    case kWriteZeroesRequest: return start_ranges(std::move(request), true);
    default: return finish(*request, kUnsupported, 0);
  }
}

void VirtioBlk::start_transfer(std::unique_ptr<Request> request, u64 sector, bool write) {
  const Chain& chain = request->chain;
  const u64 length = write ? chain.readable_bytes() - sizeof(Header) : chain.writable_bytes() - 1;
  BlockBackend& medium = *request->medium;
  const u64 sectors = medium.size_bytes() / kSectorSize;
  if (length % kSectorSize != 0 || sector > sectors || length / kSectorSize > sectors - sector ||
      (write && medium.read_only())) {
    return finish(*request, kIoError, 0);
  }
  IoBuffers data =
      write ? Chain::slice(chain.readable(), sizeof(Header), length) : Chain::slice(chain.writable(), 0, length);
  const u64 offset = sector * kSectorSize;
  if (write) {
    request->flush_after = !write_back();
    return medium.write(offset, std::move(data), completion(std::move(request)));
  }
  request->written = static_cast<u32>(std::min<u64>(length, ~u32{0} - 1));
  medium.read(offset, std::move(data), completion(std::move(request)));
}

BlockBackend::Done VirtioBlk::completion(std::unique_ptr<Request> request) {
  // std::function wants something copyable.
  return [self = self_, shared = std::shared_ptr<Request>(std::move(request))](IoStatus status) {
    if (*self == nullptr) return;
    if (status == IoStatus::Ok && shared->flush_after) {
      shared->flush_after = false;
      return shared->medium->flush([self, shared](IoStatus flushed) {
        if (*self != nullptr) (*self)->finish(*shared, status_of(flushed), 0);
      });
    }
    (*self)->finish(*shared, status_of(status), status == IoStatus::Ok ? shared->written : 0);
  };
}

void VirtioBlk::answer_id(std::unique_ptr<Request> request) {
  std::array<u8, kIdLength> id{};
  std::memcpy(id.data(), options_.serial.data(), std::min(options_.serial.size(), id.size()));
  const u64 room = std::min(request->chain.writable_bytes() - 1, kIdLength);
  request->chain.copy_in(0, std::span(id).first(room));
  finish(*request, kOk, static_cast<u32>(room));
}

// Discard and write-zeroes: a list of ranges [VIRTIO 5.2.6]; all are checked before the first is carried out.
void VirtioBlk::start_ranges(std::unique_ptr<Request> request, bool zero) {
  const u64 bytes = request->chain.readable_bytes() - sizeof(Header);
  const u64 count = bytes / sizeof(Range);
  BlockBackend& medium = *request->medium;
  if (medium.read_only() || bytes % sizeof(Range) != 0 || count == 0) return finish(*request, kIoError, 0);
  if (count > kMaxRanges) return finish(*request, kUnsupported, 0);
  std::vector<Range> ranges(count);
  request->chain.copy_out(sizeof(Header), {reinterpret_cast<u8*>(ranges.data()), bytes});
  const u64 sectors = medium.size_bytes() / kSectorSize;
  for (const Range& range : ranges) {
    if ((range.flags & ~1u) != 0 || (!zero && range.flags != 0)) return finish(*request, kUnsupported, 0);
    if (range.sectors > kMaxRangeSectors || range.sector > sectors || range.sectors > sectors - range.sector) {
      return finish(*request, kIoError, 0);
    }
  }
  request->ranges_left = static_cast<unsigned>(count);
  const std::shared_ptr<Request> shared(std::move(request));
  const auto done = [self = self_, shared](IoStatus status) {
    if (*self == nullptr) return;
    if (status != IoStatus::Ok) shared->worst = status;
    if (--shared->ranges_left == 0) (*self)->finish(*shared, status_of(shared->worst), 0);
  };
  for (const Range& range : ranges) {
    const u64 offset = range.sector * kSectorSize;
    const u64 length = u64{range.sectors} * kSectorSize;
    if (zero) {
      const auto unmap = (range.flags & 1) != 0 ? BlockBackend::Unmap::Allow : BlockBackend::Unmap::Keep;
      shared->medium->write_zeroes(offset, length, unmap, done);
    } else {
      shared->medium->discard(offset, length, done);
    }
  }
}

// The status byte is the last of the writable stream, whatever came before it.
void VirtioBlk::finish(Request& request, u8 status, u32 written) {
  in_flight_--;
  if (request.epoch != epoch_) return;
  if (request.chain.writable_bytes() != 0) {
    request.chain.copy_in(request.chain.writable_bytes() - 1, {&status, 1});
    written++;
  }
  push(request.queue, request.chain, written);
  transport().signal_queue(request.queue);
}

}  // namespace xm::devices
