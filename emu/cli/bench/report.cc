// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace xm::cli::bench {

namespace {

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

const Figure* find(const Report& report, const std::string& contestant, const std::string& program) {
  const auto row = report.figures.find(contestant);
  if (row == report.figures.end()) return nullptr;
  const auto figure = row->second.find(program);
  return figure == row->second.end() ? nullptr : &figure->second;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (c != '\r')
      out += c;
  }
  return out + "\"";
}

}  // namespace

std::vector<std::string> unequal_programs(const Report& report) {
  std::vector<std::string> unequal;
  for (const std::string& program : report.programs) {
    std::string hash;
    for (const std::string& contestant : report.contestants) {
      const Figure* figure = find(report, contestant, program);
      if (figure == nullptr || figure->hash.empty()) continue;
      if (!hash.empty() && hash != figure->hash) {
        unequal.push_back(program);
        break;
      }
      hash = figure->hash;
    }
  }
  return unequal;
}

std::string as_table(const Report& report) {
  std::string text = format("%-18s", "CPU milliseconds");
  for (const std::string& contestant : report.contestants) text += format(" %20s", contestant.c_str());
  text += "\n";
  for (const std::string& program : report.programs) {
    text += format("%-18s", program.c_str());
    for (const std::string& contestant : report.contestants) {
      const Figure* figure = find(report, contestant, program);
      text += figure == nullptr ? format(" %20s", "-")
                                : format(" %12.1f +-%3.0f %%", figure->median * 1e3, figure->spread * 50);
      if (figure != nullptr) text += "  ";
    }
    text += "\n";
  }
  text += format(
      "\nMedians of %u interleaved runs, half the distance between the extremes in percent. The time is the CPU time "
      "of the whole process.\n",
      report.rounds);
  const std::vector<std::string> unequal = unequal_programs(report);
  text += unequal.empty() ? "Results (hashes) are the same everywhere.\n" : "RESULTS DIFFER:";
  for (const std::string& program : unequal) text += " " + program;
  if (!unequal.empty()) text += "\n";
  for (const auto& [contestant, error] : report.errors) text += contestant + ": " + error + "\n";
  for (const auto& [contestant, exits] : report.exits) text += "\nexits of " + contestant + " by cause:\n" + exits;
  text += "\nKVM here: " + report.kvm + "\n";
  return text;
}

std::string as_json(const Report& report) {
  std::string text = "{\n  \"kvm\": " + quoted(report.kvm) +
                     format(",\n  \"rounds\": %u,\n  \"unit\": \"CPU seconds\",\n", report.rounds);
  text += "  \"results\": [";
  bool first = true;
  for (const std::string& contestant : report.contestants) {
    for (const std::string& program : report.programs) {
      const Figure* figure = find(report, contestant, program);
      if (figure == nullptr) continue;
      text += format("%s\n    {\"engine\": %s, \"program\": %s, \"median\": %.6f, \"spread\": %.4f, \"hash\": %s}",
                     first ? "" : ",", quoted(contestant).c_str(), quoted(program).c_str(), figure->median,
                     figure->spread, quoted(figure->hash).c_str());
      first = false;
    }
  }
  text += "\n  ],\n  \"exits\": {";
  first = true;
  for (const auto& [contestant, exits] : report.exits) {
    text += (first ? "\n    " : ",\n    ") + quoted(contestant) + ": " + quoted(exits);
    first = false;
  }
  text += std::string("\n  },\n  \"same_results\": ") + (unequal_programs(report).empty() ? "true" : "false") + "\n}\n";
  return text;
}

// Horizontal bars on a logarithmic scale, a group for each program: short is fast.
std::string as_svg(const Report& report) {
  constexpr int kLeft = 160, kWidth = 560, kBar = 12, kGap = 10;
  constexpr double kShortest = 1e-3, kLongest = 1e3;
  static constexpr const char* kColours[] = {"#1b6ca8", "#d1495b", "#66a182", "#edae49", "#8d6cab"};
  const int group = static_cast<int>(report.contestants.size()) * kBar + kGap;
  const int height = 60 + group * static_cast<int>(report.programs.size());
  std::string text = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kLeft + kWidth + 90, height);
  int x = kLeft;
  for (std::size_t i = 0; i < report.contestants.size(); i++) {
    text +=
        format("<rect x=\"%d\" y=\"12\" width=\"10\" height=\"10\" fill=\"%s\"/><text x=\"%d\" y=\"21\">%s</text>\n", x,
               kColours[i % std::size(kColours)], x + 14, report.contestants[i].c_str());
    x += 110;
  }
  int y = 40;
  for (const std::string& program : report.programs) {
    text += format("<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", kLeft - 8, y + kBar, program.c_str());
    for (std::size_t i = 0; i < report.contestants.size(); i++, y += kBar) {
      const Figure* figure = find(report, report.contestants[i], program);
      if (figure == nullptr) continue;
      const double part =
          std::log(std::clamp(figure->median, kShortest, kLongest) / kShortest) / std::log(kLongest / kShortest);
      text += format(
          "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/><text x=\"%.1f\" y=\"%d\">%.1f "
          "ms</text>\n",
          kLeft, y, std::max(1.0, part * kWidth), kBar - 2, kColours[i % std::size(kColours)],
          kLeft + part * kWidth + 6, y + kBar - 3, figure->median * 1e3);
    }
    y += kGap;
  }
  text +=
      format("<text x=\"%d\" y=\"%d\">CPU time, logarithmic; shorter is faster</text>\n</svg>\n", kLeft, height - 6);
  return text;
}

}  // namespace xm::cli::bench
