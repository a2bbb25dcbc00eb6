// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/symbols.h"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>

#include <cstdlib>
#include <cstring>

namespace xm::trace {

namespace {

const Dwfl_Callbacks kCallbacks{.find_elf = dwfl_build_id_find_elf,
                                .find_debuginfo = dwfl_standard_find_debuginfo,
                                .section_address = dwfl_offline_section_address,
                                .debuginfo_path = nullptr};

// C++ names as people write them, without their parameters.
std::string readable(const char* name) {
  int status = 0;
  char* plain = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string text = status == 0 ? plain : name;
  std::free(plain);
  static constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  for (size_t at = text.find(kAnonymous); at != std::string::npos; at = text.find(kAnonymous)) {
    text.erase(at, kAnonymous.size());
  }
  const size_t parameters = text.find('(');
  if (status == 0 && parameters != std::string::npos && parameters != 0) text.resize(parameters);
  return text;
}

struct NameSearch {
  const char* name;
  std::optional<u64> found;
};

int look_in_module(Dwfl_Module* module, void**, const char*, Dwarf_Addr, void* argument) {
  auto* search = static_cast<NameSearch*>(argument);
  const int count = dwfl_module_getsymtab(module);
  for (int i = 1; i < count; i++) {
    GElf_Sym symbol;
    GElf_Addr address = 0;
    const char* name = dwfl_module_getsym_info(module, i, &symbol, &address, nullptr, nullptr, nullptr);
    if (name == nullptr || symbol.st_shndx == SHN_UNDEF) continue;
    if (std::strcmp(name, search->name) != 0 && readable(name) != search->name) continue;
    search->found = address;
    return DWARF_CB_ABORT;
  }
  return DWARF_CB_OK;
}

}  // namespace

struct Symbols::Parts {
  Dwfl* dwfl = nullptr;
  std::unordered_map<u64, Place> cache;
  ~Parts() {
    if (dwfl != nullptr) dwfl_end(dwfl);
  }
};

Symbols::Symbols() : parts_(std::make_unique<Parts>()) {}
Symbols::~Symbols() = default;
Symbols::Symbols(Symbols&&) noexcept = default;
Symbols& Symbols::operator=(Symbols&&) noexcept = default;

bool Symbols::empty() const { return parts_->dwfl == nullptr; }

Result<void> Symbols::add(const std::string& path) {
  if (parts_->dwfl == nullptr) {
    parts_->dwfl = dwfl_begin(&kCallbacks);
    if (parts_->dwfl == nullptr) return Error{"cannot read symbols: " + path + ": " + dwfl_errmsg(-1)};
  }
  dwfl_report_begin_add(parts_->dwfl);
  Dwfl_Module* module = dwfl_report_offline(parts_->dwfl, path.c_str(), path.c_str(), -1);
  const std::string why = module == nullptr ? dwfl_errmsg(-1) : "";
  dwfl_report_end(parts_->dwfl, nullptr, nullptr);
  if (module == nullptr) return Error{"cannot read symbols: " + path + ": " + why};
  GElf_Addr bias = 0;
  if (dwfl_module_getelf(module, &bias) == nullptr || dwfl_module_getsymtab(module) <= 0)
    return Error{"no symbols: " + path + "; is it stripped?"};
  return {};
}

std::optional<u64> Symbols::address_of(const std::string& name) const {
  NameSearch search{.name = name.c_str(), .found = std::nullopt};
  if (parts_->dwfl != nullptr) dwfl_getmodules(parts_->dwfl, look_in_module, &search, 0);
  return search.found;
}

const Place& Symbols::at(u64 linear) {
  const auto known = parts_->cache.find(linear);
  if (known != parts_->cache.end()) return known->second;
  Place place;
  Dwfl_Module* module = parts_->dwfl == nullptr ? nullptr : dwfl_addrmodule(parts_->dwfl, linear);
  if (module != nullptr) {
    GElf_Off offset = 0;
    GElf_Sym symbol;
    if (const char* name = dwfl_module_addrinfo(module, linear, &offset, &symbol, nullptr, nullptr, nullptr)) {
      place.function = readable(name);
      place.offset = offset;
    }
    if (Dwfl_Line* line = dwfl_module_getsrc(module, linear)) {
      int number = 0;
      const char* file = dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr);
      const char* slash = file == nullptr ? nullptr : std::strrchr(file, '/');
      if (file != nullptr)
        place.source = std::string(slash == nullptr ? file : slash + 1) + ":" + std::to_string(number);
    }
  }
  return parts_->cache.emplace(linear, std::move(place)).first->second;
}

Result<u64> symbol_address(const std::string& elf, const std::string& name) {
  Symbols symbols;
  TRY(symbols.add(elf));
  const auto address = symbols.address_of(name);
  if (!address) return Error{"no such symbol: " + name + ": " + elf};
  return *address;
}

}  // namespace xm::trace
