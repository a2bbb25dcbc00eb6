// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/qcow2/compression.h"

#include <zlib.h>
#include <zstd.h>

namespace xm::host::qcow2 {

namespace {

constexpr int kWindowBits = -12;  // negative: raw deflate, no zlib header

std::vector<u8> deflate_cluster(std::span<const u8> cluster) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, 9, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::vector<u8> out(cluster.size() - 1);
  stream.next_in = const_cast<u8*>(cluster.data());
  stream.avail_in = static_cast<unsigned>(cluster.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<unsigned>(out.size());
  const bool whole = ::deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(whole ? out.size() - stream.avail_out : 0);
  deflateEnd(&stream);
  return out;
}

bool inflate_cluster(std::span<const u8> from, std::span<u8> to) {
  z_stream stream{};
  if (inflateInit2(&stream, kWindowBits) != Z_OK) return false;
  stream.next_in = const_cast<u8*>(from.data());
  stream.avail_in = static_cast<unsigned>(from.size());
  stream.next_out = to.data();
  stream.avail_out = static_cast<unsigned>(to.size());
  const int result = ::inflate(&stream, Z_FINISH);
  const bool filled = stream.avail_out == 0;
  inflateEnd(&stream);
  // Z_BUF_ERROR: the output is full before the decoder has seen the end mark.
  return filled && (result == Z_STREAM_END || result == Z_BUF_ERROR);
}

std::vector<u8> zstd_cluster(std::span<const u8> cluster) {
  std::vector<u8> out(cluster.size() - 1);
  const std::size_t size = ZSTD_compress(out.data(), out.size(), cluster.data(), cluster.size(), ZSTD_CLEVEL_DEFAULT);
  out.resize(ZSTD_isError(size) != 0 ? 0 : size);
  return out;
}

bool unzstd_cluster(std::span<const u8> from, std::span<u8> to) {
  ZSTD_DStream* stream = ZSTD_createDStream();
  if (stream == nullptr) return false;
  ZSTD_inBuffer input{from.data(), from.size(), 0};
  ZSTD_outBuffer output{to.data(), to.size(), 0};
  while (output.pos < output.size) {
    const std::size_t before = input.pos + output.pos;
    if (ZSTD_isError(ZSTD_decompressStream(stream, &output, &input)) != 0) break;
    if (input.pos + output.pos == before) break;
  }
  ZSTD_freeDStream(stream);
  return output.pos == output.size;
}

}  // namespace

std::vector<u8> compress(Compression kind, std::span<const u8> cluster) {
  return kind == Compression::Zstd ? zstd_cluster(cluster) : deflate_cluster(cluster);
}

bool decompress(Compression kind, std::span<const u8> from, std::span<u8> to) {
  return kind == Compression::Zstd ? unzstd_cluster(from, to) : inflate_cluster(from, to);
}

}  // namespace xm::host::qcow2
