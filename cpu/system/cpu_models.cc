// SPDX-License-Identifier: GPL-2.0-or-later
// The models of `-cpu` and the parser of its argument. A model is a generation: it has the features of all before it.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <span>
#include <utility>

#include "cpu/semantics/vector.h"
#include "cpu/system/cpuid.h"
#include "emu/base/bits.h"

namespace xm::cpu {

namespace {

using F = Feature;
using S = SystemFeature;

struct Generation {
  std::span<const F> features;
  std::span<const S> system;
};

constexpr F k486[] = {F::Fpu};
constexpr F kPentium[] = {F::Tsc, F::Msr, F::Cx8};
constexpr S kPentiumSystem[] = {S::Vme, S::De, S::Pse, S::Mce};
constexpr F kPentium3[] = {F::Sep, F::Cmov, F::Mmx, F::Fxsr, F::Sse};
constexpr S kPentium3System[] = {S::Pae, S::Apic, S::Mtrr, S::Pge, S::Mca, S::Pat, S::Pse36, S::Hypervisor};
constexpr F kX86_64[] = {F::Clfsh, F::Sse2, F::Sse3, F::Cx16, F::LahfLm, F::Syscall, F::Lm};
constexpr S kX86_64System[] = {S::Nx, S::Arat, S::X2apic};
constexpr F kCore2[] = {F::Ssse3};
constexpr S kCore2System[] = {S::Ss};
constexpr F kNehalem[] = {F::Sse41, F::Sse42, F::Popcnt, F::Rdtscp};
constexpr S kNehalemSystem[] = {S::InvTsc};
constexpr F kSandyBridge[] = {F::Pclmulqdq, F::Aes, F::Xsave, F::Xsaveopt, F::Avx};
constexpr S kSandyBridgeSystem[] = {S::TscDeadline, S::Pcid, S::TscAdjust, S::Pdpe1gb};
constexpr F kIvyBridge[] = {F::F16c, F::Rdrand, F::Fsgsbase};
constexpr S kIvyBridgeSystem[] = {S::Smep, S::Erms};
constexpr F kHaswell[] = {F::Fma, F::Movbe, F::Bmi1, F::Bmi2, F::Avx2, F::Invpcid, F::Lzcnt};
constexpr S kHaswellSystem[] = {S::ZeroFcsFds, S::FdpExcptnOnly};
constexpr F kBroadwell[] = {F::Rdseed, F::Adx, F::Smap, F::Prefetchw};
constexpr F kSkylake[] = {F::Clflushopt, F::Xsavec, F::Xsaves};
constexpr S kSkylakeSystem[] = {S::Xgetbv1, S::MdClear, S::SpecCtrl, S::Stibp, S::ArchCapabilities, S::Ssbd};
constexpr F kAll[] = {F::Clwb, F::Sha, F::Rdpid, F::Vaes, F::Vpclmulqdq, F::Sse4a, F::Clzero};
constexpr S kAllSystem[] = {S::Umip, S::Fsrm};

constexpr Generation kGenerations[] = {
    {k486, {}},
    {kPentium, kPentiumSystem},
    {kPentium3, kPentium3System},
    {kX86_64, kX86_64System},
    {kCore2, kCore2System},
    {kNehalem, kNehalemSystem},
    {kSandyBridge, kSandyBridgeSystem},
    {kIvyBridge, kIvyBridgeSystem},
    {kHaswell, kHaswellSystem},
    {kBroadwell, {}},
    {kSkylake, kSkylakeSystem},
    {kAll, kAllSystem},
};

struct ModelRow {
  std::string_view name;
  unsigned generation;
  unsigned family, model, stepping;
  std::string_view brand;
  Vendor vendor = Vendor::Intel;
};

constexpr std::string_view kOwnBrand = "Xiaoma Virtual CPU";
constexpr ModelRow kModels[] = {
    {"xiaoma", 11, 6, 94, 3, kOwnBrand},
    {"max", 11, 6, 94, 3, kOwnBrand},
    {"host", 11, 6, 94, 3, kOwnBrand},
    {"base", 3, 6, 15, 1, kOwnBrand},
    {"486", 0, 4, 8, 0, ""},
    {"pentium", 1, 5, 4, 3, ""},
    {"pentium3", 2, 6, 7, 3, ""},
    {"qemu32", 2, 6, 6, 3, kOwnBrand},
    {"qemu64", 3, 6, 15, 1, kOwnBrand},
    {"kvm64", 3, 6, 15, 1, kOwnBrand},
    {"core2duo", 4, 6, 15, 11, "Intel(R) Core(TM)2 Duo CPU"},
    {"Conroe", 4, 6, 15, 3, "Intel(R) Core(TM)2 CPU"},
    {"Penryn", 4, 6, 23, 3, "Intel(R) Core(TM)2 Duo CPU"},
    {"Nehalem", 5, 6, 26, 3, "Intel Core i7 (Nehalem class)"},
    {"Westmere", 5, 6, 44, 1, "Westmere class"},
    {"SandyBridge", 6, 6, 42, 1, "Intel Xeon E312xx (Sandy Bridge class)"},
    {"IvyBridge", 7, 6, 58, 9, "Intel Xeon E3-12xx v2 (Ivy Bridge class)"},
    {"Haswell", 8, 6, 60, 4, "Intel Core Processor (Haswell class)"},
    {"Haswell-noTSX", 8, 6, 60, 1, "Intel Core Processor (Haswell class)"},
    {"Broadwell", 9, 6, 61, 2, "Intel Core Processor (Broadwell class)"},
    {"Broadwell-noTSX", 9, 6, 61, 2, "Intel Core Processor (Broadwell class)"},
    {"Opteron_G1", 3, 15, 6, 1, "AMD Opteron 240 (Gen 1 class)", Vendor::Amd},
    {"Opteron_G2", 3, 15, 6, 1, "AMD Opteron 22xx (Gen 2 class)", Vendor::Amd},
    {"Opteron_G3", 3, 16, 2, 3, "AMD Opteron 23xx (Gen 3 class)", Vendor::Amd},
    {"EPYC", 10, 23, 1, 2, "AMD EPYC Processor", Vendor::Amd},
    {"Skylake-Client", 10, 6, 94, 3, "Intel Core Processor (Skylake class)"},
};

// Spellings that differ by more than case and separators from our names.
struct Alias {
  std::string_view name, feature;
};
constexpr Alias kAliases[] = {{"clflush", "clfsh"},
                              {"abm", "lzcnt"},
                              {"3dnowprefetch", "prefetchw"},
                              {"shani", "sha"},
                              {"pni", "sse3"},
                              {"pclmul", "pclmulqdq"},
                              {"cmpxchg8b", "cx8"},
                              {"i64", "lm"},
                              {"gbpages", "pdpe1gb"},
                              {"tscdeadlinetimer", "tscdeadline"},
                              {"xd", "nx"},
                              {"ibrs", "specctrl"},
                              {"cmpxchg16b", "cx16"}};

constexpr std::string_view kSystemNames[] = {
#define SYSTEM_FEATURE(name, leaf, subleaf, reg, bit) #name,
#include "cpu/system/system_features.def"
#undef SYSTEM_FEATURE
};

// "sse4.1", "SSE4_1" and "sse4-1" are the same name.
std::string normalised(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (std::isalnum(static_cast<unsigned char>(c)))
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Alias& alias : kAliases)
    if (out == alias.name) return std::string(alias.feature);
  return out;
}

// Properties that QEMU's models have and that change nothing here.
bool is_host_property(std::string_view name) {
  constexpr std::string_view kNames[] = {"check", "enforce", "migratable", "pmu", "host-phys-bits", "kvm", "l3-cache"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

u32 signature_of(const ModelRow& row) {
  const u32 family = std::min(row.family, 15u);
  const u32 extended_family = row.family - family;
  return row.stepping | (row.model & 15) << 4 | family << 8 | (row.model >> 4) << 16 | extended_family << 20;
}

}  // namespace

// Sets and clears features of a model under construction.
class CpuModelBuilder {
 public:
  explicit CpuModelBuilder(CpuModel& model) : model_(model) {}

  void start(const ModelRow& row) {
    model_.name_ = row.name;
    model_.brand_ = row.brand;
    model_.signature_ = signature_of(row);
    model_.vendor_ = row.vendor;
    model_.features_ = {};
    model_.system_features_ = {};
    model_.features_[0] = true;  // Base
    for (unsigned i = 0; i <= row.generation; ++i) {
      for (const F feature : kGenerations[i].features) set(feature, true);
      for (const S feature : kGenerations[i].system) set(feature, true);
    }
  }

  bool set_vendor(std::string_view name) {
    if (name != "GenuineIntel" && name != "AuthenticAMD") return false;
    model_.vendor_ = name == "GenuineIntel" ? Vendor::Intel : Vendor::Amd;
    return true;
  }

  void set_topology(Topology topology) { model_.topology_ = topology; }

  bool set_phys_bits(std::string_view word) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < 32 || value > 52) return false;
    model_.phys_bits_ = value;
    return true;
  }

