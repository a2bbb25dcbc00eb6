// SPDX-License-Identifier: GPL-2.0-or-later
// img convert and dd: copies of images in another format.
#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"
#include "emu/cli/img/common.h"
#include "emu/cli/option_string.h"
#include "emu/host/image_snapshots.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::cli::img {

namespace {

constexpr u64 kPiece = 2 << 20;

// Several sources count as one image, one after the other.
struct Sources {
  std::vector<std::unique_ptr<host::BlockImage>> images;
  u64 total_bytes = 0;
};

struct Copy {
  host::BlockImage* target = nullptr;
  bool compressed = false;
  u64 cluster_bytes = 65536;                   // of the target, if compressed
  u64 sparse_bytes = 4096;                     // runs of zeroes from this length on are not written
  bool target_is_zero = true;                  // what is not written reads as zero
  host::BlockImage* target_backing = nullptr;  // what is not written reads as this (-B)
};

host::IoStatus put(const Copy& copy, u64 offset, std::span<u8> bytes) { return copy.target->write(offset, {bytes}); }

// Writes a piece, leaving out runs that the target reads correctly without.
Result<void> write_piece(const Copy& copy, u64 offset, std::span<u8> bytes) {
  const auto fail = [&](host::IoStatus status) {
    return io_error("error while writing at byte " + std::to_string(offset), *copy.target, status);
  };
  if (copy.compressed) {
    std::vector<u8> cluster(copy.cluster_bytes);
    for (u64 at = 0; at < bytes.size(); at += copy.cluster_bytes) {
      const u64 size = std::min<u64>(copy.cluster_bytes, bytes.size() - at);
      const std::span<u8> part = bytes.subspan(at, size);
      if (copy.target_backing == nullptr && host::all_zero(part)) continue;
      std::memcpy(cluster.data(), part.data(), size);
      std::memset(cluster.data() + size, 0, cluster.size() - size);
      if (const host::IoStatus status = copy.target->write_compressed(offset + at, cluster);
          status != host::IoStatus::Ok)
        return fail(status);
    }
    return {};
  }
  const u64 unit = copy.sparse_bytes == 0 ? bytes.size() : std::min<u64>(copy.sparse_bytes, bytes.size());
  for (u64 at = 0; at < bytes.size();) {
    const auto is_zero = [&](u64 from) {
      return copy.sparse_bytes != 0 && host::all_zero(bytes.subspan(from, std::min<u64>(unit, bytes.size() - from)));
    };
    const bool zero = is_zero(at);
    u64 end = std::min<u64>(at + unit, bytes.size());
    while (end < bytes.size() && is_zero(end) == zero) end = std::min<u64>(end + unit, bytes.size());
    host::IoStatus status = host::IoStatus::Ok;
    if (!zero)
      status = put(copy, offset + at, bytes.subspan(at, end - at));
    else if (!copy.target_is_zero || copy.target_backing != nullptr)
      status = copy.target->write_zeroes(offset + at, end - at, true);
    if (status != host::IoStatus::Ok) return fail(status);
    at = end;
  }
  return {};
}

Result<void> copy_image(host::BlockImage& source, const Copy& copy, u64 target_offset, u64 length, Progress& progress) {
  std::vector<u8> buffer(kPiece), other;
  for (u64 at = 0; at < length;) {
    const ChainExtent found = TRY(chain_extent(source, at, length - at));
    u64 size = found.extent.length_bytes;
    if (found.extent.zero && copy.target_backing == nullptr && copy.sparse_bytes != 0 &&
        (!copy.compressed || size % copy.cluster_bytes == 0 || at + size == length) && at % copy.cluster_bytes == 0) {
      if (!copy.target_is_zero) {
        if (const host::IoStatus status = copy.target->write_zeroes(target_offset + at, size, true);
            status != host::IoStatus::Ok)
          return io_error("error while writing zeroes", *copy.target, status);
      }
    } else {
      // Pieces end where clusters of the target do.
      size = std::min(length - at, kPiece - at % kPiece);
      const std::span<u8> piece = std::span(buffer).first(size);
      TRY(read_padded(source, at, piece));
      bool same = false;
      if (copy.target_backing != nullptr) {
        other.resize(size);
        TRY(read_padded(*copy.target_backing, target_offset + at, other));
        same = std::memcmp(other.data(), piece.data(), size) == 0;
      }
      if (!same) TRY(write_piece(copy, target_offset + at, piece));
    }
    progress.advance(size);
    at += size;
  }
  return {};
}

Result<Sources> open_sources(const Arguments& arguments, const std::vector<std::string>& names) {
  host::ImageOptions options;
  options.format = arguments.get("f");
  options.read_only = true;
  options.locking = !arguments.has("U") && !arguments.has("force-share");
  TRY(apply_cache_mode(arguments.get("T"), options));
  Sources sources;
  for (const std::string& name : names) {
    sources.images.push_back(TRY(open(name, options, arguments.has("image-opts"))));
    sources.total_bytes += sources.images.back()->size_bytes();
  }
  return sources;
}

// "-l NAME" or "-l snapshot.id=1,snapshot.name=x".
Result<void> select_snapshot(const std::string& text, Sources& sources, const Arguments& arguments,
                             const std::vector<std::string>& names) {
  (void)arguments;
  if (names.size() > 1) return Error{"No support for concatenating multiple snapshot"};
  std::string name = text;
  if (text.starts_with("snapshot.")) {
    OptionString options = OptionString::parse(text, "");
    name.clear();
    for (const char* key : {"snapshot.name", "snapshot.id"}) {
      std::string value;
      if (options.take(key, value)) name = value;
    }
    TRY(options.finish("-l"));
  }
  auto* qcow2 = dynamic_cast<host::Qcow2Image*>(sources.images[0].get());
  if (qcow2 == nullptr) return Error{"image format has no snapshots: " + names[0]};
  Result<void> shown = qcow2->show_snapshot(name);
  if (!shown.ok()) return Error{"Failed to load snapshot: " + shown.error().message};
  sources.total_bytes = qcow2->size_bytes();
  return {};
}

}  // namespace

