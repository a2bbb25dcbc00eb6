// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/display/screenshot.h"

#include <png.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace xm::display {

namespace {

std::vector<u8> rgb_bytes(const devices::Surface& surface) {
  std::vector<u8> bytes;
  bytes.reserve(surface.pixels.size() * 3);
  for (const u32 pixel : surface.pixels) {
    bytes.push_back(static_cast<u8>(pixel >> 16));
    bytes.push_back(static_cast<u8>(pixel >> 8));
    bytes.push_back(static_cast<u8>(pixel));
  }
  return bytes;
}

}  // namespace

Result<void> write_screenshot(const devices::Surface& surface, const std::string& path, bool portable_pixmap) {
  if (surface.width == 0 || surface.height == 0) return Error{"nothing on the screen: " + path};
  const std::vector<u8> bytes = rgb_bytes(surface);
  if (portable_pixmap) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
    if (file == nullptr) return Error{"cannot write screenshot: " + path + ": " + std::strerror(errno)};
    std::fprintf(file.get(), "P6\n%u %u\n255\n", surface.width, surface.height);
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) {
      return Error{"cannot write screenshot: " + path + ": " + std::strerror(errno)};
    }
    return {};
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = surface.width;
  image.height = surface.height;
  image.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&image, path.c_str(), 0, bytes.data(), 0, nullptr) == 0) {
    return Error{"cannot write screenshot: " + path + ": " + image.message};
  }
  return {};
}

}  // namespace xm::display
