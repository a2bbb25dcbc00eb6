// SPDX-License-Identifier: GPL-2.0-or-later
// boot.img: the first 512 bytes of the disk, loaded by the BIOS at 0000:7C00 with DL = drive. It knows one thing: the sector where the next
// part (diskboot.img) lies, which the installer writes at offset 0x5c. It loads that sector at 0000:8000 and jumps there. The partition table
// at 0x1be belongs to the disk, not to us: the installer leaves bytes 440 to 509 alone.
  .code16
  .text
  .globl _start
_start:
  jmp start
  .org 0x5c                       // a BIOS parameter block, should someone need one, ends before
next_part:
  .quad 1
start:
  cli
  ljmp $0, $1f                    // some BIOSes start us at 07C0:0000
1:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %ss
  movw $0x7c00, %sp
  sti
  cld
  movb %dl, drive
  movw $0x800, %ax
  movw %ax, %es
  movl next_part, %eax
  movw $1, %cx
  call read_sectors
  movw $message, %si
  jc give_up
  movb drive, %dl
  ljmp $0, $0x8000

#include "read_sectors.inc"
message:
  .asciz "xiaoma: cannot read the disk loader\r\n"
  .org 510
  .word 0xaa55
  .section .note.GNU-stack,"",@progbits
