// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/session.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "emu/base/exit_status.h"
#include "emu/trace/text.h"
#include "emu/trace/writer.h"

namespace xm::trace {

namespace {

// format=bin
class BinarySink final : public Sink {
 public:
  explicit BinarySink(std::unique_ptr<FileWriter> writer) : writer_(std::move(writer)) {}
  void put(Frame frame) override { writer_->put(std::move(frame)); }
  Result<void> close() override { return writer_->close(); }

 private:
  std::unique_ptr<FileWriter> writer_;
};

// format=text: the lines of `xiaoma trace show`, written by the vCPU threads in turn.
class TextSink final : public Sink {
 public:
  TextSink(std::FILE* file, std::string path, bool details, Symbols symbols)
      : file_(file), path_(std::move(path)), details_(details), symbols_(std::move(symbols)), lines_(symbols_, {}) {}
  ~TextSink() override {
    if (file_ != nullptr) std::fclose(file_);
  }

  void put(Frame frame) override {
    const std::scoped_lock lock(mutex_);
    std::deque<Stretch>& code = code_[frame.vcpu];
    if (frame.type == FrameType::Code) {
      CHECK(parse_code(frame.payload, frame.first, frame.count, code));
      return;
    }
    RunParser parser(std::move(frame.payload), frame.vcpu, frame.first, frame.guest_ns, details_, code);
    Item item;
    while (parser.next(item)) write(item);
  }

  Result<void> close() override {
    const bool good = std::ferror(file_) == 0;
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (good && closed) return {};
    return Error{"cannot write trace: " + path_ + ": " + std::strerror(closed ? EIO : errno), exit_status::kSinkFull};
  }

 private:
  void write(const Item& item) {
    if (item.kind == Item::Kind::Event) return emit(lines_.event(item));
    if (item.kind == Item::Kind::Gap) return emit(lines_.gap(item));
    Expander expander;
    expander.begin(item);
    Item one;
    u64 linear = 0;
    std::string_view bytes;
    while (expander.next(one, linear, bytes)) emit(lines_.instruction(one, linear, bytes));
  }
  void emit(const std::string& line) { std::fwrite(line.data(), 1, line.size(), file_); }

  std::FILE* file_;
  std::string path_;
  const bool details_;
  std::mutex mutex_;
  Symbols symbols_;
  LineWriter lines_;
  std::map<unsigned, std::deque<Stretch>> code_;
};

Result<void> resolve(Moment& moment, const std::string& elf) {
  if (moment.kind != Moment::Kind::Address || moment.text.empty()) return {};
  moment.number = TRY(symbol_address(elf, moment.text));
  return {};
}

Result<std::unique_ptr<Sink>> open_sink(machine::Machine& machine, const Options& options) {
  const u32 contents = (options.registers ? kWithRegisters : 0) | (options.accesses ? kWithAccesses : 0);
  if (!options.text) {
    const auto failed = [&machine](const std::string& why) {
      std::fprintf(stderr, "xiaoma: error: %s\n", why.c_str());
      machine.request_quit(exit_status::kSinkFull);
    };
    const u32 vcpus = static_cast<u32>(machine.vcpus().size());
    return std::unique_ptr<Sink>(
        std::make_unique<BinarySink>(TRY(FileWriter::open(options.path, contents, vcpus, failed))));
  }
  Symbols symbols;
  if (!options.symbols.empty()) TRY(symbols.add(options.symbols));
  std::FILE* file = std::fopen(options.path.c_str(), "w");
  if (file == nullptr) return Error{"cannot write trace: " + options.path + ": " + std::strerror(errno)};
  return std::unique_ptr<Sink>(std::make_unique<TextSink>(file, options.path, contents != 0, std::move(symbols)));
}

}  // namespace

Session::Session(machine::Machine& machine, Options options)
    : machine_(machine), options_(std::move(options)), control_(options_) {}

Result<std::unique_ptr<Session>> Session::start(machine::Machine& machine, const std::string& words) {
  Options options = TRY(parse_options(words));
  TRY(resolve(options.start, options.symbols));
  TRY(resolve(options.stop, options.symbols));
  std::unique_ptr<Session> session(new Session(machine, std::move(options)));
  session->sink_ = TRY(open_sink(machine, session->options_));
  for (unsigned i = 0; i < machine.vcpus().size(); i++) {
    session->recorders_.push_back(std::make_unique<Recorder>(i, session->options_, session->control_, *session->sink_));
    machine::VcpuThread& vcpu = *machine.vcpus()[i];
    if (!vcpu.set_watch(session->recorders_.back().get()))
      return Error{std::string("engine records no instructions: ") + vcpu.engine().name() + "; use -accel interp"};
    machine.vcpus()[i]->set_port_watch(session.get());
  }
  return session;
}

Session::~Session() {
  if (sink_ != nullptr) static_cast<void>(finish());
}

void Session::port_written(unsigned, Port port, u32 value) { control_.port_written(port, value); }

Result<void> Session::finish() {
  for (auto& vcpu : machine_.vcpus()) {
    vcpu->set_port_watch(nullptr);
    vcpu->set_watch(nullptr);
  }
  for (auto& recorder : recorders_) recorder->finish();
  recorders_.clear();
  const std::unique_ptr<Sink> sink = std::move(sink_);
  Result<void> closed = sink->close();
  if (!closed.ok()) closed.error().exit_status = exit_status::kSinkFull;
  return closed;
}

}  // namespace xm::trace
