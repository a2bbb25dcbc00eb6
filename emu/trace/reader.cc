// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "emu/base/exit_status.h"
#include "emu/trace/writer.h"

namespace xm::trace {

namespace {

Error unreadable(const std::string& path, const std::string& why) {
  return {"cannot read trace: " + path + ": " + why, exit_status::kUsage};
}

bool valid_code_size(u8 bits) { return bits == 16 || bits == 32 || bits == 64; }

}  // namespace

Result<std::unique_ptr<TraceFile>> TraceFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return unreadable(path, std::strerror(errno));
  struct stat info {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  void* data = MAP_FAILED;
  if (regular && info.st_size >= static_cast<off_t>(sizeof(FileHeader)))
    data = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (data == MAP_FAILED) return unreadable(path, regular ? "too short for a trace" : "not a regular file");
  std::unique_ptr<TraceFile> file(new TraceFile);
  file->path_ = path;
  file->data_ = static_cast<const u8*>(data);
  file->size_ = static_cast<u64>(info.st_size);
  std::memcpy(&file->header_, data, sizeof(FileHeader));
  if (std::memcmp(file->header_.magic, kFileMagic, sizeof kFileMagic) != 0) return unreadable(path, "not a trace");
  if (file->header_.version != kVersion)
    return Error{"trace of another version: " + path + ": version " + std::to_string(file->header_.version) +
                     ", this program reads " + std::to_string(kVersion),
                 exit_status::kIncompatible};
  if (!file->read_index()) file->scan();
  return file;
}

TraceFile::~TraceFile() {
  if (data_ != nullptr) ::munmap(const_cast<u8*>(data_), size_);
}

u64 TraceFile::instructions() const {
  u64 sum = 0;
  for (const IndexEntry& frame : frames_)
    if (frame.type == static_cast<u32>(FrameType::Run)) sum += frame.count;
  return sum;
}

bool TraceFile::frame_header(u64 offset, FrameHeader& header) const {
  if (offset > size_ || size_ - offset < sizeof header) return false;
  std::memcpy(&header, data_ + offset, sizeof header);
  return header.magic == kFrameMagic && header.header_crc32 == header_checksum(header) &&
         header.raw_bytes <= kMostFrameBytes && header.compressed_bytes <= size_ - offset - sizeof header;
}

bool TraceFile::read_index() {
  Footer footer{};
  if (size_ < sizeof(FileHeader) + sizeof footer) return false;
  std::memcpy(&footer, data_ + size_ - sizeof footer, sizeof footer);
  FrameHeader header{};
  if (footer.magic != kFooterMagic || !frame_header(footer.index_offset, header) || header.type != FrameType::Index)
    return false;
  const auto index =
      payload({.offset = footer.index_offset, .first = 0, .count = 0, .guest_ns = 0, .type = 0, .vcpu = 0});
  damage_.clear();
  if (!index || index->size() % sizeof(IndexEntry) != 0) return false;
  frames_.resize(index->size() / sizeof(IndexEntry));
  std::memcpy(frames_.data(), index->data(), index->size());
  for (const IndexEntry& frame : frames_) {
    FrameHeader there{};
    const bool same = frame_header(frame.offset, there) && static_cast<u32>(there.type) == frame.type &&
                      there.vcpu == frame.vcpu && there.first == frame.first && there.count == frame.count;
    if (same) continue;
    frames_.clear();
    return false;
  }
  return true;
}

// Without an index: frame after frame, up to the first that is not whole.
void TraceFile::scan() {
  u64 offset = sizeof(FileHeader);
  FrameHeader header{};
  while (frame_header(offset, header) && header.type != FrameType::Index) {
    frames_.push_back({.offset = offset,
                       .first = header.first,
                       .count = header.count,
                       .guest_ns = header.guest_ns,
                       .type = static_cast<u32>(header.type),
                       .vcpu = header.vcpu});
    offset += sizeof header + header.compressed_bytes;
  }
  damage_ =
      "not closed in order, or cut off: good up to byte " + std::to_string(offset) + " of " + std::to_string(size_);
}

std::optional<std::string> TraceFile::payload(const IndexEntry& entry) {
  FrameHeader header{};
  const auto damaged = [&](const char* what) {
    damage_ = std::string(what) + " in the frame at byte " + std::to_string(entry.offset);
    return std::nullopt;
  };
  if (!frame_header(entry.offset, header)) return damaged("bad header");
  const u8* bytes = data_ + entry.offset + sizeof header;
  if (::crc32(0, bytes, header.compressed_bytes) != header.crc32) return damaged("wrong checksum");
  std::string raw(header.raw_bytes, '\0');
  const size_t got = ZSTD_decompress(raw.data(), raw.size(), bytes, header.compressed_bytes);
  if (ZSTD_isError(got) != 0 || got != raw.size()) return damaged("bad compressed data");
  return raw;
}

bool TraceFile::load_code(const IndexEntry& entry) {
  const auto raw = payload(entry);
  if (!raw) return false;
  if (parse_code(*raw, entry.first, entry.count, code_[entry.vcpu])) return true;
  damage_ = "bad code in the frame at byte " + std::to_string(entry.offset);
  return false;
}

bool parse_code(std::string_view payload, u64 first, u64 count, std::deque<Stretch>& known) {
  if (known.size() != first) return false;
  ByteSource source(payload);
  u64 linear = 0;
  for (u64 i = 0; i < count; i++) {
    Stretch stretch;
    linear += static_cast<u64>(source.signed_varint());
    stretch.linear = linear;
    const u8 bits = source.u8_();
    stretch.code_size = static_cast<cpu::CodeSize>(bits);
    const std::string_view lengths = source.raw(source.varint());
    stretch.lengths.assign(lengths.begin(), lengths.end());
    stretch.bytes = source.raw(source.varint());
    u64 total = 0;
    for (const u8 length : stretch.lengths) total += length;
    if (!source.ok() || !valid_code_size(bits) || stretch.lengths.empty() || total > stretch.bytes.size()) return false;
    known.push_back(std::move(stretch));
  }
  return true;
}

// Details stand behind their run; the first token that is none is kept for later.
void RunParser::read_details(Item& item) {
  accesses_.clear();
  item.register_mask = 0;
  for (;;) {
    ahead_ = source_.at_end() ? 0 : source_.varint();
    if (ahead_ == kRegisters) {
      item.register_mask = source_.varint();
      for (unsigned i = 0; i < 17; i++)
        if ((item.register_mask >> i & 1) != 0) registers_.value[i] += static_cast<u64>(source_.signed_varint());
      for (unsigned i = 0; i < 16; i++) {
        if ((item.register_mask >> (17 + i) & 1) == 0) continue;
        const std::string_view bytes = source_.raw(32);
        std::copy(bytes.begin(), bytes.end(), registers_.vector[i].begin());
      }
    } else if (ahead_ == kAccess) {
      const u8 shape = source_.u8_();
      const u64 linear = source_.varint();
      accesses_.push_back({.linear = linear, .write = (shape & 1) != 0, .bytes = std::string(source_.raw(shape >> 1))});
    } else {
      break;
    }
  }
  item.registers = &registers_;
  item.accesses = accesses_;
}

bool RunParser::run(u64 token, Item& item) {
  const u64 number = token == kSlice ? source_.varint() : token - kFirstRun;
  if (number >= code_.size()) return false;
  item.stretch = &code_[number];
  item.stretch_number = static_cast<u32>(number);
  const u64 there = item.stretch->lengths.size();
  const u64 first = token == kSlice ? source_.varint() : 0;
  item.count = token == kSlice ? source_.varint() : there;
  if (first >= there || item.count > there - first || item.count == 0) return false;
  item.first = static_cast<unsigned>(first);
  item.number = number_;
  number_ += item.count;
  last_run_.reset();
  if (token != kSlice) last_run_ = item;
  if (details_) read_details(item);
  return source_.ok();
}

// Reads one token; `yields` if it makes an item. False: the payload is damaged.
bool RunParser::token(Item& item, bool& yields) {
  const u64 token = ahead_ != 0 ? std::exchange(ahead_, 0) : source_.varint();
  item = context_;
  yields = true;
  if (token >= kFirstRun || token == kSlice) return run(token, item);
  switch (token) {
    case kContext:
      context_.cpl = source_.u8_() & 3;
      context_.cr3 = source_.varint();
      yields = false;
      break;
    case kEvent:
      item.kind = Item::Kind::Event;
      item.event.kind = static_cast<cpu::WatchedEventKind>(source_.u8_() & 3);
      item.event.vector = source_.u8_();
      item.event.has_error_code = source_.u8_() != 0;
      item.event.error_code = static_cast<u32>(source_.varint());
      item.event.address = source_.varint();
      item.guest_ns = frame_ns_ + source_.varint();
      item.number = number_;
      break;
    case kRepeat: {
      const u64 times = source_.varint();
      if (!last_run_ || times == 0 || times > (u64{1} << 40)) return false;
      item = *last_run_;
      item.times = times;
      item.number = number_;
      number_ += item.count * times;
      break;
    }
    case kGap:
      item.kind = Item::Kind::Gap;
      item.count = source_.varint();
      item.number = number_;
      break;
    default: return false;
  }
  return source_.ok();
}

bool RunParser::next(Item& item) {
  while (!damaged_ && (ahead_ != 0 || !source_.at_end())) {
    bool yields = false;
    damaged_ = !token(item, yields);
    if (!damaged_ && yields) return true;
  }
  return false;
}

void Cursor::seek(u64 number) {
  size_t target = 0;
  for (size_t i = 0; i < file_.frames_.size(); i++) {
    const IndexEntry& frame = file_.frames_[i];
    const bool mine = frame.type == static_cast<u32>(FrameType::Run) && (!vcpu_ || frame.vcpu == *vcpu_);
    if (mine && frame.first <= number) target = i;
  }
  frame_ = target;
  parser_.reset();
}

bool Cursor::next_frame() {
  while (frame_ < file_.frames_.size()) {
    // A stretch number may point into any code frame before this one.
    for (; file_.code_loaded_ <= frame_; file_.code_loaded_++) {
      const IndexEntry& entry = file_.frames_[file_.code_loaded_];
      if (entry.type == static_cast<u32>(FrameType::Code) && !file_.load_code(entry)) return false;
    }
    const IndexEntry& entry = file_.frames_[frame_++];
    if (entry.type != static_cast<u32>(FrameType::Run) || (vcpu_ && entry.vcpu != *vcpu_)) continue;
    auto payload = file_.payload(entry);
    if (!payload) return false;
    parser_ = std::make_unique<RunParser>(std::move(*payload), entry.vcpu, entry.first, entry.guest_ns,
                                          file_.contents() != 0, file_.code_[entry.vcpu]);
    return true;
  }
  return false;
}

bool Cursor::next(Item& item) {
  for (;;) {
    if (parser_ != nullptr) {
      if (parser_->next(item)) return true;
      if (parser_->damaged()) {
        file_.damage_ = "bad contents in the frame at byte " + std::to_string(file_.frames_[frame_ - 1].offset);
        frame_ = file_.frames_.size();
      }
      parser_.reset();
    }
    if (!next_frame()) return false;
  }
}

bool Expander::next(Item& item, u64& linear, std::string_view& bytes) {
  if (done_ == total_) return false;
  const Stretch& stretch = *run_.stretch;
  const u64 within = done_ % run_.count;
  if (within == 0) {
    offset_ = 0;
    for (unsigned i = 0; i < run_.first; i++) offset_ += stretch.lengths[i];
  }
  const u8 length = stretch.lengths[run_.first + within];
  item = run_;
  item.number = run_.number + done_;
  linear = stretch.linear + offset_;
  bytes = std::string_view(stretch.bytes).substr(offset_, length);
  offset_ += length;
  done_++;
  return true;
}

bool InstructionCursor::next(Item& item, u64& linear, std::string_view& bytes) {
  for (;;) {
    if (expander_.next(item, linear, bytes)) return true;
    if (!cursor_.next(item)) return false;
    if (item.kind != Item::Kind::Run) return true;
    expander_.begin(item);
  }
}

}  // namespace xm::trace
