// SPDX-License-Identifier: GPL-2.0-or-later
// Every way into and out of the kernel: SYSCALL, int 0x80, exceptions, interrupts, the first run of a new task, and the stack switch.
// pt_regs is built on the kernel stack of the task; GS is swapped when the interrupted code was user code. [SDM3 5.8.8, 6.14]
#define CPU_KERNEL_STACK 16
#define CPU_USER_RSP 24
#define USER_CS 0x33
#define USER_DS 0x2b

.macro PUSH_REST                   // below RDI: RSI RDX RCX RAX R8-R11 RBX RBP R12-R15
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %rax
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
.endm

.macro POP_CALLEE
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbp
  popq %rbx
.endm

.macro POP_ALL
  POP_CALLEE
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rax
  popq %rcx
  popq %rdx
  popq %rsi
  popq %rdi
  addq $8, %rsp
.endm

  .section .entry.text, "ax"
  .globl entry_syscall_64
entry_syscall_64:
  swapgs
  movq %rsp, %gs:CPU_USER_RSP
  movq %gs:CPU_KERNEL_STACK, %rsp
  pushq $USER_DS
  pushq %gs:CPU_USER_RSP
  pushq %r11
  pushq $USER_CS
  pushq %rcx
  pushq %rax
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq $-38
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  xorl %ebp, %ebp
  movq %rsp, %rdi
  sti
  call do_syscall_64               // returns with interrupts off; non-zero: SYSRET can restore this state
  testl %eax, %eax
  jz return_to_user
  POP_CALLEE
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rax
  popq %rcx
  popq %rdx
  popq %rsi
  popq %rdi
  movq 32(%rsp), %rsp              // past orig_rax, rip, cs, eflags: the user's RSP
  swapgs
  sysretq

return_to_user:
  POP_ALL
  swapgs
  iretq

  .globl entry_syscall_compat      // SYSCALL from 32-bit code: not offered (no vDSO advertises it)
entry_syscall_compat:
  movl $-38, %eax
  sysretl

  .globl entry_int80
entry_int80:
  swapgs
  cld
  movl %eax, %eax
  pushq %rax                       // orig_rax
  pushq %rdi
  PUSH_REST
  xorl %ebp, %ebp
  movq %rsp, %rdi
  sti
  call do_int80_syscall
  jmp return_to_user

// One stub a vector: error code (or 0), vector, common part.
  .balign 16
  .globl idt_stubs
idt_stubs:
.set vector, 0
.rept 256
  .balign 16
  .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21)
  .else
  pushq $0
  .endif
  pushq $vector
  .if (vector == 2) || (vector == 8) || (vector == 18)
  jmp entry_paranoid
  .else
  jmp entry_common
  .endif
  .set vector, vector + 1
.endr

entry_common:
  cld
  xchgq %rdi, (%rsp)               // RDI = vector, the slot becomes pt_regs.rdi
  testb $3, 24(%rsp)
  jz 1f
  swapgs
1:
  PUSH_REST
  movl %edi, %esi
  movq %rsp, %rdi
  testb $3, 136(%rsp)
  jz 2f
  xorl %ebp, %ebp
2:
  call do_interrupt
  testb $3, 136(%rsp)
  jnz return_to_user
  POP_ALL
  iretq

// NMI, double fault, machine check: they may hit between entry and swapgs, so the base itself tells whose GS it is.
entry_paranoid:
  cld
  xchgq %rdi, (%rsp)
  PUSH_REST
  movl %edi, %r12d
  xorl %ebx, %ebx
  movl $0xc0000101, %ecx
  rdmsr
  testl %edx, %edx
  js 1f
  swapgs
  incl %ebx
1:
  movl %r12d, %esi
  movq %rsp, %rdi
  call do_paranoid
  testl %ebx, %ebx
  jz 2f
  swapgs
2:
  POP_ALL
  iretq

// void* switch_stacks(u64* save_sp, u64 load_sp, void* prev): returns prev on the new stack.
  .text
  .globl switch_stacks
switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  movq %rdx, %rax
  ret

// First instructions of a new task. RBX = kernel thread function (0: user task), R12 = its argument.
  .globl ret_from_fork
ret_from_fork:
  movq %rax, %rdi
  call schedule_tail
  testq %rbx, %rbx
  jz 1f
  movq %r12, %rdi
  call *%rbx                       // returns only after an execve has filled pt_regs
1:
  xorl %ebp, %ebp
  movq %rsp, %rdi
  call exit_from_fork
  jmp return_to_user
  .section .note.GNU-stack,"",@progbits
