// SPDX-License-Identifier: GPL-2.0-or-later
// Reading of test programs and their descriptions.
#include "tests/cpu/programs/program_case.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace xm::cpu::programs {
namespace {

using Json = nlohmann::json;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// Digits may be grouped by underscores.
u64 number(const Json& value) {
  if (!value.is_string()) return value.get<u64>();
  std::string digits = value.get<std::string>();
  std::erase(digits, '_');
  return std::stoull(digits, nullptr, 0);
}

// Groups of hexadecimal digits between blanks; each is a number stored with its lowest byte first.
std::vector<u8> hexadecimal(const std::string& text) {
  std::vector<u8> bytes;
  std::istringstream groups(text);
  for (std::string group; groups >> group;) {
    if (group.starts_with("0x")) group.erase(0, 2);
    while (!group.empty()) {
      const size_t digits = std::min<size_t>(2, group.size());
      bytes.push_back(static_cast<u8>(std::stoul(group.substr(group.size() - digits), nullptr, 16)));
      group.resize(group.size() - digits);
    }
  }
  return bytes;
}

void describe(ProgramCase& program, const Json& description) {
  for (const auto& [raw_key, value] : description.items()) {
    const std::string key = upper(raw_key);
    if (key == "MODE") program.is_64 = upper(value.get<std::string>()) != "32BIT";
    if (key == "REGDATA") {
      for (const auto& [name, wanted] : value.items()) {
        std::vector<u64>& words = program.registers[upper(name)];
        if (!wanted.is_array()) words.push_back(number(wanted));
        if (wanted.is_array()) std::transform(wanted.begin(), wanted.end(), std::back_inserter(words), number);
      }
    }
    if (key == "MEMORYREGIONS") {
      for (const auto& [address, size] : value.items())
        program.regions[std::stoull(address, nullptr, 0)] = number(size);
    }
    if (key == "MEMORYDATA") {
      for (const auto& [address, bytes] : value.items()) {
        program.contents[std::stoull(address, nullptr, 0)] = hexadecimal(bytes.get<std::string>());
      }
    }
    if (key == "HOSTFEATURES") {
      for (const Json& feature : value) program.features.push_back(upper(feature.get<std::string>()));
    }
  }
}

}  // namespace

Result<ProgramCase> load_program(const std::filesystem::path& description) {
  ProgramCase program;
  program.name = description.stem();
  std::ifstream text(description);
  // The third argument makes the parser return a value instead of throwing.
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error{"not a description in JSON: " + description.string()};
  try {
    describe(program, json);
  } catch (const std::exception& problem) {  // the library's and std::stoull's way to say so
    return Error{std::string(problem.what()) + ": " + description.string()};
  }
  std::ifstream code(std::filesystem::path(description).replace_extension(".bin"), std::ios::binary);
  if (!code) return Error{"no machine code beside " + description.string()};
  program.code.assign(std::istreambuf_iterator<char>(code), {});
  return program;
}

}  // namespace xm::cpu::programs