  bool set_by_name(std::string_view name, bool value) {
    const std::string wanted = normalised(name);
    for (unsigned i = 1; i < kFeatureCount; ++i) {
      if (normalised(xm::cpu::feature_name(static_cast<Feature>(i))) != wanted) continue;
      set(static_cast<Feature>(i), value);
      return true;
    }
    for (unsigned i = 0; i < std::size(kSystemNames); ++i) {
      if (normalised(kSystemNames[i]) != wanted) continue;
      set(static_cast<S>(i), value);
      return true;
    }
    return false;
  }

  // Vector instructions execute on the host: those it lacks are not offered.
  void drop_missing_on_host() {
    const semantics::HostVectorFeatures host = semantics::host_vector_features();
    const std::pair<F, bool> offers[] = {{F::Ssse3, host.ssse3}, {F::Sse41, host.sse41}, {F::Sse42, host.sse42},
                                         {F::Aes, host.aes},     {F::Sha, host.sha},     {F::Pclmulqdq, host.pclmulqdq},
                                         {F::Avx, host.avx},     {F::Avx2, host.avx2},   {F::Fma, host.fma},
                                         {F::F16c, host.f16c}};
    for (const auto& [feature, offered] : offers)
      if (!offered) set(feature, false);
  }

  // A feature goes with the one it stands on, and with the vendor that does not have it.
  void drop_orphans() {
    drop_missing_on_host();
    if (model_.vendor() == Vendor::Amd)
      for (const S feature : {S::ArchCapabilities, S::SpecCtrl, S::Stibp, S::Ssbd, S::MdClear, S::TscDeadline, S::Ss})
        set(feature, false);
    struct Need {
      F feature, base;
    };
    constexpr Need kNeeds[] = {
        {F::Sse, F::Fxsr},       {F::Sse2, F::Sse},
        {F::Sse3, F::Sse2},      {F::Ssse3, F::Sse3},
        {F::Sse41, F::Ssse3},    {F::Sse42, F::Sse41},
        {F::Aes, F::Sse2},       {F::Pclmulqdq, F::Sse2},
        {F::Sha, F::Sse2},       {F::Xsave, F::Fxsr},
        {F::Xsaveopt, F::Xsave}, {F::Xsavec, F::Xsave},
        {F::Xsaves, F::Xsavec},  {F::Avx, F::Xsave},
        {F::Avx, F::Sse42},      {F::F16c, F::Avx},
        {F::Fma, F::Avx},        {F::Avx2, F::Avx},
        {F::Vaes, F::Avx},       {F::Vaes, F::Aes},
        {F::Vpclmulqdq, F::Avx}, {F::Vpclmulqdq, F::Pclmulqdq},
        {F::Sse4a, F::Sse3},
    };
    for (const Need& need : kNeeds)
      if (!model_.has(need.base)) set(need.feature, false);
  }

