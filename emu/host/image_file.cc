// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/image_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "emu/base/bits.h"
#include "emu/base/exit_status.h"
#include "emu/host/host_file.h"
#include "emu/host/qcow2/qcow2_image.h"
#include "emu/host/raw_file.h"

namespace xm::host {

namespace {

constexpr unsigned kMaxChain = 256;

struct Magic {
  u64 offset;
  std::string_view bytes;
  const char* format;
};
constexpr Magic kMagics[] = {
    {0, "KDMV", "vmdk"},
    {0, "COWD", "vmdk"},
    {0, "# Disk DescriptorFile", "vmdk"},
    {0, "vhdxfile", "vhdx"},
    {64, "\x7f\x10\xda\xbe", "vdi"},
    {0, "conectix", "vpc"},
    {0, std::string_view("QED\0", 4), "qed"},
    {0, "LUKS\xba\xbe", "luks"},
    {0, "WithoutFreeSpace", "parallels"},
};

using FileId = std::pair<u64, u64>;

Result<std::unique_ptr<BlockImage>> open_layer(const std::string& path, const ImageOptions& options,
                                               std::set<FileId>& chain);

Result<std::unique_ptr<BlockImage>> open_backing(const std::string& of, const qcow2::Header& header,
                                                 const ImageOptions& options, std::set<FileId>& chain) {
  if (header.backing_file.empty() || !options.with_backing) return std::unique_ptr<BlockImage>();
  const std::string path = TRY(resolve_backing_name(of, header.backing_file));
  ImageOptions backing = options;
  backing.format = header.backing_format;
  if (backing.format == "file" || backing.format == "host_device") backing.format = "raw";
  backing.read_only = true;
  backing.any_size = true;
  backing.ignore_dirty = false;
  Result<std::unique_ptr<BlockImage>> opened = open_layer(path, backing, chain);
  if (opened.ok()) return opened;
  return Error{"cannot open backing file of " + of + ": " + opened.error().message, opened.error().exit_status};
}

Result<std::unique_ptr<BlockImage>> open_layer(const std::string& path, const ImageOptions& options,
                                               std::set<FileId>& chain) {
  if (!options.format.empty()) TRY(check_format_name(options.format));
  const auto access = options.read_only ? HostFile::Access::ReadOnly : HostFile::Access::ReadWrite;
  HostFile file = TRY(HostFile::open(path, access, options.locking ? HostFile::Locking::On : HostFile::Locking::Off,
                                     options.direct ? HostFile::Caching::Direct : HostFile::Caching::Buffered));
  struct stat status = {};
  if (fstat(file.fd(), &status) == 0 && !chain.insert({status.st_dev, status.st_ino}).second)
    return Error{"backing files form a loop: " + path, exit_status::kImage};
  if (chain.size() > kMaxChain) return Error{"too many backing files: " + path, exit_status::kImage};

  std::string format = options.format;
  if (format.empty()) {
    std::array<u8, 512> sector{};
    if (file.read_padded(0, {std::span(sector)}) != IoStatus::Ok)
      return Error{"cannot read disk image: " + path + ": input/output error"};
    format = guess_format(sector);
    TRY(check_format_name(format));
    if (format == "raw" && !options.read_only && !options.quiet && TRY(file.size_bytes()) != 0) {
      std::fprintf(stderr,
                   "xiaoma: warning: image format was guessed to be raw: %s; writes that make it look like another "
                   "format are refused, say format=raw to allow them\n",
                   path.c_str());
    }
  }
  if (format == "raw") {
    RawOptions raw;
    raw.read_only = options.read_only;
    raw.discard = options.discard;
    raw.direct = options.direct;
    raw.any_size = options.any_size;
    raw.guessed = options.format.empty();
    raw.cache = options.no_flush        ? RawOptions::Cache::Unsafe
                : options.write_through ? RawOptions::Cache::WriteThrough
                                        : RawOptions::Cache::WriteBack;
    return make_raw_image(std::move(file), raw);
  }
  const qcow2::Header header = TRY(qcow2::read_header(file));
  std::unique_ptr<BlockImage> backing = TRY(open_backing(path, header, options, chain));
  Qcow2Options qcow2;
  qcow2.read_only = options.read_only;
  qcow2.write_through = options.write_through;
  qcow2.no_flush = options.no_flush;
  qcow2.discard = options.discard;
  qcow2.ignore_dirty = options.ignore_dirty;
  return std::unique_ptr<BlockImage>(TRY(Qcow2Image::open(std::move(file), qcow2, std::move(backing))));
}

class NullImage final : public BlockImage {
 public:
  NullImage(u64 size_bytes, bool read_zeroes) : size_bytes_(size_bytes), read_zeroes_(read_zeroes) {}
  std::string description() const override { return "null-co://"; }
  std::string_view format() const override { return "null-co"; }
  u64 size_bytes() const override { return size_bytes_; }
  bool read_only() const override { return false; }
  IoStatus read(u64, const IoBuffers& to) override {
    if (read_zeroes_) fill_zero(to);
    return IoStatus::Ok;
  }
  IoStatus write(u64, const IoBuffers&) override { return IoStatus::Ok; }
  IoStatus flush() override { return IoStatus::Ok; }
  IoStatus discard(u64, u64) override { return IoStatus::Ok; }
  IoStatus write_zeroes(u64, u64, bool) override { return IoStatus::Ok; }

