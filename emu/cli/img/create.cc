// SPDX-License-Identifier: GPL-2.0-or-later
// img create, resize, amend, measure.
#include <algorithm>

#include "emu/base/bits.h"
#include "emu/cli/img/common.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::cli::img {

namespace {

const char* const kOptionHelp =
    "Supported qcow2 options:\n"
    "  backing_file=<str>     - File name of a base image\n"
    "  backing_fmt=<str>      - Image format of the base image\n"
    "  cluster_size=<size>    - qcow2 cluster size\n"
    "  compat=<str>           - Compatibility level (v2 [0.10] or v3 [1.1])\n"
    "  compression_type=<str> - Compression method used for image cluster compression (zlib, zstd)\n"
    "  lazy_refcounts=<bool (on/off)> - Postpone refcount updates\n"
    "  preallocation=<str>    - Preallocation mode (allowed values: off, metadata, falloc, full)\n"
    "  refcount_bits=<num>    - Width of a reference count entry in bits\n"
    "  size=<size>            - Virtual disk size\n";

// The size of the backing file, which a new image takes over if none is given.
Result<u64> backing_size(const std::string& path, const ImageKeys& keys) {
  const std::string resolved = TRY(host::resolve_backing_name(path, keys.at("backing_file")));
  if (!keys.contains("backing_fmt") || keys.at("backing_fmt").empty()) {
    const Result<std::string> guess = host::guess_format_of(resolved);
    return Error{path + ": Backing file specified without backing format" +
                 (guess.ok() ? "\nDetected format of " + guess.value() + "." : std::string()) + "; add -F FORMAT"};
  }
  host::ImageOptions options;
  options.format = keys.at("backing_fmt");
  options.read_only = true;
  options.locking = false;
  Result<std::unique_ptr<host::BlockImage>> backing = open(resolved, options, false);
  if (!backing.ok()) return Error{path + ": Could not open backing file: " + backing.error().message};
  return (*backing)->size_bytes();
}

}  // namespace

Result<int> create(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "f:b:F:o:qu", {"object="}));
  NewImage image;
  image.format = arguments.get("f", "raw");
  image.quiet = arguments.has("q");
  for (const std::string& text : arguments.all("o")) {
    if (text == "help" || text == "?") {
      std::fputs(image.format == "qcow2" ? kOptionHelp
                                         : "Supported raw options:\n  preallocation=<str>    - off, falloc, full\n  "
                                           "size=<size>            - Virtual disk size\n",
                 stdout);
      return 0;
    }
  }
  image.keys = TRY(parse_keys(arguments.all("o")));
  if (arguments.rest().empty()) return Error{"Expecting image file name"};
  if (arguments.rest().size() > 2) return Error{"Unexpected argument: " + arguments.rest()[2]};
  image.path = arguments.rest()[0];
  if (arguments.has("b")) image.keys["backing_file"] = arguments.get("b");
  if (arguments.has("F")) image.keys["backing_fmt"] = arguments.get("F");
  if (image.format != "raw" && image.format != "qcow2")
    return Error{image.path + ": Unknown file format '" + image.format + "'; use raw or qcow2"};
  std::optional<u64> size;
  if (arguments.rest().size() == 2)
    size = TRY(parse_image_size(arguments.rest()[1]));
  else if (image.keys.contains("size"))
    size = TRY(parse_image_size(image.keys["size"]));
  if (image.keys.contains("backing_file") && image.format == "qcow2") {
    if (image.keys["backing_file"].empty()) return Error{image.path + ": Expected backing file name, got empty string"};
    if (arguments.has("u")) {
      if (!size) return Error{image.path + ": Image creation needs a size parameter"};
    } else {
      const u64 from_backing = TRY(backing_size(image.path, image.keys));
      if (!size) size = from_backing;
    }
  }
  if (!size) return Error{image.path + ": Image creation needs a size parameter"};
  image.size_bytes = *size;
  image.keys["size"] = std::to_string(*size);
  TRY(make_image(image));
  return 0;
}

Result<int> resize(const std::vector<std::string>& words) {
  const Arguments arguments =
      TRY(Arguments::parse(words, "f:q-", {"preallocation=", "shrink", "image-opts", "object="}));
  if (arguments.rest().size() == 1 || arguments.rest().empty()) return Error{"Expecting image file name and size"};
  const std::string& name = arguments.rest()[0];
  std::string size_text = arguments.rest()[1];
  char sign = 0;
  if (size_text[0] == '+' || size_text[0] == '-') {
    sign = size_text[0];
    size_text.erase(0, 1);
  }
  u64 size = TRY(parse_image_size(size_text));
  host::ImageOptions options;
  options.format = arguments.get("f");
  const std::unique_ptr<host::BlockImage> image = TRY(open(name, options, arguments.has("image-opts")));
  const u64 now = image->size_bytes();
  if (sign == '+') size = now + size;
  if (sign == '-') size = size > now ? 0 : now - size;
  if (size == 0 && sign != 0) return Error{"New image size must be positive"};
  size = align_up(size, 512);
  if (size < now && !arguments.has("shrink")) {
    return Error{"Use the --shrink option to perform a shrink operation; it deletes all data beyond the new end"};
  }
  const std::string preallocation = arguments.get("preallocation", "off");
  if (preallocation != "off" && size > now && image->format() == "qcow2")
    return Error{"preallocation not supported when a qcow2 image is resized; leave it off"};
  TRY(image->resize(size));
  if (preallocation == "full" && size > now) {
    const std::vector<u8> zeroes(1 << 20);
    for (u64 at = now; at < size; at += zeroes.size()) {
      const std::span<u8> part(const_cast<u8*>(zeroes.data()), std::min<u64>(zeroes.size(), size - at));
      if (const host::IoStatus status = image->write(at, {part}); status != host::IoStatus::Ok)
        return io_error("cannot preallocate", *image, status);
    }
  } else if (preallocation != "off" && size > now && preallocation != "full") {
    return Error{"preallocation mode not supported: " + preallocation + "; use off or full"};
  }
  if (const host::IoStatus status = image->flush(); status != host::IoStatus::Ok)
    return io_error("cannot resize", *image, status);
  if (!arguments.has("q")) std::puts("Image resized.");
  return 0;
}

