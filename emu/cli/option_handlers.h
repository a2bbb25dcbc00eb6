// SPDX-License-Identifier: GPL-2.0-or-later
// What each option of `xiaoma run` does to the Config. Called by the table in options.cc.
#pragma once

#include <string>

#include "emu/base/result.h"
#include "emu/machine/config.h"

namespace xm::cli {

Result<void> handle_name(machine::Config& config, const std::string& value);
Result<void> handle_machine(machine::Config& config, const std::string& value);
Result<void> handle_accel(machine::Config& config, const std::string& value);
Result<void> handle_enable_kvm(machine::Config& config, const std::string& value);
Result<void> handle_smp(machine::Config& config, const std::string& value);
Result<void> handle_memory(machine::Config& config, const std::string& value);
Result<void> handle_rtc(machine::Config& config, const std::string& value);
Result<void> handle_boot(machine::Config& config, const std::string& value);
// "key=value,..." or a JSON object, flattened ("file.filename"); `implied` is the key of a first part without "=".
Result<std::map<std::string, std::string>> parse_properties(const std::string& value, const char* implied,
                                                            const char* option);
Result<void> handle_object(machine::Config& config, const std::string& value);
Result<void> handle_blockdev(machine::Config& config, const std::string& value);
Result<void> handle_drive(machine::Config& config, const std::string& value);
Result<void> handle_hda(machine::Config& config, const std::string& value);
Result<void> handle_hdb(machine::Config& config, const std::string& value);
Result<void> handle_hdc(machine::Config& config, const std::string& value);
Result<void> handle_hdd(machine::Config& config, const std::string& value);
Result<void> handle_cdrom(machine::Config& config, const std::string& value);
Result<void> handle_fda(machine::Config& config, const std::string& value);
Result<void> handle_fdb(machine::Config& config, const std::string& value);
Result<void> handle_netdev(machine::Config& config, const std::string& value);
Result<void> handle_nic(machine::Config& config, const std::string& value);
Result<void> handle_net(machine::Config& config, const std::string& value);
Result<void> handle_uuid(machine::Config& config, const std::string& value);
Result<void> handle_device(machine::Config& config, const std::string& value);
Result<void> handle_vga(machine::Config& config, const std::string& value);
Result<void> handle_serial(machine::Config& config, const std::string& value);
Result<void> handle_debugcon(machine::Config& config, const std::string& value);
Result<void> handle_chardev(machine::Config& config, const std::string& value);
Result<void> handle_display(machine::Config& config, const std::string& value);
Result<void> handle_nographic(machine::Config& config, const std::string& value);
Result<void> handle_monitor(machine::Config& config, const std::string& value);
Result<void> handle_lockstep(machine::Config& config, const std::string& value);
Result<void> handle_switch_at(machine::Config& config, const std::string& value);
Result<void> handle_qmp(machine::Config& config, const std::string& value);
Result<void> handle_mon(machine::Config& config, const std::string& value);
Result<void> handle_gdb(machine::Config& config, const std::string& value);
Result<void> handle_gdb_default(machine::Config& config, const std::string& value);
Result<void> handle_vnc(machine::Config& config, const std::string& value);
Result<void> handle_icount(machine::Config& config, const std::string& value);
Result<void> handle_budget(machine::Config& config, const std::string& value);
Result<void> handle_log_items(machine::Config& config, const std::string& value);

// QEMU's words for a character device ("unix:PATH,server=on"); `option` names it in errors.
Result<machine::CharConfig> parse_char(const machine::Config& config, const std::string& value, const char* option);

// Checks what only the whole command line can tell (e.g. -initrd without -kernel) and fills defaults.
Result<void> finish_config(machine::Config& config);

}  // namespace xm::cli
