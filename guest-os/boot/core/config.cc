// SPDX-License-Identifier: GPL-2.0-or-later
// Finds and parses the configuration file.
#include "boot/core/config.h"

#include "boot/core/report.h"

namespace xm::boot {
namespace {

constexpr char kName[] = "/boot/xiaoma.cfg";
constexpr u32 kMaxSize = 32768;
char text[kMaxSize + 1];
Entry entries[kMaxEntries];

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// The number after a keyword.
bool number_after(const char* at, int& value) {
  while (blank(*at)) ++at;
  const bool minus = *at == '-';
  if (minus) ++at;
  if (*at < '0' || *at > '9') return false;
  value = 0;
  while (*at >= '0' && *at <= '9' && value < 100000) value = value * 10 + (*at++ - '0');
  if (minus) value = -value;
  while (blank(*at)) ++at;
  return *at == 0;
}

bool keyword(const char* line, const char* word) {
  return starts_with(line, word) && (line[strlen(word)] == 0 || blank(line[strlen(word)]));
}

void title_of(const char* at, char* title) {
  while (blank(*at)) ++at;
  if (*at == '"') ++at;
  copy_text(title, at, kTitleSize);
  const size_t length = strlen(title);
  if (length > 0 && title[length - 1] == '"') title[length - 1] = 0;
}

bool parse_line(const char* line, u32 number, Config& config) {
  int value = 0;
  if (keyword(line, "timeout")) {
    if (!number_after(line + 7, value)) return fail("%s: line %u: timeout takes a number of seconds", kName, number);
    config.timeout = value;
    return true;
  }
  if (keyword(line, "default")) {
    if (!number_after(line + 7, value) || value < 0)
      return fail("%s: line %u: default takes the number of an entry", kName, number);
    config.default_entry = static_cast<u32>(value);
    return true;
  }
  if (keyword(line, "entry")) {
    if (config.count == kMaxEntries) return fail("%s: line %u: more than %u entries", kName, number, kMaxEntries);
    Entry& e = config.entries[config.count++];
    e.line_count = 0;
    title_of(line + 5, e.title);
    return true;
  }
  if (config.count == 0) return fail("%s: line %u: no entry begins before this line", kName, number);
  Entry& e = config.entries[config.count - 1];
  if (e.line_count == kMaxLines) return fail("%s: line %u: more than %u lines in an entry", kName, number, kMaxLines);
  if (strlen(line) >= kLineSize) return fail("%s: line %u: longer than %u characters", kName, number, kLineSize - 1);
  copy_text(e.lines[e.line_count++], line, kLineSize);
  return true;
}

bool parse(u32 length, Config& config) {
  u32 number = 0;
  for (char* at = text; at < text + length;) {
    char* end = at;
    while (end < text + length && *end != '\n') ++end;
    char* next = end + 1;
    while (end > at && blank(end[-1])) --end;
    *end = 0;
    ++number;
    while (blank(*at)) ++at;
    if (*at != 0 && *at != '#' && !parse_line(at, number, config)) return false;
    at = next;
  }
  if (config.count == 0) return fail("%s has no entry", kName);
  if (config.default_entry >= config.count) config.default_entry = 0;
  return true;
}

bool load(const Volume& volume, u32& length) {
  File file;
  if (!open_file(kName, volume, file)) return false;
  if (file.size > kMaxSize) return fail("%s is longer than %u bytes", kName, kMaxSize);
  length = static_cast<u32>(file.size);
  return read_file(file, 0, text, length);
}

}  // namespace

bool read_config(const Volume& disk, Config& config, Volume& home) {
  config = {};
  config.entries = entries;
  u32 length = 0;
  Volume volume = disk;
  char reason[200];
  bool found = load(disk, length);
  copy_text(reason, failure(), sizeof reason);
  for (u32 n = 1; !found && n <= 8; ++n) {
    if (!open_partition(disk, n, volume)) continue;
    found = load(volume, length);
    if (!found) copy_text(reason, failure(), sizeof reason);
  }
  home = found ? volume : disk;
  return found ? parse(length, config) : fail("no configuration: %s", reason);
}

}  // namespace xm::boot
