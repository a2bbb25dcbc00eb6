# SPDX-License-Identifier: GPL-2.0-or-later
# The way into the services and out again.
#
# A service runs with CS = F000, DS = ES = SS = E000 on a stack of its own, interrupts off. The stub pushes the caller's
# registers (struct Frame) on the caller's stack, copies them over, runs the handler, and copies them back.
# Whenever a service lets others run (waiting for a key, calling a hook) it goes back to the caller's stack first and notes
# its own position in own_stack, so that a service called meanwhile starts below it. See services/frame.h.

.set kDataSegment, 0xE000
.set kFrameSize, 50

.section .boot_info, "a"
.globl g_boot_info
g_boot_info:
    .word fseg_free_start, 0xE000
    .word 0xF0B0, 0xF840         # nothing has a fixed place there, see fixed.S
    .fill 3188 - 8, 1, 0         # sizeof BootInfo, asserted in lib/boot_info.h

.bss
.balign 4
own_stack:  .long 0
.globl caller_esp, caller_ss
caller_esp: .long 0
caller_ss:  .long 0

.text
.code16

.macro service vector, handler
.globl \vector
\vector:
    pushl $\handler
    jmp service_common
.endm

service entry_int05, int05
service entry_int09, int09
service entry_int0e, int0e
service entry_int10, int10
service entry_int11, int11
service entry_int12, int12
service entry_int13, int13
service entry_int14, int14
service entry_int15, int15
service entry_int16, int16
service entry_int17, int17
service entry_int1a, int1a
service entry_int40, int40
service entry_int70, int70
service entry_int74, int74
service entry_pmm, pmm_call
service entry_pnp, pnp_call

service_common:
    pushw %ds
    pushw %es
    pushw %fs
    pushw %gs
    pushal
    cli
    cld
    movl %esp, %edx
    movzwl %sp, %esi
    movw %ss, %ax
    movw %ax, %ds
    movw $kDataSegment, %cx
    movw %cx, %es
    movl %es:own_stack, %ebx
    subl $kFrameSize + 2, %ebx
    movw %bx, %di
    movw $kFrameSize / 2, %cx
    rep movsw
    movw %es, %cx
    movw %cx, %ds
    movw %cx, %ss
    movl %ebx, %esp
    pushl caller_esp
    pushl caller_ss
    movl %edx, caller_esp
    movl %eax, caller_ss
    movl %ebx, %eax
    calll *40(%ebx)
    # caller_esp and caller_ss are ours again whatever ran meanwhile.
    movl caller_esp, %edx
    movl caller_ss, %eax
    popl caller_ss
    popl caller_esp
    movw %bx, %si
    movw %dx, %di
    movw %ax, %es
    movw $kFrameSize / 2, %cx
    rep movsw
    movw %ax, %ss
    movl %edx, %esp
    popal
    popw %gs
    popw %fs
    popw %es
    popw %ds
    addw $4, %sp
    iretw

# Lets interrupts in for a moment, on the caller's stack; yield_halt sleeps until one comes.
.macro yielder name, wait
.globl \name
\name:
    pushl own_stack
    pushl caller_esp
    pushl caller_ss
    movl %esp, own_stack
    movl caller_esp, %ecx
    movw caller_ss, %ss
    movl %ecx, %esp
    sti
    \wait
    cli
    movw $kDataSegment, %ax
    movw %ax, %ss
    movl own_stack, %esp
    popl caller_ss
    popl caller_esp
    popl own_stack
    retl
.endm
yielder yield, nop
yielder yield_halt, hlt

# void call_far(FarCall*): runs other people's code on the caller's stack with the registers given, and brings its registers
# back. Offsets are those of struct FarCall.
.globl call_far
call_far:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %eax
    pushl own_stack
    pushl caller_esp
    pushl caller_ss
    movl %esp, own_stack
    movl %eax, %ebx
    movl caller_esp, %ecx
    movw caller_ss, %ss
    movl %ecx, %esp
    movzwl 44(%ebx), %ecx        # words to push for the callee
    leal 46(%ebx), %esi
1:  jecxz 2f
    pushw (%esi)
    addl $2, %esi
    decl %ecx
    jmp 1b
2:  testb $1, 42(%ebx)           # called as an interrupt: flags below the return address
    jz 3f
    pushw 36(%ebx)
