// SPDX-License-Identifier: GPL-2.0-or-later
// CPUID against the features of the model and the parser of -cpu. [SDM2 CPUID]
#include "cpu/system/cpuid.h"

#include <gtest/gtest.h>

#include "cpu/state/cpu_state.h"
#include "emu/base/bits.h"

namespace xm::cpu {
namespace {

CpuModel model_of(std::string_view text) {
  auto result = CpuModel::parse(text);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? result.value() : CpuModel();
}

TEST(Cpuid, DefaultModelReportsLongModeAndAvx2) {
  const CpuModel model;
  EXPECT_TRUE(has_bit(model.cpuid(0x80000001, 0, {}).edx, 29));
  EXPECT_TRUE(has_bit(model.cpuid(7, 0, {}).ebx, 5));
  EXPECT_TRUE(feature_enabled(model, Feature::Avx2));
}

TEST(Cpuid, EveryInstructionFeatureIsReportedWhereItsBitStands) {
  const CpuModel model;
  for (unsigned i = 1; i < kFeatureCount; ++i) {
    const auto feature = static_cast<Feature>(i);
    const FeatureBit where = feature_bit(feature);
    const CpuidResult leaf = model.cpuid(where.leaf, where.subleaf, {});
    const u32 registers[] = {leaf.eax, leaf.ebx, leaf.ecx, leaf.edx};
    EXPECT_EQ(has_bit(registers[static_cast<unsigned>(where.reg)], where.bit), model.has(feature))
        << feature_name(feature);
  }
}

TEST(Cpuid, ModelsGrowByGeneration) {
  EXPECT_FALSE(model_of("486").has(Feature::Tsc));
  EXPECT_TRUE(model_of("pentium").has(Feature::Cx8));
  EXPECT_FALSE(model_of("pentium").has(Feature::Sse));
  EXPECT_FALSE(model_of("qemu64").has(Feature::Ssse3));
  EXPECT_TRUE(model_of("Nehalem").has(Feature::Sse42));
  EXPECT_FALSE(model_of("Nehalem").has(Feature::Avx));
  EXPECT_TRUE(model_of("Haswell").has(Feature::Bmi2));
  EXPECT_FALSE(model_of("Haswell").has(Feature::Adx));
}

TEST(Cpuid, SwitchesAddAndRemoveFeatures) {
  const CpuModel model = model_of("qemu64,+ssse3,sse4.1=on,-nx");
  EXPECT_TRUE(model.has(Feature::Ssse3));
  EXPECT_TRUE(model.has(Feature::Sse41));
  EXPECT_FALSE(model.has(SystemFeature::Nx));
}

TEST(Cpuid, FeatureGoesWithTheOneItStandsOn) {
  const CpuModel model = model_of("max,-xsave");
  EXPECT_FALSE(model.has(Feature::Avx));
  EXPECT_FALSE(model.has(Feature::Avx2));
  EXPECT_FALSE(model.has(Feature::Fma));
  EXPECT_FALSE(model.has(Feature::Xsaveopt));
}

TEST(Cpuid, UnknownNamesAreRefused) {
  EXPECT_FALSE(CpuModel::parse("i9-99000").ok());
  EXPECT_FALSE(CpuModel::parse("max,+avx512f").ok());
  EXPECT_FALSE(CpuModel::parse("max,avx=maybe").ok());
  EXPECT_TRUE(CpuModel::parse("max,-vmx").ok()) << "what is not there may be taken away";
}

TEST(Cpuid, OsxsaveFollowsCr4) {
  const CpuModel model;
  EXPECT_FALSE(has_bit(model.cpuid(1, 0, {}).ecx, 27));
  EXPECT_TRUE(has_bit(model.cpuid(1, 0, {.cr4 = cr4::kOsxsave}).ecx, 27));
}

TEST(Cpuid, SignatureHasExtendedModel) {
  EXPECT_EQ(model_of("Skylake-Client").signature(), 0x506E3u);
  EXPECT_EQ(model_of("Haswell").cpuid(1, 0, {}).eax, 0x306C4u);
}

TEST(Cpuid, VendorChangesLeaves) {
  const CpuModel intel;
  const CpuModel amd = model_of("EPYC");
  EXPECT_EQ(intel.cpuid(0, 0, {}).ebx, 0x756E6547u);  // "Genu"
  EXPECT_EQ(amd.cpuid(0, 0, {}).ebx, 0x68747541u);    // "Auth"
  EXPECT_EQ(amd.cpuid(0x80000000, 0, {}).edx, 0x69746E65u);
  EXPECT_TRUE(has_bit(amd.cpuid(0x80000001, 0, {}).edx, 0)) << "AMD repeats the FPU bit";
  EXPECT_EQ(amd.signature(), 0x800F12u);
  EXPECT_FALSE(CpuModel::parse("max,vendor=CyrixInstead").ok());
}

TEST(Cpuid, XsaveSizeFollowsXcr0) {
  const CpuModel model;
  EXPECT_EQ(model.cpuid(0xD, 0, {.xcr0 = 3}).ebx, 576u);
  EXPECT_EQ(model.cpuid(0xD, 0, {.xcr0 = 7}).ebx, 832u);
  EXPECT_EQ(model.cpuid(0xD, 0, {}).ecx, 832u);
  EXPECT_EQ(model.cpuid(0xD, 2, {}).ebx, 576u);
  EXPECT_EQ(model_of("max,-avx").cpuid(0xD, 0, {}).ecx, 576u);
}

TEST(Cpuid, TopologyCountsThreadsAndCores) {
  auto parsed = CpuModel::parse("max", {.sockets = 1, .cores = 4, .threads = 2});
  ASSERT_TRUE(parsed.ok());
  const CpuModel& model = parsed.value();
  EXPECT_EQ(bits(model.cpuid(1, 0, {}).ebx, 23, 16), 8u);
  EXPECT_TRUE(has_bit(model.cpuid(1, 0, {}).edx, 28));
  const CpuidResult threads = model.cpuid(0xB, 0, {.apic_id = 5});
  EXPECT_EQ(threads.eax, 1u);
  EXPECT_EQ(threads.ebx, 2u);
  EXPECT_EQ(threads.edx, 5u);
  const CpuidResult cores = model.cpuid(0xB, 1, {});
  EXPECT_EQ(cores.eax, 3u);
  EXPECT_EQ(cores.ebx, 8u);
  EXPECT_EQ(bits(model.cpuid(0xB, 2, {}).ecx, 15, 8), 0u);
}

TEST(Cpuid, ClockLeafGivesTheTscFrequency) {
  const CpuidResult leaf = CpuModel().cpuid(0x15, 0, {.tsc_frequency_hz = 2'100'000'000});
  EXPECT_EQ(u64{leaf.ecx} * leaf.ebx / leaf.eax, 2'100'000'000u);
}

TEST(Cpuid, PhysicalAddressBitsCanBeChosen) {
  Result<CpuModel> model = CpuModel::parse("max,phys-bits=36");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->physical_address_bits(), 36u);
  EXPECT_EQ(model->cpuid(0x80000008, 0, {}).eax & 0xFF, 36u);
  for (const char* wrong : {"max,phys-bits=31", "max,phys-bits=53", "max,phys-bits=x", "max,phys-bits="})
    EXPECT_FALSE(CpuModel::parse(wrong).ok()) << wrong;
}

TEST(Cpuid, LeavesBeyondTheLastAnswerAsTheHighestBasicOne) {
  const CpuModel model;
  const CpuidContext context{.tsc_frequency_hz = 1'000'000'000};
  EXPECT_EQ(model.cpuid(0x7FFFFFFF, 0, context).eax, model.cpuid(0x16, 0, context).eax);
  EXPECT_NE(model.cpuid(0x7FFFFFFF, 0, context).eax, 0u);
}

}  // namespace
}  // namespace xm::cpu
