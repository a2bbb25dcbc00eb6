// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/img/common.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "emu/base/bits.h"
#include "emu/cli/option_string.h"
#include "emu/host/host_file.h"

namespace xm::cli::img {

Result<Arguments> Arguments::parse(const std::vector<std::string>& words, std::string_view short_options,
                                   const std::vector<std::string>& long_options) {
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); i++) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      arguments.rest_.push_back(word);
      continue;
    }
    if (word == "--") {
      arguments.rest_.insert(arguments.rest_.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (word.starts_with("--")) {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
      if (std::find(long_options.begin(), long_options.end(), name) != long_options.end()) {
        arguments.options_[name].emplace_back();
      } else if (std::find(long_options.begin(), long_options.end(), name + "=") != long_options.end()) {
        if (equals == std::string::npos && i + 1 >= words.size()) return Error{"option needs an argument: --" + name};
        arguments.options_[name].push_back(equals == std::string::npos ? words[++i] : word.substr(equals + 1));
      } else {
        return Error{"unrecognized option '" + word + "'; see `xiaoma img --help`"};
      }
      continue;
    }
    for (std::size_t at = 1; at < word.size(); at++) {
      const std::size_t found = word[at] == ':' ? std::string::npos : short_options.find(word[at]);
      if (found == std::string::npos) return Error{"unrecognized option '" + word + "'; see `xiaoma img --help`"};
      std::vector<std::string>& values = arguments.options_[std::string(1, word[at])];
      if (found + 1 >= short_options.size() || short_options[found + 1] != ':') {
        values.emplace_back();
        continue;
      }
      if (at + 1 < word.size()) {
        values.push_back(word.substr(at + 1));
      } else if (i + 1 < words.size()) {
        values.push_back(words[++i]);
      } else {
        return Error{"option needs an argument: -" + std::string(1, word[at])};
      }
      break;
    }
  }
  return arguments;
}

std::string Arguments::get(const std::string& option, const std::string& fallback) const {
  const auto found = options_.find(option);
  return found == options_.end() ? fallback : found->second.back();
}

std::vector<std::string> Arguments::all(const std::string& option) const {
  const auto found = options_.find(option);
  return found == options_.end() ? std::vector<std::string>() : found->second;
}

Result<ImageKeys> parse_keys(const std::vector<std::string>& texts) {
  ImageKeys keys;
  for (const std::string& text : texts) {
    const OptionString parsed = OptionString::parse(text, "");
    for (const auto& [key, value] : parsed.rest()) {
      if (key.empty()) return Error{"Invalid option list: " + text};
      keys[key] = value;
    }
  }
  return keys;
}

Result<u64> parse_image_size(const std::string& text) {
  const Error bad{
      "Invalid image size specified. You may use k, M, G, T, P or E suffixes for kilobytes, megabytes, "
      "gigabytes, terabytes, petabytes and exabytes."};
  char* end = nullptr;
  if (text.empty() || !(text[0] >= '0' && text[0] <= '9')) return bad;
  const u64 whole = std::strtoull(text.c_str(), &end, 0);
  const bool fraction = *end == '.';
  const long double number = fraction ? std::strtold(text.c_str(), &end) : static_cast<long double>(whole);
  unsigned shift = 0;
  const char suffix = *end;
  if (suffix != 0) {
    static constexpr std::string_view kSuffixes = "bkmgtpe";
    const std::size_t place = kSuffixes.find(static_cast<char>(suffix >= 'A' && suffix <= 'Z' ? suffix + 32 : suffix));
    if (place == std::string_view::npos) return bad;
    shift = static_cast<unsigned>(place) * 10;
    if (end[1] != 0 && !(std::strcmp(end + 1, "iB") == 0 || std::strcmp(end + 1, "B") == 0)) return bad;
  } else if (fraction) {
    return bad;
  }
  const long double bytes = number * static_cast<long double>(u64{1} << shift);
  if (bytes >= 9223372036854775808.0L) return bad;
  return fraction ? static_cast<u64>(bytes) : whole << shift;
}

namespace {

Result<bool> on_off(const std::string& key, const std::string& value) {
  if (value == "on" || value == "yes" || value == "true" || value == "y") return true;
  if (value == "off" || value == "no" || value == "false" || value == "n") return false;
  return Error{"Parameter '" + key + "' expects 'on' or 'off'"};
}

using Preallocation = host::qcow2::CreateOptions::Preallocation;
Result<Preallocation> preallocation_of(const std::string& value, bool metadata) {
  if (value == "off") return Preallocation::Off;
  if (value == "metadata" && metadata) return Preallocation::Metadata;
  if (value == "falloc") return Preallocation::Falloc;
  if (value == "full") return Preallocation::Full;
  return Error{"Invalid parameter '" + value + "' for preallocation"};
}

}  // namespace

