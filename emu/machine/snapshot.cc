// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/snapshot.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "emu/base/exit_status.h"
#include "emu/machine/cpu_archive.h"

namespace xm::machine {

namespace {

constexpr char kMagic[8] = {'X', 'M', 'S', 'N', 'A', 'P', '1', '\n'};
constexpr size_t kBlockBytes = 1 << 20;
constexpr int kCompressionLevel = 1;
constexpr u64 kRunPages = 64;
constexpr size_t kLongestName = 256;
constexpr u64 kLargestField = u64{256} << 20;  // video memory is the largest

struct BlockHeader {
  u32 raw_bytes, stored_bytes, crc32;
};

Error damaged(const std::string& what) { return {"damaged snapshot: " + what, exit_status::kIncompatible}; }

u32 checksum(std::span<const u8> bytes) {
  return static_cast<u32>(::crc32(0, bytes.data(), static_cast<uInt>(bytes.size())));
}

class BlockWriter {
 public:
  explicit BlockWriter(const SnapshotSink& sink) : sink_(sink) {}
  void put(const void* data, size_t size) {
    const u8* bytes = static_cast<const u8*>(data);
    while (size != 0 && error_.ok()) {
      const size_t piece = std::min(size, kBlockBytes - pending_.size());
      pending_.insert(pending_.end(), bytes, bytes + piece);
      bytes += piece;
      size -= piece;
      if (pending_.size() == kBlockBytes) flush();
    }
  }
  Result<void> finish() {
    if (!pending_.empty()) flush();
    flush();  // the empty block that ends the stream
    return error_;
  }
  Result<void> begin() {
    error_ = sink_({reinterpret_cast<const u8*>(kMagic), sizeof kMagic});
    return error_;
  }

 private:
  void flush() {
    if (!error_.ok()) return;
    std::vector<u8> stored(ZSTD_compressBound(pending_.size()));
    const size_t size =
        ZSTD_compress(stored.data(), stored.size(), pending_.data(), pending_.size(), kCompressionLevel);
    CHECK(ZSTD_isError(size) == 0);
    stored.resize(pending_.empty() ? 0 : size);
    const BlockHeader header{.raw_bytes = static_cast<u32>(pending_.size()),
                             .stored_bytes = static_cast<u32>(stored.size()),
                             .crc32 = checksum(stored)};
    error_ = sink_({reinterpret_cast<const u8*>(&header), sizeof header});
    if (error_.ok() && !stored.empty()) error_ = sink_(stored);
    pending_.clear();
  }
  const SnapshotSink& sink_;
  std::vector<u8> pending_;
  Result<void> error_;
};

class BlockReader {
 public:
  explicit BlockReader(const SnapshotSource& source) : source_(source) {}
  Result<void> begin() {
    char magic[sizeof kMagic];
    TRY(source_({reinterpret_cast<u8*>(magic), sizeof magic}));
    if (std::memcmp(magic, kMagic, sizeof magic) == 0) return {};
    return Error{std::memcmp(magic, kMagic, 6) == 0 ? "snapshot of another version" : "not a snapshot",
                 exit_status::kIncompatible};
  }
  Result<void> get(void* data, size_t size) {
    u8* bytes = static_cast<u8*>(data);
    while (size != 0) {
      if (at_ == block_.size()) TRY(next_block());
      const size_t piece = std::min(size, block_.size() - at_);
      std::memcpy(bytes, block_.data() + at_, piece);
      at_ += piece;
      bytes += piece;
      size -= piece;
    }
    return {};
  }
  // True at the end of the stream.
  Result<bool> at_end() {
    if (at_ < block_.size()) return false;
    BlockHeader header{};
    TRY(source_({reinterpret_cast<u8*>(&header), sizeof header}));
    if (header.raw_bytes == 0) return true;
    TRY(load(header));
    return false;
  }

 private:
  Result<void> next_block() {
    BlockHeader header{};
    TRY(source_({reinterpret_cast<u8*>(&header), sizeof header}));
    if (header.raw_bytes == 0) return damaged("ends in the middle of a record");
    return load(header);
  }
  Result<void> load(const BlockHeader& header) {
    if (header.raw_bytes > kBlockBytes || header.stored_bytes > ZSTD_compressBound(kBlockBytes))
      return damaged("block of impossible size");
    std::vector<u8> stored(header.stored_bytes);
    TRY(source_(stored));
    if (checksum(stored) != header.crc32) return damaged("wrong checksum");
    block_.resize(header.raw_bytes);
    const size_t got = ZSTD_decompress(block_.data(), block_.size(), stored.data(), stored.size());
    if (ZSTD_isError(got) != 0 || got != block_.size()) return damaged("bad compressed data");
    at_ = 0;
    return {};
  }
  const SnapshotSource& source_;
  std::vector<u8> block_;
  size_t at_ = 0;
};

class SaveArchive final : public bus::Archive {
 public:
  explicit SaveArchive(BlockWriter& out) : out_(out) {}
  bool loading() const override { return false; }
  u32 begin(std::string_view name, u32 version) override {
    kind('G', name);
    out_.put(&version, sizeof version);
    return version;
  }
  void end() override { out_.put("E", 1); }