Result<int> amend(const std::vector<std::string>& words) {
  const Arguments arguments = TRY(Arguments::parse(words, "f:o:pqt:", {"image-opts", "force", "object="}));
  if (arguments.rest().size() != 1) return Error{"Expecting one image file name"};
  if (!arguments.has("o")) return Error{"Must specify options (-o)"};
  const ImageKeys keys = TRY(parse_keys(arguments.all("o")));
  host::ImageOptions options;
  options.format = arguments.get("f");
  const std::unique_ptr<host::BlockImage> image = TRY(open(arguments.rest()[0], options, arguments.has("image-opts")));
  auto* qcow2 = dynamic_cast<host::Qcow2Image*>(image.get());
  if (qcow2 == nullptr) return Error{"Format driver 'raw' does not support option amendment"};
  for (const auto& [key, value] : keys) {
    if (key == "lazy_refcounts") {
      const host::qcow2::CreateOptions wanted = TRY(qcow2_create_options({{key, value}}));
      if (qcow2->header().version < 3)
        return Error{
            "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)"};
      const u64 others = qcow2->header().compatible & ~host::qcow2::kLazyRefcounts;
      TRY(qcow2->set_compatible(others | (wanted.lazy_refcounts ? host::qcow2::kLazyRefcounts : 0)));
    } else if (key == "size") {
      const u64 size = TRY(parse_image_size(value));
      TRY(qcow2->resize(align_up(size, 512)));
    } else if (key != "backing_file" && key != "backing_fmt") {
      return Error{"option cannot be changed: " + key + "; convert the image instead"};
    }
  }
  if (keys.contains("backing_file") || keys.contains("backing_fmt")) {
    const auto value = [&](const char* key, const std::string& now) { return keys.contains(key) ? keys.at(key) : now; };
    TRY(qcow2->set_backing(value("backing_file", qcow2->header().backing_file),
                           value("backing_fmt", qcow2->header().backing_format)));
  }
  return 0;
}

Result<int> measure(const std::vector<std::string>& words) {
  const Arguments arguments =
      TRY(Arguments::parse(words, "f:O:o:l:U", {"size=", "output=", "image-opts", "object=", "force-share"}));
  const std::string format = arguments.get("O", "raw");
  TRY(host::check_format_name(format));
  const ImageKeys keys = TRY(parse_keys(arguments.all("o")));
  host::qcow2::CreateOptions options = TRY(qcow2_create_options(keys));
  u64 size = 0, data_bytes = 0;
  const bool qcow2 = format == "qcow2";
  const u64 unit = qcow2 ? options.cluster_bytes : 1;
  if (arguments.has("size")) {
    if (!arguments.rest().empty()) return Error{"--size N cannot be used together with a filename"};
    size = TRY(parse_image_size(arguments.get("size")));
  } else {
    if (arguments.rest().size() != 1) return Error{"Either --size N or one filename must be specified"};
    if (arguments.has("l")) return Error{"option not supported: measure -l; convert the snapshot first"};
    host::ImageOptions open_options;
    open_options.format = arguments.get("f");
    open_options.read_only = true;
    open_options.locking = !arguments.has("U") && !arguments.has("force-share");
    const std::unique_ptr<host::BlockImage> image =
        TRY(open(arguments.rest()[0], open_options, arguments.has("image-opts")));
    size = image->size_bytes();
    u64 counted_to = 0;  // clusters below have been counted
    for (u64 at = 0; at < size;) {
      const ChainExtent found = TRY(chain_extent(*image, at, size - at));
      const u64 end = at + found.extent.length_bytes;
      if (found.extent.data && !found.extent.zero) {
        const u64 from = std::max(counted_to, at - at % unit), to = (end + unit - 1) / unit * unit;
        if (to > from) data_bytes += to - from;
        counted_to = std::max(counted_to, to);
      }
      at = end;
    }
  }
  options.size_bytes = align_up(size, 512);
  host::qcow2::Measure result{options.size_bytes, options.size_bytes};
  if (qcow2) {
    TRY(host::qcow2::check_create_options(options));
    const bool all = options.preallocation == host::qcow2::CreateOptions::Preallocation::Full ||
                     options.preallocation == host::qcow2::CreateOptions::Preallocation::Falloc;
    result = host::qcow2::measure(options, data_bytes / unit);
    if (all) result.required_bytes = result.fully_allocated_bytes;
  }
  const char* text = arguments.get("output") == "json"
                         ? "{\n    \"required\": %llu,\n    \"fully-allocated\": %llu\n}\n"
                         : "required size: %llu\nfully allocated size: %llu\n";
  std::printf(text, static_cast<unsigned long long>(result.required_bytes),
              static_cast<unsigned long long>(result.fully_allocated_bytes));
  return 0;
}

}  // namespace xm::cli::img