Result<host::qcow2::CreateOptions> qcow2_create_options(const ImageKeys& keys) {
  host::qcow2::CreateOptions options;
  for (const auto& [key, value] : keys) {
    if (key == "size") {
      options.size_bytes = TRY(parse_image_size(value));
    } else if (key == "cluster_size") {
      options.cluster_bytes = TRY(parse_image_size(value));
    } else if (key == "refcount_bits") {
      options.refcount_bits = static_cast<u32>(TRY(parse_number(value, 1, 64, "refcount_bits")));
    } else if (key == "compat" || key == "version") {
      if (value == "0.10" || value == "v2")
        options.version = 2;
      else if (value != "1.1" && value != "v3")
        return Error{"Invalid compatibility level: '" + value + "'; use 0.10 (v2) or 1.1 (v3)"};
    } else if (key == "lazy_refcounts") {
      options.lazy_refcounts = TRY(on_off(key, value));
    } else if (key == "compression_type") {
      if (value == "zstd")
        options.compression = host::qcow2::Compression::Zstd;
      else if (value != "zlib")
        return Error{"Invalid compression type '" + value + "'; use zlib or zstd"};
    } else if (key == "backing_file") {
      options.backing_file = value;
    } else if (key == "backing_fmt") {
      options.backing_format = value;
    } else if (key == "preallocation") {
      options.preallocation = TRY(preallocation_of(value, true));
    } else if (key == "extended_l2" || key == "encryption" || key == "data_file_raw") {
      if (TRY(on_off(key, value))) return Error{"option not supported: " + key + "=on; leave it off"};
    } else if (key == "nocow") {
      TRY(on_off(key, value));
    } else if (key.starts_with("encrypt.") || key == "data_file") {
      return Error{"option not supported: " + key + "; use a plain qcow2 image"};
    } else {
      return Error{"Invalid parameter '" + key + "'"};
    }
  }
  return options;
}

namespace {

Result<void> make_raw(const NewImage& image) {
  for (const auto& [key, value] : image.keys) {
    if (key == "backing_file") return Error{image.path + ": Backing file not supported for file format 'raw'"};
    if (key != "size" && key != "preallocation" && key != "nocow") return Error{"Invalid parameter '" + key + "'"};
  }
  const u64 size = image.size_bytes;
  Preallocation preallocation = Preallocation::Off;
  if (image.keys.contains("preallocation"))
    preallocation = TRY(preallocation_of(image.keys.at("preallocation"), false));
  const host::HostFile file = TRY(host::HostFile::create(image.path, size));
  if (file.is_block_device() && TRY(file.size_bytes()) < size)
    return Error{"device is smaller than the image: " + image.path};
  host::IoStatus status = host::IoStatus::Ok;
  if (preallocation == Preallocation::Falloc && size != 0) status = file.reserve(0, size);
  if (preallocation == Preallocation::Full) status = file.write_zeroes(0, size);
  if (status != host::IoStatus::Ok)
    return Error{"cannot preallocate: " + image.path + ": " + host::io_status_text(status)};
  return {};
}

void print_formatting(const NewImage& image, const host::qcow2::CreateOptions& options) {
  std::string text = "Formatting '" + image.path + "', fmt=" + image.format;
  const auto given = [&](const char* key) {
    const auto found = image.keys.find(key);
    if (found != image.keys.end()) text += std::string(" ") + key + "=" + found->second;
  };
  const std::string size = std::to_string(image.size_bytes);
  if (image.format == "raw") {
    text += " size=" + size;
    given("preallocation");
  } else {
    text += " cluster_size=" + std::to_string(options.cluster_bytes) + " extended_l2=off";
    given("preallocation");
    text += std::string(" compression_type=") +
            (options.compression == host::qcow2::Compression::Zstd ? "zstd" : "zlib") + " size=" + size;
    given("compat");
    given("version");
    given("backing_file");
    given("backing_fmt");
    text += std::string(" lazy_refcounts=") + (options.lazy_refcounts ? "on" : "off") +
            " refcount_bits=" + std::to_string(options.refcount_bits);
  }
  std::printf("%s\n", text.c_str());
}

}  // namespace

