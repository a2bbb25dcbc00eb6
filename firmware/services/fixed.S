# SPDX-License-Identifier: GPL-2.0-or-later
# Entry points and tables at the addresses of the IBM AT BIOS, which old programs use directly
# [IBM AT Technical Reference, BIOS listing]. The section starts at F000:E000.
.section .fixed, "ax"
.code16
.macro at address
    .org \address - 0xE000
.endm

    jmp enter_real_mode          # POST comes back here

at 0xE05B
    jmp reset_entry
at 0xE2C3
    iretw                        # NMI
at 0xE3FE
    jmp entry_int13
at 0xE6F2
    jmp entry_int19
at 0xE6F5
.globl fixed_configuration_table
fixed_configuration_table:       # INT 15h C0
    .word 8
    .byte 0xFC, 0x00, 0x01       # AT, submodel, revision
    .byte 0x74                   # second 8259, RTC, INT 15h 4F called, EBDA
    .byte 0x40, 0, 0, 0          # INT 16h 09 supported
at 0xE739
    jmp entry_int14
at 0xE82E
    jmp entry_int16
at 0xE987
    jmp entry_int09
at 0xEC59
    jmp entry_int40
at 0xEF57
    jmp entry_int0e
at 0xEFC7
.globl fixed_diskette_table
fixed_diskette_table:            # step rate, DMA, motor off, bytes, sectors, gap, length, format gap, fill, settle, start
    .byte 0xAF, 0x02, 0x25, 0x02, 0x12, 0x1B, 0xFF, 0x6C, 0xF6, 0x0F, 0x08
at 0xEFD2
    jmp entry_int17
at 0xF065
    jmp entry_int10
at 0xF841
    jmp entry_int12
at 0xF84D
    jmp entry_int11
at 0xF859
    jmp entry_int15
at 0xFA6E
    .incbin "font_low.bin"       # the first 128 characters, 8x8
at 0xFE6E
    jmp entry_int1a
at 0xFEA5
    jmp entry_int08
at 0xFF53
.globl fixed_iret
fixed_iret:
    iretw
at 0xFF54
    jmp entry_int05
at 0xFFF0
.globl reset_vector
reset_vector:
    jmp reset_entry              # near: stays in the ROM below 4 GiB
at 0xFFF5
    .ascii "01/01/26"
at 0xFFFE
    .byte 0xFC, 0x00
