// SPDX-License-Identifier: GPL-2.0-or-later
// ACPI's fixed power button: an SCI becomes KEY_POWER for whoever reads /dev/input, and SIGUSR2 for init, which busybox
// takes as the order to power off. [ACPI 4.8.2.2]. DEVIATION: Linux leaves that to programs; here nobody needs one;
// test: tests/guest/test_devices.py.
#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/input/input.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/softirq.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u16 kButtonStatus = 1 << 8, kSciEnable = 1;
constinit input_dev button{};
constinit work_struct work{};
constinit u16 enable_port = 0;

void tell_init(work_struct*) {
  // A program that reads the button's events decides itself.
  if (button.clients != nullptr) return;
  if (task_struct* init = get_task_by_pid(1)) {
    send_sig(SIGUSR2, init);
    put_task(init);
  }
}

IrqReturn handle_sci(u32, void*) {
  const u16 status = inw(acpi_info.pm1a_event);
  if ((status & kButtonStatus) == 0) return IrqReturn::None;
  outw(acpi_info.pm1a_event, kButtonStatus);
  input_event(&button, EV_KEY, KEY_POWER, 1);
  input_sync(&button);
  input_event(&button, EV_KEY, KEY_POWER, 0);
  input_sync(&button);
  work.func = tell_init;
  schedule_work(&work);
  return IrqReturn::Handled;
}

bool enable_acpi() {
  if ((inw(acpi_info.pm1a_control) & kSciEnable) != 0) return true;
  if (acpi_info.smi_command == 0 || acpi_info.acpi_enable == 0) return false;
  outb(static_cast<u16>(acpi_info.smi_command), acpi_info.acpi_enable);
  for (int i = 0; i < 300; ++i) {
    if ((inw(acpi_info.pm1a_control) & kSciEnable) != 0) return true;
    udelay(1000);
  }
  return false;
}

void power_button_init() {
  if (acpi_info.pm1a_event == 0 || acpi_info.pm1_event_length < 4 || !enable_acpi()) return;
  button.name = "Power Button";
  button.phys = "LNXPWRBN/button/input0";
  button.id = {BUS_HOST, 0, 1, 0};
  button.events |= 1ul << EV_KEY;
  button.add_keys(KEY_POWER, KEY_POWER);
  input_register(&button);
  enable_port = static_cast<u16>(acpi_info.pm1a_event + acpi_info.pm1_event_length / 2);
  outw(acpi_info.pm1a_event, kButtonStatus);
  if (request_irq(acpi_info.sci_irq, handle_sci, IRQF_SHARED | IRQF_LEVEL, "acpi", &button) != 0) return;
  outw(enable_port, static_cast<u16>(inw(enable_port) | kButtonStatus));
}
LATE_INITCALL(power_button_init);

}  // namespace
}  // namespace xm::os
