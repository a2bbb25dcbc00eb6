// SPDX-License-Identifier: GPL-2.0-or-later
// What signal.cc and jobctl.cc share.
#pragma once

#include "kernel/signal/signal.h"

namespace xm::os {

int queue_signal_locked(int sig, siginfo* info, task_struct* t, bool group);  // siglock of the target held
void notify_parent_stop(task_struct* t, bool for_tracer, int why);            // tasklist_lock held, siglock not
void do_signal_stop(int sig, u64 flags);                                      // siglock held, released on return
void do_jobctl_trap(u64 flags);                                               // likewise
void continue_threads(signal_struct* s);  // SIGCONT: no thread is to stop any more; siglock held

}  // namespace xm::os
