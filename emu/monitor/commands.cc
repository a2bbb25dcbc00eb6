// SPDX-License-Identifier: GPL-2.0-or-later
// The monitor's commands. Each is a row of the table at the end; `info` topics are a table of their own.
#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "emu/display/screenshot.h"
#include "emu/machine/board.h"
#include "emu/machine/snapshot.h"
#include "emu/monitor/inspect.h"
#include "emu/monitor/monitor.h"

namespace xm::monitor {

namespace {

using machine::Machine;
using Words = std::vector<std::string>;

std::string help(Machine&, const Words& words);

std::string stop(Machine& machine, const Words&) {
  machine.request_stop();
  return "";
}

std::string cont(Machine& machine, const Words&) {
  machine.resume();
  return "";
}

std::string engine(Machine& machine, const Words& words) {
  if (words.size() < 2) return machine.vcpus().front()->engine().name();
  const Result<void> switched = machine.switch_engine(words[1]);
  return switched.ok() ? "" : "error: " + switched.error().message;
}

std::string quit(Machine& machine, const Words&) {
  machine.request_quit(0);
  return "";
}

std::string system_reset(Machine& machine, const Words&) {
  machine.request_reset();
  return "";
}

std::string system_powerdown(Machine& machine, const Words&) {
  machine.power_button();
  return "";
}

std::string nmi(Machine& machine, const Words&) {
  machine.vcpus().front()->raise_nmi();
  return "";
}

std::string screentext(Machine& machine, const Words&) {
  devices::DisplaySource* source = machine.board().display();
  return source != nullptr ? source->text_screen() : "no display adapter";
}

std::string screendump(Machine& machine, const Words& words) {
  if (words.size() != 2 && !(words.size() == 4 && words[1] == "-f")) return "usage: screendump [-f png|ppm] FILE";
  const Result<void> written = screenshot_to(machine, words.back(), words.size() == 4 ? words[2] : "");
  return written.ok() ? "" : "error: " + written.error().message;
}

}  // namespace

Result<void> screenshot_to(Machine& machine, const std::string& file, const std::string& image_format) {
  if (!image_format.empty() && image_format != "png" && image_format != "ppm")
    return Error{"unknown image format '" + image_format + "': screendump; use png or ppm"};
  devices::DisplaySource* source = machine.board().display();
  if (source == nullptr) return Error{"no display adapter"};
  devices::Surface surface;
  source->invalidate();
  source->refresh(surface);
  source->invalidate();
  const bool portable = image_format == "ppm" || (image_format.empty() && file.ends_with(".ppm"));
  return display::write_screenshot(surface, file, portable);
}

namespace {

// Keys joined by dashes go down in order and up in reverse order, as on a keyboard.
std::string sendkey(Machine& machine, const Words& words) {
  if (words.size() < 2) return "usage: sendkey KEY[-KEY...]";
  std::vector<u16> codes;
  for (std::size_t start = 0; start <= words[1].size();) {
    const std::size_t end = std::min(words[1].find('-', start + 1), words[1].size());
    const std::string name = words[1].substr(start, end - start);
    const u16 code = devices::keycode_by_name(name.c_str());
    if (code == 0) return "unknown key '" + name + "'";
    codes.push_back(code);
    start = end + 1;
  }
  for (const u16 code : codes) machine.board().keyboard().key(code, true);
  for (auto it = codes.rbegin(); it != codes.rend(); ++it) machine.board().keyboard().key(*it, false);
  return "";
}

// Types text as a person would, one key after another; \n is the return key.
std::string type_text(Machine& machine, const Words& words) {
  std::string text;
  for (std::size_t i = 1; i < words.size(); i++) text += (i > 1 ? " " : "") + words[i];
  const u16 shift = devices::keycode_by_name("shift");
  for (std::size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c == '\\' && i + 1 < text.size() && text[i + 1] == 'n') {
      c = '\n';
      i++;
    }
    const devices::Keystroke stroke = devices::keystroke_of(c);
    if (stroke.linux_keycode == 0) continue;
    if (stroke.shift) machine.board().keyboard().key(shift, true);
    machine.board().keyboard().key(stroke.linux_keycode, true);
    machine.board().keyboard().key(stroke.linux_keycode, false);
    if (stroke.shift) machine.board().keyboard().key(shift, false);
  }
  return "";
}

std::string mouse_move(Machine& machine, const Words& words) {
  if (words.size() < 3) return "usage: mouse_move DX DY [DZ]";
  machine.board().mouse().pointer_motion(std::atoi(words[1].c_str()), std::atoi(words[2].c_str()),
                                         words.size() > 3 ? std::atoi(words[3].c_str()) : 0);
  machine.board().mouse().pointer_sync();
  return "";
}

std::string mouse_button(Machine& machine, const Words& words) {
  if (words.size() != 2) return "usage: mouse_button STATE (1 left, 2 right, 4 middle)";
  const int state = std::atoi(words[1].c_str());
  for (int button = 0; button < 3; button++) {
    machine.board().mouse().pointer_button(static_cast<devices::MouseButton>(button), (state >> button & 1) != 0);
  }
  machine.board().mouse().pointer_sync();
  return "";
}

std::string set_password(Machine& machine, const Words& words) {
  if (words.size() < 3 || words[1] != "vnc") return "usage: set_password vnc WORD";
  if (!machine.vnc().set_password) return "error: no VNC server; start with -vnc";
  machine.vnc().set_password(words[2]);
  return "";
}

std::string change(Machine& machine, const Words& words) {
  if (words.size() < 3) return "usage: change DRIVE FILE, or change vnc password WORD";
  if (words[1] == "vnc" && words[2] == "password")
    return set_password(machine, {"", "vnc", words.size() > 3 ? words[3] : ""});
  return machine.board().change_medium(words[1], words[2]);
}

std::string eject(Machine& machine, const Words& words) {
  const bool force = words.size() == 3 && words[1] == "-f";
  if (words.size() != (force ? 3u : 2u)) return "usage: eject [-f] DRIVE";
  return machine.board().eject(words.back(), force);
}

std::string block_resize(Machine& machine, const Words& words) {
  constexpr std::string_view kSuffixes = "KMGT";
  u64 size = 0;
  char suffix = 'M';
  if (words.size() != 3 || std::sscanf(words[2].c_str(), "%" SCNu64 "%c", &size, &suffix) < 1)
    return "usage: block_resize DRIVE SIZE[B|K|M|G|T]";
  const std::size_t power = kSuffixes.find(static_cast<char>(std::toupper(suffix)));
  if (power != std::string_view::npos && size > ~u64{0} >> 10 * (power + 1)) return "size is too large";
  if (power == std::string_view::npos && suffix != 'B') return "unknown unit of size; use B, K, M, G or T";
  return machine.board().resize_drive(words[1], power == std::string_view::npos ? size : size << 10 * (power + 1));
}

std::string set_link(Machine& machine, const Words& words) {
  if (words.size() != 3 || (words[2] != "on" && words[2] != "off")) return "usage: set_link NAME on|off";
  return machine.board().set_link(words[1], words[2] == "on");
}

std::string savevm(Machine& machine, const Words& words) {
  if (words.size() != 2) return "usage: savevm NAME, or savevm file:PATH";
  const Result<void> saved = machine::save_snapshot(machine, words[1]);
  return saved.ok() ? "" : "error: " + saved.error().message;
}

std::string loadvm(Machine& machine, const Words& words) {
  if (words.size() != 2) return "usage: loadvm NAME, or loadvm file:PATH";
  const Result<void> loaded = machine::load_snapshot(machine, words[1]);
  return loaded.ok() ? "" : "error: " + loaded.error().message;
}

std::string delvm(Machine& machine, const Words& words) {
  if (words.size() != 2) return "usage: delvm NAME, or delvm file:PATH";
  const Result<void> removed = machine::delete_snapshot(machine, words[1]);
  return removed.ok() ? "" : "error: " + removed.error().message;
}

std::string log_items(Machine& machine, const Words& words) {
  static constexpr std::pair<const char*, LogItem> kItems[] = {{"guest_errors", LogItem::GuestErrors},
                                                               {"unimp", LogItem::Unimp},
                                                               {"int", LogItem::Int},
                                                               {"in_asm", LogItem::InAsm}};
  if (words.size() != 2) return "usage: log none|guest_errors,unimp,int,in_asm";
  for (const auto& [name, item] : kItems) {
    if (("," + words[1] + ",").find("," + std::string(name) + ",") != std::string::npos)
      machine.log().enable(item);
    else
      machine.log().disable(item);
  }
  return "";
}

std::string info(Machine& machine, const Words& words);

constexpr Command kCommands[] = {
    {"help", "[COMMAND]", "this list, or one command", help},
    {"?", "[COMMAND]", "same as help", help},
    {"info", "TOPIC", "show a part of the machine's state; `info` alone lists the topics", info},
    {"quit", "", "end the emulator", quit},
    {"q", "", "same as quit", quit},
    {"engine", "[interp|kvm]", "go on with another engine, or tell which one runs", engine},
    {"stop", "", "stop the CPUs; guest time stands still", stop},
    {"s", "", "same as stop", stop},
    {"cont", "", "let the CPUs go on", cont},
    {"c", "", "same as cont", cont},
    {"system_reset", "", "reset the machine", system_reset},
    {"system_powerdown", "", "press the power button", system_powerdown},
    {"nmi", "", "send a non-maskable interrupt to the first CPU", nmi},
    {"screendump", "[-f png|ppm] FILE", "write what the screen shows to a file (a name in .ppm: PPM, else PNG)",
     screendump},
    {"screentext", "", "print the text screen as text", screentext},
    {"sendkey", "KEY[-KEY...]", "press keys together, e.g. sendkey ctrl-alt-delete", sendkey},
    {"type", "TEXT", "type text on the keyboard; \\n is the return key", type_text},
    {"mouse_move", "DX DY [DZ]", "move the mouse", mouse_move},
    {"mouse_button", "STATE", "press and release mouse buttons (1 left, 2 right, 4 middle)", mouse_button},
    {"change", "DRIVE FILE", "insert a medium into a removable drive", change},
    {"savevm", "NAME", "save the machine inside its qcow2 drives, or as file:PATH", savevm},
    {"loadvm", "NAME", "make the machine what it was", loadvm},
    {"delvm", "NAME", "remove a snapshot", delvm},
    {"set_password", "vnc WORD", "password of the VNC server", set_password},
    {"eject", "[-f] DRIVE", "take the medium out of a removable drive; -f: also from a locked tray", eject},
    {"block_resize", "DRIVE SIZE", "change the size of a drive's image (megabytes, or with a unit)", block_resize},
    {"set_link", "NAME on|off", "plug or pull the cable of a NIC", set_link},
    {"x", "/FMT ADDR", "examine guest-virtual memory, e.g. x/8xg 0xffff800000000000", examine_virtual},
    {"xp", "/FMT ADDR", "examine guest-physical memory, e.g. xp/16xb 0x7c00", examine_physical},
    {"gva2hpa", "ADDR", "one place by its guest-virtual, guest-physical, host-virtual and host-physical address",
     four_addresses},
    {"gva2gpa", "ADDR", "translate a guest-virtual address", translate_address},
    {"log", "ITEMS", "choose log items, or none", log_items},
};

struct Topic {
  std::string_view name;
  std::string_view help;
  std::string (*run)(Machine& machine);
};

std::string describe_engine(Machine& machine) {
  std::string text;
  for (auto& vcpu : machine.vcpus()) {
    text += std::string(vcpu->engine().name()) + "\n";
    for (const cpu::EngineCount& count : vcpu->engine().counts())
      text += "  " + std::string(count.name) + " " + std::to_string(count.count) + "\n";
  }
  return text;
}

std::string board_topic(Machine& machine, const char* topic) { return machine.board().info(topic); }

constexpr Topic kTopics[] = {
    {"version", "version of the emulator", [](Machine&) { return std::string("xiaoma 0.1"); }},
    {"status", "running or stopped",
     [](Machine& machine) { return std::string("VM status: ") + (machine.running() ? "running" : "paused"); }},
    {"name", "name of the machine", [](Machine& machine) { return machine.config().name; }},
    {"registers", "CPU registers", describe_registers},
    {"cpus", "virtual CPUs, what they do and how much they have done", describe_cpus},
    {"engine", "the engine and what it counts: exits by cause", describe_engine},
    {"mtree", "physical memory map", describe_memory_map},
    {"ioports", "port map", describe_ports},
    {"mem", "mapped guest-virtual ranges", describe_mappings},
    {"tlb", "pages that the first CPU has mapped", describe_pages},
    {"pci", "PCI functions", [](Machine& machine) { return board_topic(machine, "pci"); }},
    {"irq", "interrupt counts", [](Machine& machine) { return board_topic(machine, "irq"); }},
    {"pic", "interrupt controllers", [](Machine& machine) { return board_topic(machine, "pic"); }},
    {"block", "drives", [](Machine& machine) { return board_topic(machine, "block"); }},
    {"network", "NICs and their back ends", [](Machine& machine) { return board_topic(machine, "network"); }},
    {"snapshots", "snapshots inside the qcow2 drives", machine::list_snapshots},
    {"vnc", "VNC server and its clients",
     [](Machine& machine) {
       return machine.vnc().describe ? machine.vnc().describe() : std::string("Server: disabled");
     }},
    {"display", "video mode",
     [](Machine& machine) {
       return machine.board().display() != nullptr ? machine.board().display()->mode_description() : "none";
     }},
};

std::string info(Machine& machine, const Words& words) {
  if (words.size() == 2) {
    for (const Topic& topic : kTopics) {
      if (topic.name == words[1]) return topic.run(machine);
    }
  }
  std::string text;
  for (const Topic& topic : kTopics)
    text += "info " + std::string(topic.name) + " -- " + std::string(topic.help) + "\n";
  return text;
}

std::string help(Machine&, const Words& words) {
  std::string text;
  for (const Command& command : kCommands) {
    if (words.size() > 1 && command.name != words[1]) continue;
    text +=
        std::string(command.name) + " " + std::string(command.arguments) + " -- " + std::string(command.help) + "\n";
  }
  return text.empty() ? "unknown command: '" + words[1] + "'" : text;
}

Words split(std::string_view line) {
  Words words;
  for (std::size_t i = 0; i < line.size();) {
    while (i < line.size() && line[i] == ' ') i++;
    std::size_t end = i;
    while (end < line.size() && line[end] != ' ') end++;
    if (end > i) words.emplace_back(line.substr(i, end - i));
    i = end;
  }
  return words;
}

}  // namespace

std::string execute(Machine& machine, std::string_view line) {
  Words words = split(line);
  if (words.empty()) return "";
  // "x/8xg ADDR" is the command x with a format.
  const std::size_t slash = words[0].find('/');
  if (slash != std::string::npos) {
    words.insert(words.begin() + 1, words[0].substr(slash));
    words[0].resize(slash);
  }
  for (const Command& command : kCommands) {
    if (command.name == words[0]) return command.run(machine, words);
  }
  return "unknown command: '" + words[0] + "'";
}

std::vector<std::string> complete(std::string_view prefix) {
  std::vector<std::string> found;
  if (prefix.starts_with("info ")) {
    for (const Topic& topic : kTopics) {
      if (topic.name.starts_with(prefix.substr(5))) found.push_back("info " + std::string(topic.name));
    }
    return found;
  }
  for (const Command& command : kCommands) {
    if (command.name.starts_with(prefix)) found.emplace_back(command.name);
  }
  return found;
}

}  // namespace xm::monitor