Result<void> make_image(const NewImage& image) {
  if (image.format == "raw") {
    if (!image.quiet) print_formatting(image, {});
    return make_raw(image);
  }
  if (image.format != "qcow2")
    return Error{image.path + ": Unknown file format '" + image.format + "'; use raw or qcow2"};
  host::qcow2::CreateOptions options = TRY(qcow2_create_options(image.keys));
  options.size_bytes = align_up(image.size_bytes, 512);
  Result<void> checked = host::qcow2::check_create_options(options);
  if (!checked.ok()) return Error{image.path + ": " + checked.error().message};
  if (!image.quiet) print_formatting(image, options);
  return host::qcow2::create_image(image.path, options);
}

Result<void> apply_cache_mode(const std::string& mode, host::ImageOptions& options) {
  options.direct = mode == "none" || mode == "directsync";
  options.write_through = mode == "writethrough" || mode == "directsync";
  options.no_flush = mode == "unsafe";
  if (mode.empty() || mode == "writeback" || options.direct || options.write_through || options.no_flush) return {};
  return Error{"Invalid cache option: " + mode};
}

Result<std::unique_ptr<host::BlockImage>> open(const std::string& name, host::ImageOptions options, bool image_opts) {
  options.any_size = true;
  if (!image_opts) return host::open_image(name, options);
  OptionString keys = OptionString::parse(name, "");
  std::string path, ignored;
  keys.take("driver", options.format);
  for (const char* key : {"filename", "file.filename", "file.file.filename"}) keys.take(key, path);
  for (const char* key : {"file.driver", "file.file.driver"}) keys.take(key, ignored);
  TRY(keys.finish("--image-opts"));
  if (options.format == "file") options.format = "raw";
  if (path.empty()) return Error{"no file.filename given: --image-opts " + name};
  return host::open_image(path, options);
}

std::string human_size(u64 bytes) {
  static constexpr const char* kUnits[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  // Three digits at most: from 1000 on the next unit is used.
  int exponent = 0;
  std::frexp(static_cast<double>(bytes) / (1000.0 / 1024.0), &exponent);
  const unsigned unit = exponent <= 0 ? 0 : static_cast<unsigned>(exponent - 1) / 10;
  char text[32];
  std::snprintf(text, sizeof text, "%0.3g %sB", static_cast<double>(bytes) / static_cast<double>(u64{1} << (unit * 10)),
                kUnits[unit]);
  return text;
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void Progress::show(double percent) {
  if (!on_ || (percent < 100 && percent - shown_ < 1 && shown_ >= 0)) return;
  shown_ = percent;
  std::printf("    (%3.2f/100%%)\r", percent);
  std::fflush(stdout);
}

void Progress::advance(u64 amount) {
  done_ += amount;
  show(total_ == 0 ? 100 : 100.0 * static_cast<double>(done_) / static_cast<double>(total_));
}

Progress::~Progress() {
  if (!on_) return;
  show(100);
  std::printf("\n");
}

Result<ChainExtent> chain_extent(host::BlockImage& top, u64 offset, u64 length) {
  ChainExtent result;
  host::BlockImage* layer = &top;
  for (unsigned depth = 0;; depth++) {
    if (offset >= layer->size_bytes()) {
      // Beyond the end of a backing file everything is zero.
      result.extent = {.length_bytes = length, .allocated = true, .zero = true, .data = false};
      result.layer = layer;
      result.depth = depth;
      return result;
    }
    const host::Extent extent = TRY(layer->extent(offset, std::min(length, layer->size_bytes() - offset)));
    length = extent.length_bytes;
    if (extent.allocated || layer->backing() == nullptr) {
      result.extent = extent;
      result.layer = layer;
      result.depth = depth;
      return result;
    }
    layer = layer->backing();
  }
}

Error io_error(const std::string& what, const host::BlockImage& image, host::IoStatus status) {
  return {what + ": " + image.description() + ": " + host::io_status_text(status)};
}

Result<void> read_padded(host::BlockImage& image, u64 offset, std::span<u8> to) {
  const u64 there = offset >= image.size_bytes() ? 0 : std::min<u64>(to.size(), image.size_bytes() - offset);
  std::memset(to.data() + there, 0, to.size() - there);
  if (there == 0) return {};
  const host::IoStatus status = image.read(offset, {to.first(there)});
  if (status != host::IoStatus::Ok) return io_error("cannot read at offset " + std::to_string(offset), image, status);
  return {};
}

}  // namespace xm::cli::img
