; SPDX-License-Identifier: GPL-2.0-or-later
; A disk that runs the programs on any PC: its boot sector loads engine_programs.bin to 1 MiB, goes to 64-bit mode and runs
; every program whose scale is not 0. COM1 says "b", a program's number in hexadecimal and a new line before, "e" and the
; same behind it, and "d" at the end.
bits 16
org 0x7C00
tables equ 0x10000
stack equ 0x80000
load_segment equ 0x2000     ; where the BIOS puts the programs
com1 equ 0x3F8

start:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7C00
    cld
    mov bp, sectors
.read:
    mov si, packet
    mov ah, 0x42
    mov dl, 0x80
    int 0x13
    jc .failed
    inc dword [packet.lba]
    add word [packet.segment], 0x20
    dec bp
    jnz .read
    mov ax, 0x2401          ; A20
    int 0x15
    in al, 0x92
    or al, 2
    and al, 0xFE
    out 0x92, al
    cli
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 0x08:protected
.failed:
    hlt
    jmp .failed

bits 32
protected:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esi, load_segment * 16
    mov edi, 0x100000
    mov ecx, sectors * 128
    rep movsd
    ; PML4, PDPT, a PD of 1 GiB large pages, a PD and PT of small ones, a PD for devices below 4 GiB
    mov edi, tables
    mov ecx, 0x6000 / 4
    xor eax, eax
    rep stosd
    mov dword [tables], tables + 0x1007
    mov dword [tables + 0x1000], tables + 0x2007
    mov dword [tables + 0x1008], tables + 0x3007
    mov dword [tables + 0x1018], tables + 0x5007
    mov dword [tables + 0x3000], tables + 0x4007
    mov dword [tables + 0x5FB0], 0xFEC00097         ; uncached
    xor ecx, ecx
.large:
    mov eax, ecx
    shl eax, 21
    or eax, 0x187
    mov [tables + 0x2000 + ecx * 8], eax
    mov eax, ecx
    shl eax, 12
    or eax, 0x800007
    mov [tables + 0x4000 + ecx * 8], eax
    inc ecx
    cmp ecx, 512
    jb .large
    mov eax, 0x6A0          ; PAE, PGE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, tables
    mov cr3, eax
    mov ecx, 0xC0000080
    mov eax, 0x900          ; LME, NXE
    xor edx, edx
    wrmsr
    mov eax, 0x80010033     ; PG, WP, NE, ET, MP, PE
    mov cr0, eax
    jmp 0x18:long_mode

bits 64
long_mode:
    mov esp, stack
    mov dx, com1 + 1        ; no interrupts, 115200 8N1
    xor eax, eax
    out dx, al
    mov dx, com1 + 3
    mov al, 0x83
    out dx, al
    mov dx, com1
    mov ax, 1
    out dx, al
    inc dx
    mov al, 0
    out dx, al
    mov dx, com1 + 3
    mov al, 3
    out dx, al
    call [0x100000]
    mov ebp, 0x100008
.next:
    cmp qword [rbp], 0
    je .done
    cmp qword [rbp + 8], 0
    je .skip
    mov al, 'b'
    call mark
    mov rdi, [rbp + 8]
    push rbp
    fninit
    call [rbp]
    pop rbp
    mov al, 'e'
    call mark
.skip:
    inc byte [number]
    add ebp, 48
    jmp .next
.done:
    mov al, 'd'
    call mark
.halt:
    cli
    hlt
    jmp .halt

mark:                       ; AL, then the number, then a new line
    call put
    mov al, [number]
    shr al, 4
    call .digit
    mov al, [number]
    and al, 15
    call .digit
    mov al, 10
    jmp put
.digit:
    add al, '0'
    cmp al, '9'
    jbe put
    add al, 7
put:
    mov ah, al
    mov dx, com1 + 5
.wait:
    in al, dx
    test al, 0x20
    jz .wait
    mov dx, com1
    mov al, ah
    out dx, al
    ret

number: db 0
align 8
packet:
    dw 16, 1, 0
.segment: dw load_segment
.lba: dd 1, 0
gdt: dq 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd gdt
    times 510 - ($ - $$) db 0
    dw 0xAA55
programs:
    incbin PROGRAMS
sectors equ ($ - programs + 511) / 512
    times 3 * 16 * 63 * 512 - ($ - $$) db 0   ; whole cylinders of 16 heads and 63 sectors
