// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/base/log.h"

#include <cstdarg>

namespace xm {

Log::~Log() {
  if (owned_ && file_ != nullptr) std::fclose(file_);
}

void Log::set_output(std::FILE* file, bool owned) {
  const std::scoped_lock lock(mutex_);
  if (owned_ && file_ != nullptr) std::fclose(file_);
  file_ = file;
  owned_ = owned;
}

void Log::line(LogItem item, const char* format, ...) {
  if (!on(item)) return;
  const std::scoped_lock lock(mutex_);
  std::FILE* out = file_ != nullptr ? file_ : stderr;
  va_list args;
  va_start(args, format);
  std::vfprintf(out, format, args);
  va_end(args);
  std::fputc('\n', out);
  std::fflush(out);
  if (trap_ && item == trap_item_) trap_();
}

}  // namespace xm
