// SPDX-License-Identifier: GPL-2.0-or-later
// The figures of `xiaoma bench` as a table, as JSON and as an SVG chart.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace xm::cli::bench {

struct Figure {
  double median = 0;  // CPU seconds
  double spread = 0;  // (largest - smallest) / median
  std::string hash;
};

struct Report {
  std::string kvm;                                               // what kind of KVM this host has
  std::vector<std::string> contestants;                          // columns
  std::vector<std::string> programs;                             // rows
  std::map<std::string, std::map<std::string, Figure>> figures;  // by contestant, program
  std::map<std::string, std::string> exits;                      // by contestant
  std::map<std::string, std::string> errors;                     // by contestant
  unsigned rounds = 0;
};

// Programs whose result differs between contestants.
std::vector<std::string> unequal_programs(const Report& report);
std::string as_table(const Report& report);
std::string as_json(const Report& report);
std::string as_svg(const Report& report);

}  // namespace xm::cli::bench
