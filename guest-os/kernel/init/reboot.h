// SPDX-License-Identifier: GPL-2.0-or-later
// Reset, power off and halt of the machine; reboot(2) and panic= end here.
#pragma once

namespace xm::os {

[[noreturn]] void machine_restart();
[[noreturn]] void machine_power_off();
[[noreturn]] void machine_halt();

}  // namespace xm::os
