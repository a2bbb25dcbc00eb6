// SPDX-License-Identifier: GPL-2.0-or-later
// diskboot.img: the second sector of the boot chain, at 0000:8000. It knows where the core image lies (the installer writes first sector and
// count into its last 12 bytes), loads it at 0000:8200 and jumps there with DL = drive.
  .code16
  .text
  .globl _start
_start:
  movb %dl, drive
  movw $0x820, %ax
  movw %ax, %es
1:
  movw core_sectors, %cx
  testw %cx, %cx
  jz 3f
  cmpw $64, %cx                   // 32 KiB a call: never across a 64 KiB line of the destination's segment
  jbe 2f
  movw $64, %cx
2:
  movl core_start, %eax
  pushw %es
  pushw %cx
  call read_sectors
  popw %cx
  popw %es
  movw $message, %si
  jc give_up
  subw %cx, core_sectors
  movzwl %cx, %ecx
  addl %ecx, core_start
  shlw $5, %cx                    // sectors to paragraphs
  movw %es, %ax
  addw %cx, %ax
  movw %ax, %es
  jmp 1b
3:
  movb drive, %dl
  ljmp $0, $0x8200

#include "read_sectors.inc"
message:
  .asciz "xiaoma: cannot read the loader's core\r\n"
  .org 500
core_start:
  .quad 2
core_sectors:
  .word 0, 0
  .section .note.GNU-stack,"",@progbits
