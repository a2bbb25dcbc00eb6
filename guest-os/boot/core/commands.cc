// SPDX-License-Identifier: GPL-2.0-or-later
// The command interpreter: one table of words.
#include "boot/core/commands.h"

#include "boot/core/bios.h"
#include "boot/core/console.h"
#include "boot/core/memory.h"
#include "boot/core/report.h"

namespace xm::boot {
namespace {

struct Words {
  char first[256];   // the operand
  const char* rest;  // what follows it
};

bool loaded_as(bool ok, SystemKind kind, Session& s) {
  s.loaded = ok ? kind : SystemKind::None;
  return ok;
}

bool do_linux(const Words& w, Session& s) {
  release_high();
  return loaded_as(load_linux(w.first, w.rest, s.home), SystemKind::Linux, s);
}

bool do_multiboot(const Words& w, Session& s) {
  release_high();
  return loaded_as(load_multiboot(w.first, w.rest, s.home), SystemKind::Multiboot, s);
}

bool do_kernel(const Words& w, Session& s) {
  File file;
  s.loaded = SystemKind::None;
  if (!open_file(w.first, s.home, file)) return false;
  if (is_linux(file)) return do_linux(w, s);
  if (is_multiboot(file)) return do_multiboot(w, s);
  return fail("%s is neither a kernel of the Linux boot protocol nor a Multiboot image", w.first);
}

bool do_initrd(const Words& w, Session& s) {
  if (s.loaded != SystemKind::Linux) return fail("initrd needs a Linux kernel before it");
  return load_initrd(w.first, s.home);
}

bool do_module(const Words& w, Session& s) {
  if (s.loaded != SystemKind::Multiboot) return fail("module needs a Multiboot kernel before it");
  return load_module(w.first, w.rest, s.home);
}

bool do_root(const Words& w, Session& s) { return parse_volume(w.first, strlen(w.first), s.home); }

bool do_chain(const Words& w, Session& s) {
  Volume volume;
  return parse_volume(w.first, strlen(w.first), volume) && loaded_as(load_sector(volume), SystemKind::Sector, s);
}

bool do_list(const Words& w, Session& s) {
  const bool ok = list_directory(*w.first != 0 ? w.first : "/", s.home,
                                 [](const char* name, bool directory) { print("%s%s  ", name, directory ? "/" : ""); });
  if (ok) put('\n');
  return ok;
}

bool do_cat(const Words& w, Session& s) {
  File file;
  if (!open_file(w.first, s.home, file)) return false;
  char part[513];
  for (u64 at = 0; at < file.size; at += 512) {
    const u32 length = file.size - at < 512 ? static_cast<u32>(file.size - at) : 512;
    if (!read_file(file, at, part, length)) return false;
    part[length] = 0;
    put(part);
  }
  return true;
}

bool do_boot(const Words&, Session& s) { return start_system(s); }
bool do_reboot(const Words&, Session&) { reboot(); }
bool do_power_off(const Words&, Session&) {
  power_off();
  return fail("neither ACPI nor APM switches this machine off");
}

struct Command {
  const char* word;
  bool needs_operand;
  bool (*run)(const Words& words, Session& session);
};
constexpr Command kCommands[] = {
    {"kernel", true, do_kernel},       {"linux", true, do_linux},    {"initrd", true, do_initrd},
    {"multiboot", true, do_multiboot}, {"module", true, do_module},  {"root", true, do_root},
    {"chain", true, do_chain},         {"ls", false, do_list},       {"cat", true, do_cat},
    {"boot", false, do_boot},          {"reboot", false, do_reboot}, {"poweroff", false, do_power_off},
};

// Takes the next word off `at`.
void take_word(const char*& at, char* word, u32 size) {
  while (*at == ' ' || *at == '\t') ++at;
  u32 n = 0;
  for (; *at != 0 && *at != ' ' && *at != '\t'; ++at) {
    if (n + 1 < size) word[n++] = *at;
  }
  word[n] = 0;
  while (*at == ' ' || *at == '\t') ++at;
}

}  // namespace

bool run_command(const char* line, Session& session) {
  char word[32];
  Words words{};
  take_word(line, word, sizeof word);
  if (*word == 0 || *word == '#') return true;
  take_word(line, words.first, sizeof words.first);
  words.rest = line;
  for (const Command& c : kCommands) {
    if (strcmp(c.word, word) != 0) continue;
    if (c.needs_operand && *words.first == 0) return fail("%s needs a name", word);
    return c.run(words, session);
  }
  return fail("%s is no command: kernel linux initrd multiboot module chain root ls cat boot reboot poweroff", word);
}

bool start_system(const Session& session) {
  switch (session.loaded) {
    case SystemKind::Linux: start_linux();
    case SystemKind::Multiboot: start_multiboot();
    case SystemKind::Sector: start_sector_now();
    case SystemKind::None: break;
  }
  return fail("nothing is loaded");
}

bool run_entry(const Entry& entry, Session& session) {
  for (u32 i = 0; i < entry.line_count; ++i) {
    if (!run_command(entry.lines[i], session)) return false;
  }
  return start_system(session);
}

}  // namespace xm::boot