 private:
  void set(F feature, bool value) { model_.features_[static_cast<unsigned>(feature)] = value; }
  void set(S feature, bool value) { model_.system_features_[static_cast<unsigned>(feature)] = value; }

  CpuModel& model_;
};

CpuModel::CpuModel() {
  CpuModelBuilder builder(*this);
  builder.start(kModels[0]);
  builder.drop_orphans();
}

Result<CpuModel> CpuModel::parse(std::string_view specification, Topology topology) {
  const std::string_view name = specification.substr(0, specification.find(','));
  const auto* row = std::find_if(std::begin(kModels), std::end(kModels), [&](const ModelRow& candidate) {
    return normalised(candidate.name) == normalised(name);
  });
  if (row == std::end(kModels))
    return Error{"unknown CPU model: -cpu " + std::string(name) + "; `-cpu help` lists them"};
  CpuModel model;
  CpuModelBuilder builder(model);
  builder.start(*row);
  builder.set_topology(topology);
  std::string_view rest = specification.substr(name.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(item.size());
    if (item.empty()) continue;
    bool value = item[0] != '-';
    if (item[0] == '+' || item[0] == '-') item.remove_prefix(1);
    const std::size_t equals = item.find('=');
    std::string_view feature = item.substr(0, equals);
    if (equals != std::string_view::npos) {
      const std::string_view word = item.substr(equals + 1);
      if (is_host_property(feature)) continue;
      if (feature == "vendor" && builder.set_vendor(word)) continue;
      if (feature == "phys-bits") {
        if (builder.set_phys_bits(word)) continue;
        return Error{"bad value: -cpu " + std::string(item) + "; use 32 to 52"};
      }
      if (word != "on" && word != "off") return Error{"bad value: -cpu " + std::string(item) + "; say on or off"};
      value = word == "on";
    }
    if (is_host_property(feature)) continue;
    if (!builder.set_by_name(feature, value) && value)
      return Error{"unknown or unsupported CPU feature: -cpu ..." + std::string(item) + "; `-cpu help` lists them"};
  }
  builder.drop_orphans();
  return model;
}

std::vector<std::string> CpuModel::model_names() {
  std::vector<std::string> names;
  for (const ModelRow& row : kModels) names.emplace_back(row.name);
  return names;
}

std::vector<std::string> CpuModel::feature_names() {
  std::vector<std::string> names;
  for (unsigned i = 1; i < kFeatureCount; ++i)
    names.push_back(normalised(xm::cpu::feature_name(static_cast<Feature>(i))));
  for (const std::string_view name : kSystemNames) names.push_back(normalised(name));
  return names;
}

}  // namespace xm::cpu
