// SPDX-License-Identifier: GPL-2.0-or-later
// First instructions of the kernel: the 32-bit entry of the Linux boot protocol at offset 0, the 64-bit entry at 0x200, and the PVH entry.
// Each clears the bss, records how it was started, maps low memory (identity, direct map and kernel) and enters start_kernel.
#define KERNEL_BASE 0xffffffff80000000
#define PHYS(symbol) ((symbol) - KERNEL_BASE)
#define BOOT_LINUX 1
#define BOOT_PVH 2

  .section .boot.text, "ax"
  .code32
  .globl startup_32
startup_32:
  cli
  cld
  movl $BOOT_LINUX, %ebp
  jmp common_32

pvh_entry:
  cli
  cld
  movl $BOOT_PVH, %ebp
  movl %ebx, %esi

common_32:
  movl %esi, %edx
  movl $PHYS(kernel_bss), %edi
  movl $PHYS(kernel_end), %ecx
  subl %edi, %ecx
  shrl $2, %ecx
  xorl %eax, %eax
  rep stosl
  movl %edx, %esi
  lgdt boot_gdt_pointer
  movl $0x10, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl $PHYS(init_stack_top), %esp

  movl $0x80000001, %eax           // long mode there?
  cpuid
  btl $29, %edx
  jnc no_long_mode

  movl $PHYS(early_pml4), %ebx
  movl $PHYS(early_pdpt_low) + 3, %eax
  movl %eax, (%ebx)
  movl %eax, 273*8(%ebx)
  movl $PHYS(early_pdpt_high) + 3, %eax
  movl %eax, 511*8(%ebx)
  movl $PHYS(early_pd) + 3, %eax
  movl %eax, PHYS(early_pdpt_high) + 510*8
  movl $PHYS(early_pdpt_low), %edi
  movl $4, %ecx
1:
  movl %eax, (%edi)
  addl $4096, %eax
  addl $8, %edi
  loop 1b
  movl $PHYS(early_pd), %edi       // 2048 pages of 2 MiB: the first 4 GiB
  movl $0x83, %eax
  movl $2048, %ecx
2:
  movl %eax, (%edi)
  movl $0, 4(%edi)
  addl $0x200000, %eax
  addl $8, %edi
  loop 2b

  movl %cr4, %eax
  orl $0x20, %eax                  // PAE
  movl %eax, %cr4
  movl %ebx, %cr3
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x100, %eax                 // EFER.LME
  wrmsr
  movl %cr0, %eax
  orl $0x80000001, %eax            // PG, PE
  movl %eax, %cr0
  ljmp $0x08, $enter_64

no_long_mode:
  movl $0xb8000, %edi
  movl $0x4f364f21, (%edi)         // "!6" in red: this processor has no 64-bit mode
  hlt
  jmp no_long_mode

  .code64
enter_64:
  movl %ebp, %edi
  movl %esi, %esi
  movabsq $start_64_high, %rax
  jmp *%rax

  .org 0x200
  .globl startup_64
startup_64:                        // RSI = boot_params, identity map of the loader in force
  cli
  cld
  movl $0x10, %eax
  lgdt boot_gdt_pointer
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl $PHYS(init_stack_top), %esp
  pushq $0x18
  pushq $2f
  lretq
  .code32
2:                                 // back to 32 bits: one path builds the tables
  movl %cr0, %eax
  andl $0x7fffffff, %eax
  movl %eax, %cr0
  movl $0xc0000080, %ecx
  rdmsr
  andl $~0x100, %eax
  wrmsr
  movl $BOOT_LINUX, %ebp
  jmp common_32

  .section .boot.data, "aw"
  .balign 8
boot_gdt:
  .quad 0
  .quad 0x00af9a000000ffff         // 0x08 64-bit code
  .quad 0x00cf92000000ffff         // 0x10 data
  .quad 0x00cf9a000000ffff         // 0x18 32-bit code
boot_gdt_pointer:
  .word 31
  .quad boot_gdt

  .section .note.pvh, "a", @note
  .long 4, 8, 18                   // XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .quad pvh_entry

  .text
  .code64
start_64_high:
  movl $0x10, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  movl %eax, %gs
  movq $init_stack_top, %rsp
  xorl %ebp, %ebp
  pushq $0
  call start_kernel
3:
  hlt
  jmp 3b

  .section .bss.page_aligned, "aw", @nobits
  .balign 4096
  .globl early_pml4, init_stack, init_stack_top
early_pml4: .skip 4096
early_pdpt_low: .skip 4096
early_pdpt_high: .skip 4096
early_pd: .skip 4096*4
  .balign 16384
init_stack: .skip 16384
init_stack_top:
  .section .note.GNU-stack,"",@progbits