 protected:
  void exchange_number(std::string_view name, u64& value) override {
    kind('N', name);
    out_.put(&value, sizeof value);
  }
  void exchange_bytes(std::string_view name, std::span<u8> bytes) override {
    kind('B', name);
    const u64 size = bytes.size();
    out_.put(&size, sizeof size);
    out_.put(bytes.data(), bytes.size());
  }
  void exchange_blob(std::string_view name, std::vector<u8>& bytes) override { exchange_bytes(name, bytes); }

 private:
  void kind(char letter, std::string_view name) {
    const u32 length = static_cast<u32>(name.size());
    out_.put(&letter, 1);
    out_.put(&length, sizeof length);
    out_.put(name.data(), name.size());
  }
  BlockWriter& out_;
};

// The fields of a stream by path. Groups of one name beside each other (two disks) are told apart by a number.
struct Fields {
  std::map<std::string, std::vector<u8>> values;
  std::map<std::string, u32> versions;  // of groups
};

class Path {
 public:
  void enter(std::string_view name) {
    const std::string plain = text_ + std::string(name);
    const unsigned nth = seen_[plain]++;
    ends_.push_back(text_.size());
    text_ = plain + (nth == 0 ? "/" : "#" + std::to_string(nth) + "/");
  }
  bool leave() {
    if (ends_.empty()) return false;
    text_.resize(ends_.back());
    ends_.pop_back();
    return true;
  }
  std::string of(std::string_view name) const { return text_ + std::string(name); }
  const std::string& text() const { return text_; }
  bool outside() const { return ends_.empty(); }

 private:
  std::string text_;
  std::vector<size_t> ends_;
  std::map<std::string, unsigned> seen_;
};

class LoadArchive final : public bus::Archive {
 public:
  explicit LoadArchive(const Fields& fields) : fields_(fields) {}
  bool loading() const override { return true; }
  u32 begin(std::string_view name, u32 version) override {
    path_.enter(name);
    const auto found = fields_.versions.find(path_.text());
    return found == fields_.versions.end() ? version : found->second;
  }
  void end() override { path_.leave(); }
  // Fields of the stream that nobody asked for.
  std::vector<std::string> unknown() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : fields_.values)
      if (!used_.contains(name)) names.push_back(name);
    return names;
  }

 protected:
  void exchange_number(std::string_view name, u64& value) override {
    exchange_bytes(name, {reinterpret_cast<u8*>(&value), sizeof value});
  }
  void exchange_bytes(std::string_view name, std::span<u8> bytes) override {
    const std::vector<u8>* field = find(name);
    if (field != nullptr && field->size() == bytes.size()) std::copy(field->begin(), field->end(), bytes.begin());
  }
  void exchange_blob(std::string_view name, std::vector<u8>& bytes) override {
    if (const std::vector<u8>* field = find(name)) bytes = *field;
  }

 private:
  const std::vector<u8>* find(std::string_view name) {
    const auto found = fields_.values.find(path_.of(name));
    if (found == fields_.values.end()) return nullptr;
    used_.insert(found->first);
    return &found->second;
  }
  const Fields& fields_;
  Path path_;
  std::set<std::string> used_;
};

bool all_zero(const u8* page) { return page[0] == 0 && std::memcmp(page, page + 1, kPageSize - 1) == 0; }

void write_memory(BlockWriter& out, const bus::RamBlock& ram) {
  const u64 pages = ram.size_bytes() / kPageSize;
  for (u64 page = 0; page < pages;) {
    const u8* host = ram.host() + page * kPageSize;
    if (all_zero(host)) {
      page++;
      continue;
    }
    u64 count = 1;
    while (count < kRunPages && page + count < pages && !all_zero(host + count * kPageSize)) count++;
    out.put("R", 1);
    const u64 offset = page * kPageSize;
    out.put(&offset, sizeof offset);
    out.put(&count, sizeof count);
    out.put(host, count * kPageSize);
    page += count;
  }
}

Result<std::string> read_name(BlockReader& in) {
  u32 length = 0;
  TRY(in.get(&length, sizeof length));
  if (length > kLongestName) return damaged("name of impossible length");
  std::string name(length, '\0');
  TRY(in.get(name.data(), length));
  return name;
}