Result<int> convert(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "hf:O:B:CcF:o:l:S:pt:T:qnm:Wr:U",
                                                   {"target-is-zero", "salvage", "image-opts", "target-image-opts",
                                                    "object=", "force-share", "bitmaps", "skip-broken-bitmaps"}));
  for (const char* refused : {"bitmaps", "salvage", "target-image-opts"}) {
    if (arguments.has(refused)) return Error{std::string("option not supported: convert --") + refused};
  }
  if (arguments.rest().size() < 2) return Error{"Must specify image file name"};
  std::vector<std::string> names = arguments.rest();
  NewImage target{
      .path = names.back(), .format = arguments.get("O", "raw"), .keys = TRY(parse_keys(arguments.all("o")))};
  names.pop_back();
  const bool reuse = arguments.has("n");
  if (arguments.has("target-is-zero") && !reuse) return Error{"--target-is-zero requires use of -n flag"};
  if (arguments.has("c") && target.format != "qcow2") return Error{"Compression not supported for this file format"};
  if (arguments.has("c") && target.keys.contains("preallocation") && target.keys["preallocation"] != "off")
    return Error{"Compression and preallocation not supported at the same time"};
  Copy copy;
  copy.compressed = arguments.has("c");
  if (arguments.has("S")) copy.sparse_bytes = TRY(parse_image_size(arguments.get("S")));
  if (copy.sparse_bytes % 512 != 0)
    return Error{"Invalid buffer size for sparse output specified; use a multiple of 512"};

  Sources sources = TRY(open_sources(arguments, names));
  if (arguments.has("l")) TRY(select_snapshot(arguments.get("l"), sources, arguments, names));
  if (arguments.has("B")) target.keys["backing_file"] = arguments.get("B");
  if (arguments.has("F")) target.keys["backing_fmt"] = arguments.get("F");
  if (target.keys.contains("backing_file") && !target.keys.contains("backing_fmt"))
    return Error{"backing format must be specified: -B " + target.keys["backing_file"] + "; add -F FORMAT"};
  target.size_bytes = sources.total_bytes;
  if (target.keys.contains("size")) target.size_bytes = TRY(parse_image_size(target.keys["size"]));
  if (!reuse) TRY(make_image(target));

  host::ImageOptions options;
  options.format = target.format;
  TRY(apply_cache_mode(arguments.get("t", "unsafe"), options));
  const std::unique_ptr<host::BlockImage> image = TRY(open(target.path, options, false));
  if (image->size_bytes() < sources.total_bytes && !target.keys.contains("size"))
    return Error{"output file is smaller than input file"};
  copy.target = image.get();
  copy.target_backing = image->backing();
  copy.target_is_zero = !reuse || arguments.has("target-is-zero");
  if (const auto* qcow2 = dynamic_cast<host::Qcow2Image*>(image.get()))
    copy.cluster_bytes = qcow2->header().cluster_bytes();
  // Preallocated space stays allocated: zeroes are written as such.
  {
    Progress progress(arguments.has("p") && !arguments.has("q"), sources.total_bytes);
    u64 offset = 0;
    for (const auto& source : sources.images) {
      const u64 length = std::min(source->size_bytes(), image->size_bytes() - std::min(offset, image->size_bytes()));
      TRY(copy_image(*source, copy, offset, length, progress));
      offset += source->size_bytes();
    }
  }
  if (const host::IoStatus status = image->flush(); status != host::IoStatus::Ok)
    return io_error("cannot write", *image, status);
  return 0;
}

