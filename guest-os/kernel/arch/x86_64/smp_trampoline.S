// SPDX-License-Identifier: GPL-2.0-or-later
// Where an application processor starts after INIT/SIPI: real mode at a page below 1 MiB (kTrampolinePage). Copied there by smp.cc, which
// fills in the page tables, the stack and the entry. The code is position-dependent on that page only. [SDM3 8.4]
#define BASE 0x8000
#define AT(symbol) (BASE + (symbol) - trampoline_start)
  .section .rodata
  .globl trampoline_start, trampoline_end, trampoline_cr3, trampoline_stack, trampoline_entry, trampoline_cr4, trampoline_efer
  .code16
trampoline_start:
  cli
  cld
  xorw %ax, %ax
  movw %ax, %ds
  lgdtl AT(tr_gdt_pointer)
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl $0x08, $AT(tr_32)
  .code32
tr_32:
  movw $0x10, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl AT(trampoline_cr4), %eax
  movl %eax, %cr4
  movl AT(trampoline_cr3), %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx
  movl AT(trampoline_efer), %eax
  xorl %edx, %edx
  wrmsr
  movl %cr0, %eax
  orl $0x80000001, %eax
  andl $0x9fffffff, %eax           // caches on
  movl %eax, %cr0
  ljmpl $0x18, $AT(tr_64)
  .code64
tr_64:
  movl $0x10, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  movl %eax, %gs
  movq AT(trampoline_stack), %rsp
  xorl %ebp, %ebp
  pushq $0
  movq AT(trampoline_entry), %rax
  jmp *%rax
  .balign 8
tr_gdt:
  .quad 0
  .quad 0x00cf9a000000ffff
  .quad 0x00cf92000000ffff
  .quad 0x00af9a000000ffff
tr_gdt_pointer:
  .word 31
  .long AT(tr_gdt)
  .balign 8
trampoline_cr3: .quad 0
trampoline_cr4: .quad 0
trampoline_efer: .quad 0
trampoline_stack: .quad 0
trampoline_entry: .quad 0
trampoline_end:
  .section .note.GNU-stack,"",@progbits
