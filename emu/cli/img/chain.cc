// SPDX-License-Identifier: GPL-2.0-or-later
// img compare, commit, rebase: images against each other and their backing files.
#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"
#include "emu/cli/img/common.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::cli::img {

namespace {

constexpr u64 kPiece = 1 << 20;
constexpr u64 kSector = 512;

// Offset of the first sector that differs, or the length.
u64 first_difference(std::span<const u8> a, std::span<const u8> b) {
  for (u64 at = 0; at < a.size(); at += kSector) {
    const u64 size = std::min<u64>(kSector, a.size() - at);
    if (std::memcmp(&a[at], &b[at], size) != 0) return at;
  }
  return a.size();
}

}  // namespace

Result<int> compare(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "f:F:T:pqsU", {"image-opts", "object=", "force-share"}));
  if (arguments.rest().size() != 2) return Error{"Expecting two image file names"};
  const bool quiet = arguments.has("q"), strict = arguments.has("s");
  host::ImageOptions options;
  options.read_only = true;
  options.locking = !arguments.has("U") && !arguments.has("force-share");
  TRY(apply_cache_mode(arguments.get("T"), options));
  options.format = arguments.get("f");
  const auto a = TRY(open(arguments.rest()[0], options, arguments.has("image-opts")));
  options.format = arguments.get("F");
  const auto b = TRY(open(arguments.rest()[1], options, arguments.has("image-opts")));
  const u64 common = std::min(a->size_bytes(), b->size_bytes()), longest = std::max(a->size_bytes(), b->size_bytes());
  const auto say = [&](const std::string& text) {
    if (!quiet) std::printf("%s\n", text.c_str());
  };
  Progress progress(arguments.has("p") && !quiet, longest);
  if (strict && common != longest) {
    say("Strict mode: Image size mismatch!");
    return 1;
  }
  std::vector<u8> left(kPiece), right(kPiece);
  for (u64 at = 0; at < longest;) {
    u64 size = std::min(longest - at, kPiece);
    if (at < common) size = std::min(size, common - at);
    ChainExtent one, two;
    one.extent = two.extent = {.zero = true, .data = false};
    if (at < a->size_bytes()) one = TRY(chain_extent(*a, at, longest - at));
    if (at < b->size_bytes()) two = TRY(chain_extent(*b, at, longest - at));
    if (strict && one.extent.data != two.extent.data) {
      say("Strict mode: Offset " + std::to_string(at) + " block status mismatch!");
      return 1;
    }
    u64 skip = longest - at;
    if (at < a->size_bytes()) skip = std::min(skip, one.extent.length_bytes);
    if (at < b->size_bytes()) skip = std::min(skip, two.extent.length_bytes);
    if (one.extent.zero && two.extent.zero) {
      at += skip;
      progress.advance(skip);
      continue;
    }
    if (strict) size = std::min(size, skip);
    const Result<void> read_a = read_padded(*a, at, std::span(left).first(size));
    const Result<void> read_b = read_padded(*b, at, std::span(right).first(size));
    for (const Result<void>* result : {&read_a, &read_b}) {
      if (result->ok()) continue;
      std::fprintf(stderr, "xiaoma: error: %s\n", result->error().message.c_str());
      return 4;
    }
    const u64 same = first_difference(std::span(left).first(size), std::span(right).first(size));
    if (same < size) {
      say("Content mismatch at offset " + std::to_string(at + same) + "!");
      return 1;
    }
    at += size;
    progress.advance(size);
  }
  if (common != longest) say("Warning: Image size mismatch!");
  say("Images are identical.");
  return 0;
}