 private:
  u64 size_bytes_;
  bool read_zeroes_;
};

}  // namespace

std::string guess_format(std::span<const u8> first_sector) {
  if (first_sector.size() >= 8 && qcow2::load_be32(first_sector.data()) == qcow2::kMagic) {
    const u32 version = qcow2::load_be32(first_sector.data() + 4);
    if (version == 1) return "qcow";
    if (version >= 2) return "qcow2";
  }
  for (const Magic& magic : kMagics) {
    if (magic.offset + magic.bytes.size() <= first_sector.size() &&
        std::memcmp(&first_sector[magic.offset], magic.bytes.data(), magic.bytes.size()) == 0) {
      return magic.format;
    }
  }
  return "raw";
}

Result<std::string> guess_format_of(const std::string& path) {
  const HostFile file = TRY(HostFile::open(path, HostFile::Access::ReadOnly, HostFile::Locking::Off));
  std::array<u8, 512> sector{};
  if (file.read_padded(0, {std::span(sector)}) != IoStatus::Ok)
    return Error{"cannot read disk image: " + path + ": input/output error"};
  return guess_format(sector);
}

Result<void> check_format_name(const std::string& format) {
  if (format == "raw" || format == "qcow2") return {};
  for (const Magic& magic : kMagics) {
    if (format == magic.format)
      return Error{"image format not supported: " + format + "; convert it to qcow2 with qemu-img"};
  }
  return Error{"Unknown driver '" + format + "'; use raw or qcow2"};
}

Result<std::string> resolve_backing_name(const std::string& of, const std::string& name) {
  std::string path = name;
  if (path.starts_with("file:")) path = path.substr(path.starts_with("file:///") ? 7 : 5);
  const std::size_t colon = path.find(':'), slash = path.find('/');
  if (colon != std::string::npos && (slash == std::string::npos || colon < slash))
    return Error{"backing file protocol not supported: " + name + "; use a file", exit_status::kImage};
  if (path.starts_with("/")) return path;
  const std::size_t folder = of.rfind('/');
  return folder == std::string::npos ? path : of.substr(0, folder + 1) + path;
}

Result<std::unique_ptr<BlockImage>> open_image(const std::string& path, const ImageOptions& options) {
  std::set<FileId> chain;
  std::string plain = path;
  if (plain.starts_with("file:")) plain = plain.substr(plain.starts_with("file:///") ? 7 : 5);
  return open_layer(plain, options, chain);
}

std::unique_ptr<BlockImage> make_null_image(u64 size_bytes, bool read_zeroes) {
  return std::make_unique<NullImage>(size_bytes, read_zeroes);
}

}  // namespace xm::host