// Reads a stream: fields into `fields`, memory into `ram` unless that is null (then it is only checked).
Result<void> parse(const SnapshotSource& source, Fields& fields, bus::RamBlock* ram, u64 ram_bytes) {
  BlockReader in(source);
  TRY(in.begin());
  Path path;
  std::vector<u8> pages;
  while (!TRY(in.at_end())) {
    char kind = 0;
    TRY(in.get(&kind, 1));
    if (kind == 'G') {
      const std::string name = TRY(read_name(in));
      path.enter(name);
      TRY(in.get(&fields.versions[path.text()], sizeof(u32)));
    } else if (kind == 'E') {
      if (!path.leave()) return damaged("a group ends that did not begin");
    } else if (kind == 'N' || kind == 'B') {
      const std::string name = TRY(read_name(in));
      u64 size = sizeof(u64);
      if (kind == 'B') TRY(in.get(&size, sizeof size));
      if (size > kLargestField) return damaged("field of impossible size: " + path.of(name));
      std::vector<u8>& value = fields.values[path.of(name)];
      value.resize(size);
      TRY(in.get(value.data(), size));
    } else if (kind == 'R') {
      u64 offset = 0, count = 0;
      TRY(in.get(&offset, sizeof offset));
      TRY(in.get(&count, sizeof count));
      if (count == 0 || count > kRunPages || offset % kPageSize != 0 || offset > ram_bytes ||
          count * kPageSize > ram_bytes - offset)
        return Error{"snapshot of a machine with more memory", exit_status::kIncompatible};
      pages.resize(count * kPageSize);
      TRY(in.get(ram == nullptr ? pages.data() : ram->host() + offset, pages.size()));
    } else {
      return damaged("unknown record");
    }
  }
  if (!path.outside()) return damaged("a group does not end");
  return {};
}

// What must be the same for a state to fit: memory, processors, devices by name.
std::string shape_of(Machine& machine) {
  std::string shape = "memory " + std::to_string(machine.config().memory_bytes >> 10) + " KiB, CPUs " +
                      std::to_string(machine.config().cpus) + ", devices";
  for (const bus::Device* device : machine.board().devices()) shape += " " + std::string(device->name());
  return shape;
}

void exchange_machine(Machine& machine, bus::Archive& archive) {
  archive.begin("machine");
  Nanos now = machine.clock().now();
  archive.field("guest_time", now);
  if (archive.loading()) machine.set_guest_time(now);
  archive.end();
  for (auto& vcpu : machine.vcpus()) {
    archive.begin("cpu");
    exchange_cpu(archive, vcpu->engine());
    archive.end();
  }
  for (bus::Device* device : machine.board().devices()) {
    archive.begin(device->name());
    device->exchange(archive);
    archive.end();
  }
}

}  // namespace

Result<void> write_snapshot(Machine& machine, const SnapshotSink& sink) {
  BlockWriter out(sink);
  TRY(out.begin());
  SaveArchive archive(out);
  archive.begin("shape", 1);
  std::string shape = shape_of(machine);
  archive.field("text", std::span<u8>(reinterpret_cast<u8*>(shape.data()), shape.size()));
  archive.end();
  exchange_machine(machine, archive);
  write_memory(out, machine.board().ram());
  return out.finish();
}

Result<void> check_snapshot(Machine& machine, const SnapshotSource& source) {
  Fields fields;
  TRY(parse(source, fields, nullptr, machine.board().ram().size_bytes()));
  const std::vector<u8>& saved = fields.values["shape/text"];
  const std::string shape = shape_of(machine);
  if (std::equal(saved.begin(), saved.end(), shape.begin(), shape.end())) return {};
  return Error{
      "snapshot of another machine: it has " + std::string(saved.begin(), saved.end()) + "; this one has " + shape,
      exit_status::kIncompatible};
}

Result<void> read_snapshot(Machine& machine, const SnapshotSource& source) {
  bus::RamBlock& ram = machine.board().ram();
  std::memset(ram.host(), 0, ram.size_bytes());
  Fields fields;
  TRY(parse(source, fields, &ram, ram.size_bytes()));
  fields.values.erase("shape/text");
  for (auto& vcpu : machine.vcpus()) {
    vcpu->engine().signals().clear(~u32{0});
    vcpu->engine().signals().set(cpu::Signals::kMapChanged);
  }
  LoadArchive archive(fields);
  exchange_machine(machine, archive);
  for (const std::string& name : archive.unknown())
    machine.log().line(LogItem::Unimp, "snapshot: nobody knows the field %s", name.c_str());
  return {};
}

}  // namespace xm::machine