3:  pushw %cs
    pushw $call_far_return
    pushw 40(%ebx)               # target segment
    pushw 38(%ebx)               # target offset
    pushw 32(%ebx)               # ds
    movl 0(%ebx), %edi
    movl 4(%ebx), %esi
    movl 8(%ebx), %ebp
    movl 20(%ebx), %edx
    movl 24(%ebx), %ecx
    movl 28(%ebx), %eax
    movw 34(%ebx), %es
    pushl 16(%ebx)
    popl %ebx
    popw %ds
    lretw
call_far_return:
    pushfw
    cli
    cld
    pushw %es
    pushw %ds
    pushal
    movw %ss, %cx
    movzwl %sp, %esi
    movw $kDataSegment, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl own_stack, %esp
    popl caller_ss
    popl caller_esp
    popl own_stack
    popl %edi
    movw %cx, %ds
    movw $19, %cx
    rep movsw
    movw %ax, %ds
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    retl

# void jump_out(const FarCall*): leaves the firmware for good (boot sectors, kernels); the own stack is empty afterwards.
# The new stack is es... given by args[0]:args[1] as SS:SP.
.globl jump_out
jump_out:
    movl %eax, %ebx
    movl $stack_top, own_stack
    movzwl 48(%ebx), %ecx
    movw 46(%ebx), %ss
    movl %ecx, %esp
    pushw 36(%ebx)               # flags
    pushw 40(%ebx)
    pushw 38(%ebx)
    pushw 32(%ebx)
    movl 0(%ebx), %edi
    movl 4(%ebx), %esi
    movl 8(%ebx), %ebp
    movl 20(%ebx), %edx
    movl 24(%ebx), %ecx
    movl 28(%ebx), %eax
    movw 34(%ebx), %es
    pushl 16(%ebx)
    popl %ebx
    popw %ds
    iretw

# INT 18h and INT 19h never return: start over on an empty stack.
.macro restart name, handler
.globl \name
\name:
    movl $\handler, %ebx
    jmp restart_common
.endm
restart entry_int18, boot_next
restart entry_int19, boot_again
.globl first_start
first_start:
    movl $boot_main, %ebx
restart_common:
    cli
    cld
    movw $kDataSegment, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $stack_top, %esp
    movl %esp, own_stack
    movl $0x7C00, caller_esp
    movl $0, caller_ss
    calll *%ebx
1:  hlt
    jmp 1b

# IRQ 0: count, stop the floppy motor in time, tell the user's hook [IBM AT BIOS, TIMER_INT]. Kept apart from the services
# because it is by far the most frequent one.
.globl entry_int08
entry_int08:
    pushw %ds
    pushl %eax
    pushw $0x40
    popw %ds
    movl 0x6C, %eax
    incl %eax
    cmpl $0x1800B0, %eax         # ticks a day
    jb 1f
    xorl %eax, %eax
    incb 0x70
1:  movl %eax, 0x6C
    cmpb $0, 0x40
    je 2f
    decb 0x40
    jnz 2f
    pushw %dx
    movb $0x0C, %al              # motors off, controller enabled
    movw $0x3F2, %dx
    outb %al, %dx
    popw %dx
    andb $0xF0, 0x3F
2:  popl %eax
    int $0x1C
    pushw %ax
    movb $0x20, %al
    outb %al, $0x20
    popw %ax
    popw %ds
    iretw

.globl entry_irq_master, entry_irq_slave, entry_irq9, entry_irq13, entry_iret
entry_irq13:                     # coprocessor error, delivered as NMI to old programs
    pushw %ax
    xorb %al, %al
    outb %al, $0xF0
    movb $0x20, %al
    outb %al, $0xA0
    outb %al, $0x20
    popw %ax
    int $0x02
    iretw
entry_irq9:                      # cascaded to where IRQ 2 was on a PC
    pushw %ax
    movb $0x20, %al
    outb %al, $0xA0
    popw %ax
    int $0x0A
    iretw
entry_irq_slave:
    pushw %ax
    movb $0x20, %al
    outb %al, $0xA0
    jmp 1f
entry_irq_master:
    pushw %ax
1:  movb $0x20, %al
    outb %al, $0x20
    popw %ax
entry_iret:
    iretw
