// SPDX-License-Identifier: GPL-2.0-or-later
// Exit statuses of `xiaoma run`; scripts depend on these numbers.
#pragma once

namespace xm::exit_status {

inline constexpr int kOk = 0;                     // powered off, or reset under -no-reboot
inline constexpr int kGuestPanic = 100;           // pvpanic or the bundled kernel's panic
inline constexpr int kTripleFault = 101;          // triple fault under -no-reboot
inline constexpr int kReplayDivergence = 110;     // replay did not follow the recording
inline constexpr int kSinkFull = 111;             // trace or record sink full
inline constexpr int kIncompatible = 112;         // incompatible snapshot or recording
inline constexpr int kImage = 113;                // image corrupt or locked
inline constexpr int kStoppedWithSnapshot = 114;  // stopped with a snapshot, resumable
inline constexpr int kUnimplemented = 120;        // something unimplemented was touched under -strict
inline constexpr int kInternal = 121;             // internal check
inline constexpr int kBudget = 124;               // time or instruction budget used up
inline constexpr int kUsage = 125;                // usage or configuration error
inline constexpr int kNoKvm = 126;                // no usable KVM for an explicit -accel kvm

}  // namespace xm::exit_status