Result<int> dd(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "f:O:U", {"image-opts", "object=", "force-share"}));
  std::map<std::string, std::string> operands;
  for (const std::string& word : arguments.rest()) {
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    if (equals == std::string::npos || (key != "if" && key != "of" && key != "bs" && key != "count" && key != "skip"))
      return Error{"unrecognized operand " + word};
    operands[key] = word.substr(equals + 1);
  }
  if (!operands.contains("if") || !operands.contains("of"))
    return Error{"Must specify both input and output file names"};
  const u64 block = operands.contains("bs") ? TRY(parse_image_size(operands["bs"])) : 512;
  if (block == 0 || block > (u64{1} << 31)) return Error{"Invalid number: bs=" + operands["bs"]};
  const Sources sources = TRY(open_sources(arguments, {operands["if"]}));
  u64 size = sources.total_bytes;
  if (operands.contains("count")) {
    const u64 count = TRY(parse_number(operands["count"], 0, ~u64{0}, "count"));
    if (count <= size / block) size = count * block;
  }
  u64 skip = 0;
  if (operands.contains("skip")) {
    const u64 blocks = TRY(parse_number(operands["skip"], 0, ~u64{0}, "skip"));
    skip = blocks > size / block ? size : blocks * block;
  }
  NewImage target{.path = operands["of"], .format = arguments.get("O", "raw"), .size_bytes = size - skip};
  TRY(make_image(target));
  host::ImageOptions options;
  options.format = target.format;
  const std::unique_ptr<host::BlockImage> image = TRY(open(target.path, options, false));
  std::vector<u8> buffer(kPiece);
  Copy copy;
  copy.target = image.get();
  for (u64 at = skip; at < size; at += kPiece) {
    const std::span<u8> piece = std::span(buffer).first(std::min(kPiece, size - at));
    TRY(read_padded(*sources.images[0], at, piece));
    TRY(write_piece(copy, at - skip, piece));
  }
  if (const host::IoStatus status = image->flush(); status != host::IoStatus::Ok)
    return io_error("cannot write", *image, status);
  return 0;
}

}  // namespace xm::cli::img
