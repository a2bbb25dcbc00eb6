// SPDX-License-Identifier: GPL-2.0-or-later
// Real-mode set-up part of vmxiaoma: the header of the Linux boot protocol (version 2.12) at 0x1f1, and the code a loader starts in
// 16-bit mode. It asks the BIOS for the memory map and the text cursor, fills in boot_params and enters the kernel in protected mode
// with ESI = boot_params. Loaders that jump to the 32- or 64-bit entry (GRUB, our loader, kexec-like ones) skip all of it.
// Specification: Documentation/x86/boot.rst of Linux, "The real-mode kernel header". GAP: no EDD, no VBE mode list.
  .code16
  .section .text, "ax"
  .set BOOT_PARAMS, 0x2000        // offset in the set-up segment; the set-up part itself ends below
  .set E820_COUNT, BOOT_PARAMS + 0x1e8
  .set E820_TABLE, BOOT_PARAMS + 0x2d0
start:
  .org 0x1f1
  .byte 4                         // setup_sects, filled by mkvmxiaoma.py
  .word 0                         // root_flags
  .long 0                         // syssize, filled in
  .word 0                         // ram_size
  .word 0xffff                    // vid_mode: normal
  .word 0                         // root_dev
  .word 0xaa55                    // boot_flag
  .byte 0xeb, setup_entry - 1f    // jump
1:
  .ascii "HdrS"
  .word 0x020c                    // version
  .long 0                         // realmode_swtch
  .word 0x1000                    // start_sys_seg
  .word kernel_version - 0x200    // kernel_version
  .byte 0                         // type_of_loader
  .byte 0x01                      // loadflags: LOADED_HIGH
  .word 0x8000                    // setup_move_size
  .long 0x100000                  // code32_start
  .long 0                         // ramdisk_image
  .long 0                         // ramdisk_size
  .long 0                         // bootsect_kludge
  .word 0x9000                    // heap_end_ptr
  .byte 0, 0                      // ext_loader_ver, ext_loader_type
  .long 0                         // cmd_line_ptr
  .long 0x7fffffff                // initrd_addr_max
  .long 0x200000                  // kernel_alignment
  .byte 0                         // relocatable_kernel
  .byte 12                        // min_alignment
  .word 0x0001                    // xloadflags: XLF_KERNEL_64
  .long 2047                      // cmdline_size
  .long 0                         // hardware_subarch
  .quad 0                         // hardware_subarch_data
  .long 0                         // payload_offset
  .long 0                         // payload_length
  .quad 0                         // setup_data
  .quad 0x100000                  // pref_address
  .long 0                         // init_size, filled in
  .long 0                         // handover_offset
header_end:

setup_entry:
  cld
  cli
  movw %ds, %ax
  movw %ax, %es
  movw %ax, %ss
  movw $0x9000, %sp
  pushw %ds                       // normalise CS to DS: offsets count from the boot sector
  pushw $1f
  lretw
1:
  sti
  movw $BOOT_PARAMS, %di
  xorl %eax, %eax
  movw $1024, %cx
  rep stosl
  movw $0x1f1, %si
  movw $(BOOT_PARAMS + 0x1f1), %di
  movw $(header_end - 0x1f1), %cx
  rep movsb

  movb $0x03, %ah                 // cursor: screen_info orig_x, orig_y
  xorb %bh, %bh
  int $0x10
  movw %dx, BOOT_PARAMS
  movb $0x0f, %ah                 // mode and columns
  int $0x10
  movb %al, BOOT_PARAMS + 6
  movb %ah, BOOT_PARAMS + 7
  movb $25, BOOT_PARAMS + 0x0e
  movb $1, BOOT_PARAMS + 0x0f     // orig_video_isVGA
  movb $16, BOOT_PARAMS + 0x10

  movb $0x88, %ah                 // extended memory below 64 MiB, in KiB
  int $0x15
  movw %ax, BOOT_PARAMS + 2
  movw $0xe801, %ax
  xorw %cx, %cx
  xorw %dx, %dx
  int $0x15
  jc memory_map
  testw %cx, %cx
  jz 2f
  movw %cx, %ax
  movw %dx, %bx
2:
  movzwl %bx, %ebx
  shll $6, %ebx
  movzwl %ax, %eax
  addl %ebx, %eax
  movl %eax, BOOT_PARAMS + 0x1e0  // alt_mem_k

memory_map:
  xorl %ebx, %ebx
  movw $E820_TABLE, %di
3:
  movl $0xe820, %eax
  movl $20, %ecx
  movl $0x534d4150, %edx
  int $0x15
  jc 4f
  cmpl $0x534d4150, %eax
  jne 4f
  incb E820_COUNT
  addw $20, %di
  cmpb $128, E820_COUNT
  jae 4f
  testl %ebx, %ebx
  jnz 3b
4:
  movw $0x2401, %ax               // A20: BIOS, then the fast gate
  int $0x15
  cli
  inb $0x92, %al
  orb $2, %al
  andb $0xfe, %al
  outb %al, $0x92
  movb $0x80, %al                 // NMI off while there is no IDT
  outb %al, $0x70

  xorl %esi, %esi
  movw %ds, %si
  shll $4, %esi
  leal gdt(%esi), %eax
  movl %eax, gdt_pointer + 2
  leal protected(%esi), %eax
  movl %eax, far_target
  lgdt gdt_pointer
  lidt idt_pointer
  addl $BOOT_PARAMS, %esi
  movl BOOT_PARAMS + 0x214, %edi  // code32_start: a loader may have moved it
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl *far_target

  .code32
protected:
  movw $0x18, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw %ax, %fs
  movw %ax, %gs
  xorl %ebp, %ebp
  xorl %ebx, %ebx
  jmp *%edi

  .balign 8
gdt:
  .quad 0, 0
  .quad 0x00cf9a000000ffff        // __BOOT_CS 0x10
  .quad 0x00cf92000000ffff        // __BOOT_DS 0x18
gdt_pointer:
  .word 31
  .long 0
idt_pointer:
  .word 0
  .long 0
far_target:
  .long 0
  .word 0x10
kernel_version:
  .asciz "6.1.0-xiaoma (xiaoma guest OS)"
  .section .note.GNU-stack,"",@progbits
