// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/doctor.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "emu/base/exit_status.h"

// From linux/kvm.h; written out so that the headers of an old host do not matter.
#define XM_KVM_GET_API_VERSION 0xAE00

namespace xm::cli {

namespace {

struct Fact {
  std::string topic;
  bool good;
  std::string text;
};

std::string cpu_line(const char* key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) {
      const std::size_t colon = line.find(':');
      return colon == std::string::npos ? "" : line.substr(std::min(colon + 2, line.size()));
    }
  }
  return "";
}

Fact kvm_fact() {
  const int fd = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd < 0) return {"kvm", false, std::string("/dev/kvm: ") + std::strerror(errno) + "; use -accel interp"};
  const int version = ::ioctl(fd, XM_KVM_GET_API_VERSION, 0);
  ::close(fd);
  if (version != 12) return {"kvm", false, "/dev/kvm has API version " + std::to_string(version) + ", not 12"};
  const std::string flags = " " + cpu_line("flags") + " ";
  const bool hardware = flags.find(" vmx ") != std::string::npos || flags.find(" svm ") != std::string::npos;
  return {"kvm", true,
          hardware ? "hardware virtualization (vmx or svm)"
                   : "software kind: no vmx or svm, guest kernel mode is emulated slowly, user mode runs natively"};
}

Fact device_fact(const char* topic, const char* path, const char* what) {
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return {topic, false, std::string(path) + ": " + std::strerror(errno) + "; " + what};
  ::close(fd);
  return {topic, true, std::string(path) + " can be opened"};
}

Fact library_fact(const char* topic, const char* name, const char* without) {
  void* handle = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) return {topic, false, std::string(name) + " is missing: " + without};
  ::dlclose(handle);
  return {topic, true, name};
}

std::string json_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

int doctor(const std::vector<std::string>& words) {
  bool json = false;
  for (const std::string& word : words) {
    if (word != "--json") {
      std::fprintf(stderr, "xiaoma: error: unknown word '%s': doctor; use --json or nothing\n", word.c_str());
      return exit_status::kUsage;
    }
    json = true;
  }
  const std::vector<Fact> facts{
      {"version", true, "xiaoma 0.1"},
      {"cpu", true, cpu_line("model name")},
      {"engines", true, "interp"},
      kvm_fact(),
      device_fact("tap", "/dev/net/tun", "-netdev tap needs it; -netdev user does not"),
      {"user-net", true, "libslirp, linked in"},
      library_fact("sdl", "libSDL2-2.0.so.0", "-display sdl will not work"),
      {"terminal", ::isatty(STDIN_FILENO) != 0,
       ::isatty(STDIN_FILENO) != 0 ? "standard input is a terminal" : "standard input is no terminal"},
  };
  if (json) std::printf("{");
  for (std::size_t i = 0; i < facts.size(); i++) {
    if (json) {
      std::printf("%s\"%s\": {\"ok\": %s, \"text\": \"%s\"}", i > 0 ? ", " : "", facts[i].topic.c_str(),
                  facts[i].good ? "true" : "false", json_escape(facts[i].text).c_str());
    } else {
      std::printf("%-10s %-4s %s\n", facts[i].topic.c_str(), facts[i].good ? "yes" : "no", facts[i].text.c_str());
    }
  }
  if (json) std::printf("}\n");
  return exit_status::kOk;
}

}  // namespace xm::cli
