// SPDX-License-Identifier: GPL-2.0-or-later
// Drive: what a disk controller has on its cable: a slot that holds a medium (a BlockBackend) or none. Hard disks keep
// theirs for ever; CD and floppy media are changed by the monitor and ejected by the guest.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "devices/block/block_backend.h"

namespace xm::devices {

// The controller's ear at its drive. Machine lock held.
class DriveListener {
 public:
  // Another medium (or none) is in the drive, the tray is closed.
  virtual void medium_changed() {}
  // The user pushed the eject button of a drive whose tray the guest has locked.
  virtual void eject_requested() {}
  // The medium has a new size.
  virtual void resized() {}

 protected:
  ~DriveListener() = default;
};

struct DriveIdentity {
  std::string serial = {};  // as given by the user; empty: the controller's default
  std::string model = {};
};

class Drive {
 public:
  Drive() = default;
  explicit Drive(std::shared_ptr<BlockBackend> medium, DriveIdentity identity = {})
      : medium_(std::move(medium)), identity_(std::move(identity)) {}
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  // For the controller.
  void set_listener(DriveListener* listener) { listener_ = listener; }
  // The medium that can be read and written now, or null: none, or the tray is open. Copy the pointer to keep the
  // medium alive.
  BlockBackend* medium() const { return tray_open_ ? nullptr : medium_.get(); }
  std::shared_ptr<BlockBackend> shared_medium() const { return medium_; }
  u64 size_bytes() const { return medium() != nullptr ? medium()->size_bytes() : 0; }
  const DriveIdentity& identity() const { return identity_; }
  bool tray_open() const { return tray_open_; }
  bool tray_locked() const { return tray_locked_; }
  void set_tray_open(bool open) { tray_open_ = open; }
  void set_tray_locked(bool locked) { tray_locked_ = locked; }

  // For the user's side. eject() is false (and asks the guest) if the guest has locked the tray and `force` is not set.
  bool eject(bool force) {
    if (tray_locked_ && !force) {
      if (listener_ != nullptr) listener_->eject_requested();
      return false;
    }
    tray_locked_ = false;
    tray_open_ = true;
    change(nullptr);
    return true;
  }
  void insert(std::shared_ptr<BlockBackend> medium) {
    tray_open_ = false;
    change(std::move(medium));
  }
  void notify_resized() {
    if (listener_ != nullptr) listener_->resized();
  }

 private:
  void change(std::shared_ptr<BlockBackend> medium) {
    if (medium_ != nullptr) medium_->drain();
    medium_ = std::move(medium);
    if (listener_ != nullptr) listener_->medium_changed();
  }

  std::shared_ptr<BlockBackend> medium_;
  DriveIdentity identity_;
  DriveListener* listener_ = nullptr;
  bool tray_open_ = false;
  bool tray_locked_ = false;
};

}  // namespace xm::devices
