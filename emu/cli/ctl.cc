// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/ctl.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "emu/base/exit_status.h"
#include "emu/base/result.h"

namespace xm::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kRefused = 1;
constexpr std::string_view kPrompt = "(xiaoma) ";
constexpr int kPatienceSeconds = 30;

class Connection {
 public:
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Result<void> open(const std::string& where) {
    const bool opened = where.starts_with("tcp:") ? open_tcp(where.substr(4))
                                                  : open_unix(where.starts_with("unix:") ? where.substr(5) : where);
    if (!opened) return Error{"cannot connect: " + where + ": " + std::strerror(errno)};
    const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return {};
  }
  bool send(const std::string& words) {
    return ::send(fd_, words.data(), words.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(words.size());
  }
  // More of what the machine says; false at its end.
  bool receive() {
    char buffer[4096];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    text.append(buffer, static_cast<size_t>(got));
    return true;
  }
  // The next line, without its end.
  bool line(std::string& out) {
    for (;;) {
      const size_t end = text.find('\n');
      if (end != std::string::npos) {
        out = text.substr(0, end);
        text.erase(0, end + 1);
        return true;
      }
      if (!receive()) return false;
    }
  }
  std::string text;

 private:
  bool open_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
      errno = ENAMETOOLONG;
      return false;
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd_ >= 0 && ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  bool open_tcp(const std::string& where) {
    const size_t colon = where.rfind(':');
    const std::string host = colon == 0 || colon == std::string::npos ? "localhost" : where.substr(0, colon);
    const std::string port = colon == std::string::npos ? where : where.substr(colon + 1);
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    errno = EINVAL;
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return false;
    bool connected = false;
    for (addrinfo* at = found; at != nullptr && !connected; at = at->ai_next) {
      if (fd_ >= 0) ::close(fd_);
      fd_ = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
      connected = fd_ >= 0 && ::connect(fd_, at->ai_addr, at->ai_addrlen) == 0;
    }
    ::freeaddrinfo(found);
    return connected;
  }
  int fd_ = -1;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "xiaoma: error: %s\n", message.c_str());
  return exit_status::kUsage;
}

// "key=value" words of a QMP command: numbers and booleans as such, everything else as text.
Json arguments_of(const std::vector<std::string>& words) {
  Json arguments = Json::object();
  for (size_t i = 1; i < words.size(); i++) {
    const size_t equal = words[i].find('=');
    const std::string value = words[i].substr(equal + 1);
    const Json parsed = Json::parse(value, nullptr, false);
    arguments[words[i].substr(0, equal)] = parsed.is_discarded() ? Json(value) : parsed;
  }
  return arguments;
}

// Sends one request and waits for its answer; events in between are passed over.
bool exchange(Connection& link, const Json& request, Json& reply) {
  if (!link.send(request.dump() + "\n")) return false;
  std::string line;
  while (link.line(line)) {
    reply = Json::parse(line, nullptr, false);
    if (reply.is_object() && (reply.contains("return") || reply.contains("error"))) return true;
  }
  return false;
}

int by_qmp(Connection& link, const std::vector<std::string>& words, const std::string& line) {
  std::string greeting;
  Json reply;
  if (!link.line(greeting) || !exchange(link, {{"execute", "qmp_capabilities"}}, reply))
    return fail("the machine does not answer: ctl");
  Json request;
  const bool is_json = line.starts_with('{');
  bool plain = false;
  if (is_json) {
    request = Json::parse(line, nullptr, false);
    if (request.is_discarded()) return fail("invalid JSON: ctl " + line);
  } else {
    // A QMP command by its name; anything else is a line for the monitor.
    Json known;
    if (!exchange(link, {{"execute", "query-commands"}}, known)) return fail("the machine does not answer: ctl");
    for (const Json& command : known["return"]) plain = plain || command["name"] == words.front();
    for (size_t i = 1; i < words.size(); i++) plain = plain && words[i].find('=') != std::string::npos;
    if (plain) {
      request = {{"execute", words.front()}};
      if (words.size() > 1) request["arguments"] = arguments_of(words);
    } else {
      request = {{"execute", "human-monitor-command"}, {"arguments", {{"command-line", line}}}};
    }
  }
  if (!exchange(link, request, reply)) return fail("the machine does not answer: ctl " + line);
  if (reply.contains("error")) {
    std::fprintf(stderr, "xiaoma: error: %s\n", reply["error"].value("desc", "").c_str());
    return kRefused;
  }
  if (reply["return"].is_string()) {
    std::string text = reply["return"];
    std::erase(text, '\r');
    std::fputs(text.c_str(), stdout);
  } else if (is_json || plain) {
    if (!reply["return"].empty() || is_json) std::printf("%s\n", reply["return"].dump(2).c_str());
  }
  return exit_status::kOk;
}

int by_monitor(Connection& link, const std::string& line) {
  while (!link.text.ends_with(kPrompt))
    if (!link.receive()) return fail("the machine does not answer: ctl");
  link.text.clear();
  if (!link.send(line + "\n")) return fail("the machine does not answer: ctl " + line);
  // quit ends the connection without another prompt.
  while (!link.text.ends_with(kPrompt) && link.receive()) {
  }
  std::string answer = link.text.substr(std::min(link.text.size(), link.text.find('\n') + 1));  // without the echo
  if (answer.ends_with(kPrompt)) answer.resize(answer.size() - kPrompt.size());
  std::erase(answer, '\r');
  std::fputs(answer.c_str(), stdout);
  return answer.starts_with("unknown command") || answer.starts_with("error:") ? kRefused : exit_status::kOk;
}

}  // namespace

int ctl(const std::vector<std::string>& words) {
  if (words.size() < 2) return fail("usage: xiaoma ctl SOCKET COMMAND...");
  Connection link;
  if (const Result<void> opened = link.open(words[0]); !opened.ok()) return fail(opened.error().message);
  const std::vector<std::string> command(words.begin() + 1, words.end());
  std::string line;
  for (const std::string& word : command) line += (line.empty() ? "" : " ") + word;
  while (link.text.empty())
    if (!link.receive()) return fail("the machine does not answer: ctl " + words[0]);
  return link.text.starts_with('{') ? by_qmp(link, command, line) : by_monitor(link, line);
}

}  // namespace xm::cli