Result<int> commit(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "f:t:b:dpqr:", {"image-opts", "object="}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  host::ImageOptions options;
  options.format = arguments.get("f");
  TRY(apply_cache_mode(arguments.get("t"), options));
  std::unique_ptr<host::BlockImage> top = TRY(open(arguments.rest()[0], options, arguments.has("image-opts")));
  auto* qcow2 = dynamic_cast<host::Qcow2Image*>(top.get());
  if (qcow2 == nullptr || qcow2->backing() == nullptr) return Error{"Image does not have a backing file"};
  // The layer that takes the data; those between it and the top keep theirs, hidden by what is written below them.
  const std::string wanted = arguments.get("b");
  host::Qcow2Image* above = qcow2;
  std::string base_path = TRY(host::resolve_backing_name(qcow2->description(), qcow2->header().backing_file));
  std::string base_format = qcow2->header().backing_format;
  while (!wanted.empty() && base_path != wanted && above->header().backing_file != wanted) {
    above = dynamic_cast<host::Qcow2Image*>(above->backing());
    if (above == nullptr || above->header().backing_file.empty())
      return Error{"Did not find '" + wanted + "' in the backing chain of '" + arguments.rest()[0] + "'"};
    base_path = TRY(host::resolve_backing_name(above->description(), above->header().backing_file));
    base_format = above->header().backing_format;
  }
  const bool direct_child = above == qcow2;
  // The base is open for reading as part of the chain; open it again for writing, without its reader's lock in the way.
  const u64 size = qcow2->size_bytes();
  options.format = base_format == "file" ? "raw" : base_format;
  options.locking = false;
  const std::unique_ptr<host::BlockImage> base = TRY(open(base_path, options, false));
  if (base->size_bytes() < size) TRY(base->resize(size));
  std::vector<u8> buffer(kPiece);
  {
    Progress progress(arguments.has("p") && !arguments.has("q"), size);
    for (u64 at = 0; at < size;) {
      const ChainExtent found = TRY(chain_extent(*top, at, size - at));
      // Layers above the base are copied down.
      bool above_base = false;
      for (host::BlockImage* layer = top.get(); layer != nullptr && layer != above->backing(); layer = layer->backing())
        above_base |= layer == found.layer && found.extent.allocated;
      u64 step = found.extent.length_bytes;
      if (above_base && found.extent.zero) {
        if (const host::IoStatus status = base->write_zeroes(at, step, true); status != host::IoStatus::Ok)
          return io_error("cannot commit", *base, status);
      } else if (above_base) {
        step = std::min(step, kPiece);
        const std::span<u8> piece = std::span(buffer).first(step);
        TRY(read_padded(*top, at, piece));
        if (const host::IoStatus status = base->write(at, {piece}); status != host::IoStatus::Ok)
          return io_error("cannot commit", *base, status);
      }
      progress.advance(step);
      at += step;
    }
  }
  if (const host::IoStatus status = base->flush(); status != host::IoStatus::Ok)
    return io_error("cannot commit", *base, status);
  // Only now, with the data safe below, may the top be emptied.
  if (!arguments.has("d") && direct_child) {
    host::IoStatus status = top->forget(0, size);
    if (status == host::IoStatus::Ok) status = top->flush();
    if (status != host::IoStatus::Ok) return io_error("cannot empty the image", *top, status);
  }
  if (!arguments.has("q")) std::puts("Image committed.");
  return 0;
}

Result<int> rebase(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "hf:F:b:upt:T:qU", {"image-opts", "object=", "force-share"}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  const bool unsafe = arguments.has("u");
  if (!arguments.has("b") && !unsafe) return Error{"Must specify backing file (-b) or use simple rebase mode (-u)"};
  const std::string new_name = arguments.get("b"), new_format = arguments.get("F");
  host::ImageOptions options;
  options.format = arguments.get("f");
  options.with_backing = !unsafe;
  TRY(apply_cache_mode(arguments.get("t"), options));
  const std::unique_ptr<host::BlockImage> top = TRY(open(arguments.rest()[0], options, arguments.has("image-opts")));
  auto* qcow2 = dynamic_cast<host::Qcow2Image*>(top.get());
  if (qcow2 == nullptr)
    return Error{"Could not change the backing file to '" + new_name + "': format has no backing files"};
  if (!new_name.empty() && new_format.empty())
    return Error{"Could not change the backing file to '" + new_name +
                 "': backing format must be specified; add -F FORMAT"};
  if (!unsafe) {
    std::unique_ptr<host::BlockImage> next;
    if (!new_name.empty()) {
      host::ImageOptions backing;
      backing.format = new_format;
      backing.read_only = true;
      backing.locking = false;
      const std::string path = TRY(host::resolve_backing_name(qcow2->description(), new_name));
      next = TRY(open(path, backing, false));
    }
    const u64 size = qcow2->size_bytes();
    const u64 cluster = qcow2->header().cluster_bytes();
    std::vector<u8> old_bytes(cluster), new_bytes(cluster);
    Progress progress(arguments.has("p") && !arguments.has("q"), size);
    // What shows through from the old backing file and differs from the new one is copied up.
    for (u64 at = 0; at < size; at += cluster) {
      const u64 length = std::min(cluster, size - at);
      const host::Extent extent = TRY(qcow2->extent(at, length));
      if (!extent.allocated) {
        const std::span<u8> old_part = std::span(old_bytes).first(length),
                            new_part = std::span(new_bytes).first(length);
        TRY(read_padded(*qcow2, at, old_part));
        if (next != nullptr)
          TRY(read_padded(*next, at, new_part));
        else
          std::memset(new_part.data(), 0, length);
        host::IoStatus status = host::IoStatus::Ok;
        if (std::memcmp(old_part.data(), new_part.data(), length) != 0) {
          status = host::all_zero(old_part) ? qcow2->write_zeroes(at, length, true) : qcow2->write(at, {old_part});
        }
        if (status != host::IoStatus::Ok) return io_error("cannot rebase", *qcow2, status);
      }
      progress.advance(length);
    }
    if (const host::IoStatus status = qcow2->flush(); status != host::IoStatus::Ok)
      return io_error("cannot rebase", *qcow2, status);
  }
  TRY(qcow2->set_backing(new_name, new_name.empty() ? "" : new_format));
  return 0;
}

}  // namespace xm::cli::img
