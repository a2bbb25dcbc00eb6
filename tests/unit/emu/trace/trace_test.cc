// SPDX-License-Identifier: GPL-2.0-or-later
// What the interpreter runs comes out of the file again, instruction for instruction.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "emu/trace/reader.h"
#include "emu/trace/recorder.h"
#include "emu/trace/show.h"
#include "emu/trace/writer.h"
#include "tests/unit/cpu/interp/machine_code.h"

namespace xm::trace {
namespace {

using cpu::test::MachineCode;

struct Line {
  u64 linear;
  std::string bytes;
  bool operator==(const Line&) const = default;
};

class TraceTest : public ::testing::Test {
 protected:
  TraceTest() : path_(::testing::TempDir() + "xm-trace-" + std::to_string(::getpid())) {}
  ~TraceTest() override { ::unlink(path_.c_str()); }

  // Counts down from 50 with a call, a push and a store inside, meets #DE (handler: hlt) at the end.
  static void load_program(MachineCode& m) {
    m.enter_long_mode();
    // mov ecx, 50; L: call F; dec ecx; jnz L; xor eax, eax; div eax
    // F: push rcx; pop rbx; mov [0x5000], rbx; ret
    m.load({0xB9, 50,   0,    0,    0,    0xE8, 8,    0,    0,    0, 0xFF, 0xC9, 0x75, 0xF7, 0x31,
            0xC0, 0xF7, 0xF0, 0x51, 0x5B, 0x48, 0x89, 0x1C, 0x25, 0, 0x50, 0,    0,    0xC3});
    m.load({0xF4}, 0x3000);
    m.bus.poke<u64>(0x4000, 0x0000'8E00'0008'3000);  // gate of vector 0: 0008:3000
    cpu::CpuState state;
    m.engine.get_state(state);
    state.idtr = {.base = 0x4000, .limit = 0xFFF};
    state.gdtr = {.base = 0x6000, .limit = 0xFF};
    m.engine.set_state(state);
    m.bus.poke<u64>(0x6008, 0x00AF'9B00'0000'FFFF);
    m.bus.poke<u64>(0x6010, 0x00CF'9300'0000'FFFF);
  }

  void record(const std::string& words) {
    auto options = parse_options(path_ + words);
    ASSERT_TRUE(options.ok()) << options.error().message;
    Control control(*options);
    const u32 contents = (options->registers ? kWithRegisters : 0) | (options->accesses ? kWithAccesses : 0);
    auto writer = FileWriter::open(path_, contents, 1, [](const std::string&) {});
    ASSERT_TRUE(writer.ok());
    Recorder recorder(0, *options, control, **writer);
    MachineCode m;
    load_program(m);
    ASSERT_TRUE(m.engine.set_watch(&recorder));
    EXPECT_EQ(m.run().kind, cpu::ExitKind::Halt);
    m.engine.set_watch(nullptr);
    recorder.finish();
    ASSERT_TRUE((*writer)->close().ok());
  }

  // The same program, one instruction at a time.
  static std::vector<Line> stepped() {
    MachineCode m;
    load_program(m);
    std::vector<Line> lines;
    while (lines.size() < 10'000) {
      const u64 rip = m.rip();
      const u64 before = m.engine.instructions();
      if (!m.engine.step_one()) break;
      if (m.engine.instructions() != before) lines.push_back({rip, ""});
    }
    return lines;
  }

  std::vector<Line> read_back(std::string* damage = nullptr) {
    auto file = TraceFile::open(path_);
    EXPECT_TRUE(file.ok());
    InstructionCursor cursor(**file);
    Item item;
    Line line;
    std::string_view bytes;
    std::vector<Line> lines;
    while (cursor.next(item, line.linear, bytes)) {
      if (item.kind != Item::Kind::Run) continue;
      EXPECT_EQ(item.number, lines.size());
      lines.push_back({line.linear, ""});
    }
    if (damage != nullptr) *damage = (*file)->damage();
    return lines;
  }

  std::string slurp() {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void spit(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  const std::string path_;
};

TEST_F(TraceTest, HoldsEveryInstructionThatRetired) {
  record("");
  std::string damage;
  const auto lines = read_back(&damage);
  EXPECT_EQ(damage, "");
  EXPECT_EQ(lines.size(), 1u + 50 * 7 + 1 + 1);  // and the HLT; DIV did not retire
  EXPECT_EQ(lines, stepped());
}

TEST_F(TraceTest, HoldsTheFaultBetweenDivisionAndHandler) {
  record("");
  auto file = TraceFile::open(path_);
  Cursor cursor(**file);
  Item item;
  std::vector<u64> around;
  u64 last = 0;
  while (cursor.next(item)) {
    if (item.kind == Item::Kind::Event) {
      EXPECT_EQ(item.event.kind, cpu::WatchedEventKind::Exception);
      EXPECT_EQ(item.event.vector, 0);
      around.push_back(last);
    } else if (!around.empty()) {
      around.push_back(item.stretch->linear);
    }
    last = item.number + item.count * item.times;
  }
  EXPECT_EQ(around, (std::vector<u64>{352, 0x3000}));
}

TEST_F(TraceTest, RecordsWhatEachInstructionChangesAndTouches) {
  record(",regs=on,mem=on");
  auto file = TraceFile::open(path_);
  Cursor cursor(**file);
  Item item;
  std::vector<u64> written;
  u64 rcx = 0;
  while (cursor.next(item)) {
    if (item.kind != Item::Kind::Run) continue;
    ASSERT_EQ(item.count * item.times, 1u);
    if (item.stretch->linear != 0x1014) {
      rcx = item.registers->value[cpu::gpr::kRcx];
      continue;
    }
    ASSERT_EQ(item.accesses.size(), 1u);
    EXPECT_TRUE(item.accesses[0].write);
    EXPECT_EQ(item.accesses[0].linear, 0x5000u);
    written.push_back(static_cast<u8>(item.accesses[0].bytes[0]));
    EXPECT_EQ(written.back(), rcx);
  }
  EXPECT_EQ(written.size(), 50u);
  EXPECT_EQ(written.front(), 50u);
  EXPECT_EQ(written.back(), 1u);
}

TEST_F(TraceTest, RangeKeepsOnlyItsAddresses) {
  record(",range=0x1012-0x1013");
  for (const Line& line : read_back()) EXPECT_TRUE(line.linear == 0x1012 || line.linear == 0x1013);
  EXPECT_EQ(read_back().size(), 100u);
}

TEST_F(TraceTest, StartsAndStopsAtAddressesAndCounts) {
  record(",start=addr:0x100e");
  EXPECT_EQ(read_back().front().linear, 0x100Eu);
  record(",stop=addr:0x1013");
  EXPECT_EQ(read_back().back().linear, 0x1012u);
  EXPECT_EQ(read_back().size(), 3u);
  record(",start=insns:10,stop=insns:20");
  const auto all = stepped();
  EXPECT_EQ(read_back(), std::vector<Line>(all.begin() + 10, all.begin() + 20));
  record(",limit=7");
  EXPECT_EQ(read_back(), std::vector<Line>(all.begin(), all.begin() + 7));
}

TEST_F(TraceTest, LastKeepsTheEnd) {
  record(",last=32");
  auto file = TraceFile::open(path_);
  InstructionCursor cursor(**file);
  Item item;
  std::vector<Line> lines;
  Line line;
  std::string_view bytes;
  while (cursor.next(item, line.linear, bytes))
    if (item.kind == Item::Kind::Run) lines.push_back(line);
  const auto all = stepped();
  EXPECT_GE(lines.size(), 32u);
  EXPECT_LE(lines.size(), 48u);
  EXPECT_EQ(lines, std::vector<Line>(all.end() - static_cast<long>(lines.size()), all.end()));
}

TEST_F(TraceTest, CutOffFilesAreGoodUpToTheCut) {
  record(",regs=on");
  const std::string whole = slurp();
  const auto all = read_back();
  for (size_t size = sizeof(FileHeader); size < whole.size(); size += 13) {
    spit(whole.substr(0, size));
    std::string damage;
    const auto lines = read_back(&damage);
    EXPECT_NE(damage, "") << size;
    ASSERT_LE(lines.size(), all.size());
    EXPECT_TRUE(std::equal(lines.begin(), lines.end(), all.begin()));
  }
}

TEST_F(TraceTest, AlteredFilesAreNoticed) {
  record("");
  const std::string whole = slurp();
  const auto all = read_back();
  for (size_t at = sizeof(FileHeader); at < whole.size() - sizeof(Footer); at++) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x20);
    spit(bytes);
    std::string damage;
    const auto lines = read_back(&damage);
    EXPECT_TRUE(damage != "" || lines == all) << at;
    EXPECT_TRUE(lines.size() <= all.size() && std::equal(lines.begin(), lines.end(), all.begin())) << at;
  }
}

TEST_F(TraceTest, RefusesWhatIsNoTrace) {
  spit("something else entirely, but long enough");
  const auto file = TraceFile::open(path_);
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().message.find("not a trace"), std::string::npos);
}

// A payload may hold anything: the parser ends, says so, and reads nothing that is not there.
TEST(RunParser, SurvivesRandomBytes) {
  std::deque<Stretch> code(1);
  code[0] = {.linear = 0x1000, .code_size = cpu::CodeSize::Bits64, .lengths = {1, 2}, .bytes = "abc"};
  u64 random = 1;
  for (int round = 0; round < 20'000; round++) {
    std::string payload;
    for (int i = 0; i < 24; i++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      payload.push_back(static_cast<char>((random >> 33) & (round % 2 == 0 ? 0x1F : 0xFF)));
    }
    RunParser parser(payload, 0, 0, 0, round % 3 == 0, code);
    Item item;
    int items = 0;
    while (parser.next(item)) {
      ASSERT_LT(++items, 100);
      if (item.kind == Item::Kind::Run) {
        ASSERT_LE(item.first + item.count, 2u);
      }
    }
  }
}

TEST(TraceOptions, SayWhatIsWrong) {
  EXPECT_TRUE(parse_options("f,format=text,range=0x10-0x20,cpl=3,start=serial:login:,stop=port:0xf4=1").ok());
  EXPECT_EQ(parse_options("a,,b,regs=on").value().path, "a,b");
  for (const char* bad :
       {"", ",regs=on", "f,colour=red", "f,format=xml", "f,range=5", "f,range=9-3", "f,cpl=4", "f,start=noon",
        "f,start=symbol:main", "f,limit=0", "f,last=x", "f,regs=maybe", "f,start=port:0x12345"}) {
    EXPECT_FALSE(parse_options(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace xm::trace
