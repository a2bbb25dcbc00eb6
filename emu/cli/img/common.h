// SPDX-License-Identifier: GPL-2.0-or-later
// Shared by the commands of `xiaoma img`: their option parser, images, progress, sizes and JSON text.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emu/base/result.h"
#include "emu/host/image_file.h"
#include "emu/host/qcow2/create.h"

namespace xm::cli::img {

// Options of one command as getopt knows them: `short_options` in its syntax, long ones by name, "name=" if they take a
// value. Short options may be joined ("-pq", "-fraw"), values may follow "=" or stand apart.
class Arguments {
 public:
  static Result<Arguments> parse(const std::vector<std::string>& words, std::string_view short_options,
                                 const std::vector<std::string>& long_options);
  bool has(const std::string& option) const { return options_.contains(option); }
  std::string get(const std::string& option, const std::string& fallback = "") const;
  std::vector<std::string> all(const std::string& option) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::vector<std::string>> options_;
  std::vector<std::string> rest_;
};

// "key=value,key=value", a doubled comma standing for one; several -o add up.
using ImageKeys = std::map<std::string, std::string>;
Result<ImageKeys> parse_keys(const std::vector<std::string>& texts);

// Reads an image option set: -o keys of the target format into CreateOptions. Keys that are not the format's are
// errors.
Result<host::qcow2::CreateOptions> qcow2_create_options(const ImageKeys& keys);
// Makes an image of any format we can make; prints QEMU's "Formatting" line unless quiet.
struct NewImage {
  std::string path, format = "raw";
  u64 size_bytes = 0;
  ImageKeys keys;
  bool quiet = true;
};
Result<void> make_image(const NewImage& image);

// Cache modes: none, writeback, writethrough, directsync, unsafe.
Result<void> apply_cache_mode(const std::string& mode, host::ImageOptions& options);
// An image by its name, or by "driver=..,file.filename=.." under --image-opts.
Result<std::unique_ptr<host::BlockImage>> open(const std::string& name, host::ImageOptions options, bool image_opts);

// "1 GiB", as in `img info`.
std::string human_size(u64 bytes);
// A size argument with qemu-img's message if it is none.
Result<u64> parse_image_size(const std::string& text);
// A string as JSON, with quotes.
std::string json_string(std::string_view text);

// Percent on stdout, as -p of qemu-img prints it.
class Progress {
 public:
  Progress(bool on, u64 total) : on_(on), total_(total) { show(0); }
  ~Progress();
  void advance(u64 amount);

 private:
  void show(double percent);
  bool on_;
  u64 total_;
  u64 done_ = 0;
  double shown_ = -1;
};

// What a run of bytes is across the backing chain.
struct ChainExtent {
  host::Extent extent;
  host::BlockImage* layer = nullptr;
  unsigned depth = 0;
};
Result<ChainExtent> chain_extent(host::BlockImage& top, u64 offset, u64 length);
// Reads [offset, offset + to.size()), zeroes beyond the end of the image.
Result<void> read_padded(host::BlockImage& image, u64 offset, std::span<u8> to);
// An error for a request that failed.
Error io_error(const std::string& what, const host::BlockImage& image, host::IoStatus status);

// Commands; each returns the exit status.
Result<int> create(const std::vector<std::string>& words);
Result<int> info(const std::vector<std::string>& words);
Result<int> check(const std::vector<std::string>& words);
Result<int> convert(const std::vector<std::string>& words);
Result<int> resize(const std::vector<std::string>& words);
Result<int> snapshot(const std::vector<std::string>& words);
Result<int> map(const std::vector<std::string>& words);
Result<int> compare(const std::vector<std::string>& words);
Result<int> rebase(const std::vector<std::string>& words);
Result<int> commit(const std::vector<std::string>& words);
Result<int> measure(const std::vector<std::string>& words);
Result<int> amend(const std::vector<std::string>& words);
Result<int> dd(const std::vector<std::string>& words);

}  // namespace xm::cli::img
