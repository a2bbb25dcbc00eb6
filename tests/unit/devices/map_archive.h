// SPDX-License-Identifier: GPL-2.0-or-later
// An Archive in a map, for tests of save and load.
#pragma once

#include <cstring>
#include <map>
#include <string>

#include "emu/bus/archive.h"

namespace xm::devices {

class MapArchive final : public bus::Archive {
 public:
  using Fields = std::map<std::string, std::vector<u8>>;
  MapArchive() = default;
  explicit MapArchive(Fields fields) : fields_(std::move(fields)), loading_(true) {}

  bool loading() const override { return loading_; }
  u32 begin(std::string_view name, u32 version) override {
    path_ += std::string(name) + "/";
    return version;
  }
  void end() override { path_.erase(path_.rfind('/', path_.size() - 2) + 1); }
  const Fields& fields() const { return fields_; }

 protected:
  void exchange_number(std::string_view name, u64& value) override {
    exchange_bytes(name, {reinterpret_cast<u8*>(&value), sizeof value});
  }
  void exchange_bytes(std::string_view name, std::span<u8> bytes) override {
    std::vector<u8>& field = fields_[path_ + std::string(name)];
    if (!loading_) {
      field.assign(bytes.begin(), bytes.end());
    } else if (field.size() == bytes.size()) {
      std::copy(field.begin(), field.end(), bytes.begin());
    }
  }
  void exchange_blob(std::string_view name, std::vector<u8>& bytes) override {
    std::vector<u8>& field = fields_[path_ + std::string(name)];
    (loading_ ? bytes : field) = loading_ ? field : bytes;
  }

 private:
  Fields fields_;
  std::string path_;
  bool loading_ = false;
};

}  // namespace xm::devices
