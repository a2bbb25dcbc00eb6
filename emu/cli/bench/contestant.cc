// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/bench/contestant.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace xm::cli::bench {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string own_path() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  return {path, length > 0 ? static_cast<std::size_t>(length) : 0};
}

// CPU time of all threads of a process so far; the scheduler's own account is in nanoseconds.
double cpu_seconds(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* tasks = ::opendir(folder.c_str());
  if (tasks == nullptr) return 0;
  double total = 0;
  while (const dirent* entry = ::readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file(folder + "/" + entry->d_name + "/schedstat");
    double nanoseconds = 0;
    if (file >> nanoseconds) total += nanoseconds * 1e-9;
  }
  ::closedir(tasks);
  return total;
}

// A folder that goes away with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/xiaoma-bench-XXXXXX";
    if (::mkdtemp(name) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<std::string> guest_words(const Guest& guest) {
  if (!guest.disk.empty()) return {"-drive", "file=" + guest.disk + ",format=raw,if=ide,snapshot=on"};
  return {"-kernel", guest.kernel, "-initrd", guest.initrd, "-append", "console=ttyS0"};
}

std::string monitor_of(const std::string& folder) { return folder + "/monitor"; }

std::vector<std::string> bochs_command(const Guest& guest, const std::string& folder) {
  const std::string disk = folder + "/disk.img";
  std::error_code ignored;
  std::filesystem::copy_file(guest.disk, disk, ignored);
  std::ofstream(folder + "/bochsrc") << "megs: 64\nromimage: file=/usr/share/seabios/bios.bin\n"
                                        "vgaromimage: file=/usr/share/vgabios/vgabios.bin\ndisplay_library: term\n"
                                        "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n"
                                     << "ata0-master: type=disk, path=" << disk << ", mode=flat\nboot: disk\n"
                                     << "com1: enabled=1, mode=file, dev=" << folder << "/serial\n"
                                     << "cpu: model=corei7_haswell_4770, ips=100000000\nlog: " << folder << "/log\n"
                                     << "panic: action=report\nerror: action=ignore\ninfo: action=ignore\n"
                                        "clock: sync=none\nsound: driver=dummy\n";
  std::ofstream(folder + "/debugger") << "continue\n";  // builds with a debugger start in it
  return {"bochs", "-q", "-f", folder + "/bochsrc", "-rc", folder + "/debugger"};
}

std::vector<std::string> command_of(const Contestant& contestant, const Guest& guest, const std::string& folder) {
  std::vector<std::string> words;
  if (contestant.name == "bochs") return bochs_command(guest, folder);
  if (contestant.ours) {
    words = {own_path(),      "run",      "-accel",
             contestant.name, "-monitor", "unix:" + monitor_of(folder) + ",server=on,wait=off"};
  } else {
    words = {"qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-monitor", "none"};
  }
  for (const char* word : {"-m", "256", "-display", "none", "-no-reboot", "-serial", "stdio"}) words.emplace_back(word);
  for (std::string& word : guest_words(guest)) words.push_back(std::move(word));
  return words;
}

// The child's standard output, or for Bochs the file it writes.
struct Child {
  pid_t pid = -1;
  int output = -1;
};

Child start(const std::vector<std::string>& words, const std::string& serial_file) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return {};
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const int nothing = ::open("/dev/null", O_RDWR);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(serial_file.empty() ? pipe_ends[1] : nothing, STDOUT_FILENO);
    ::dup2(nothing, STDERR_FILENO);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(pipe_ends[1]);
  if (serial_file.empty()) return {pid, pipe_ends[0]};
  ::close(pipe_ends[0]);
  int file = -1;
  for (int i = 0; i < 500 && file < 0; i++) {
    file = ::open(serial_file.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) ::usleep(10'000);
  }
  return {pid, file};
}

std::string exit_counts(const std::string& folder) {
  const std::string command = "'" + own_path() + "' ctl '" + monitor_of(folder) + "' 'info engine' 2>/dev/null";
  std::string text;
  if (std::FILE* pipe = ::popen(command.c_str(), "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, pipe) != nullptr) text += line;
    ::pclose(pipe);
  }
  return text;
}

// Takes marks from what the guest says: "b NAME", "e NAME HASH", "d".
class Marks {
 public:
  Marks(RunResult& result, const Guest& guest) : result_(result), guest_(guest) {}
  // True at the end.
  bool take(const char* bytes, std::size_t size, double cpu) {
    text_.append(bytes, size);
    if (!guest_.until.empty()) {
      if (text_.find(guest_.until) == std::string::npos) return false;
      result_.samples[guest_.program] = {cpu, ""};
      result_.order.push_back(guest_.program);
      return true;
    }
    for (std::size_t end; (end = text_.find('\n')) != std::string::npos; text_.erase(0, end + 1)) {
      if (line(text_.substr(0, end), cpu)) return true;
    }
    return false;
  }

 private:
  bool line(std::string text, double cpu) {
    while (!text.empty() && text.back() == '\r') text.pop_back();
    if (text == "d") return true;
    char name[32] = "", hash[32] = "";
    if (std::sscanf(text.c_str(), "b %31s", name) == 1) begun_ = cpu;
    if (std::sscanf(text.c_str(), "e %31s %31s", name, hash) == 2) {
      result_.samples[name] = {cpu - begun_, hash};
      result_.order.emplace_back(name);
    }
    return false;
  }
  RunResult& result_;
  const Guest& guest_;
  std::string text_;
  double begun_ = 0;
};

}  // namespace

bool installed(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string folders = path != nullptr ? path : "/usr/bin:/bin";
  for (std::size_t start = 0; start <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', start), folders.size());
    if (::access((folders.substr(start, end - start) + "/" + program).c_str(), X_OK) == 0) return true;
    start = end + 1;
  }
  return false;
}

RunResult run_contestant(const Contestant& contestant, const Guest& guest, double patience_seconds) {
  RunResult result;
  const TemporaryFolder folder;
  const bool to_file = contestant.name == "bochs";
  const Child child =
      start(command_of(contestant, guest, folder.path()), to_file ? folder.path() + "/serial" : std::string());
  if (child.pid < 0 || child.output < 0) result.error = "could not be started";
  Marks marks(result, guest);
  Clock::time_point last = Clock::now();
  while (result.error.empty()) {
    char bytes[4096];
    pollfd wait{.fd = child.output, .events = POLLIN, .revents = 0};
    if (!to_file && ::poll(&wait, 1, 1000) == 0) {
      if (seconds_since(last) > patience_seconds) result.error = "gave no sign of life";
      continue;
    }
    const double cpu = cpu_seconds(child.pid);
    const ssize_t size = ::read(child.output, bytes, sizeof bytes);
    if (size > 0) {
      last = Clock::now();
      if (marks.take(bytes, static_cast<std::size_t>(size), cpu)) break;
      continue;
    }
    if (!to_file || ::waitpid(child.pid, nullptr, WNOHANG) != 0) {
      result.error = "ended early";
    } else if (seconds_since(last) > patience_seconds) {
      result.error = "gave no sign of life";
    }
    ::usleep(1000);
  }
  if (contestant.ours && result.error.empty()) result.exits = exit_counts(folder.path());
  if (child.pid > 0) {
    ::kill(child.pid, SIGKILL);
    ::waitpid(child.pid, nullptr, 0);
  }
  if (child.output >= 0) ::close(child.output);
  return result;
}

}  // namespace xm::cli::bench
