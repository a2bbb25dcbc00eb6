# SPDX-License-Identifier: GPL-2.0-or-later
# First and last instructions of POST: stack, cleared variables, and the way out to real mode.
.section .text.entry, "ax"
.globl post_entry
post_entry:
    movl $0x1FFF0, %esp
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl
    call post_main
    ljmp $0x18, $0xE000          # enter_real_mode's place in the F segment, see services/fixed.S
