; SPDX-License-Identifier: GPL-2.0-or-later
; The guest of `xiaoma bench`: a disk whose boot sector loads the rest, goes to 64-bit mode and runs fixed programs, some in
; kernel mode and some in user mode. COM1 gets "b NAME", "e NAME HASH" around each, "s NAME" for one that this processor can
; not run, and "d" at the end. The hash is of the program's result, which must not depend on who executes it.
bits 16
org 0x7C00
tables equ 0x20000          ; PML4, PDPT, PD, a page table for the first 2 MiB, a second PML4
buffer equ 0x400000
kernel_stack equ 0x90000
user_stack equ 0x9F000
fault_page equ 0x1F0000
com1 equ 0x3F8

start:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7C00
    cld
    mov si, packet
    mov ah, 0x42
    mov dl, 0x80
    int 0x13
    jc .failed
    mov ax, 0x2401          ; A20
    int 0x15
    cli
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 0x08:protected
.failed:
    hlt
    jmp .failed
packet: dw 16, 16, 0x7E00, 0
        dq 1
    times 510 - ($ - $$) db 0
    dw 0xAA55

bits 32
protected:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov edi, tables
    mov ecx, 0x5000 / 4
    xor eax, eax
    rep stosd
    mov dword [tables], tables + 0x1007
    mov dword [tables + 0x4000], tables + 0x1007
    mov dword [tables + 0x1000], tables + 0x2007
    xor ecx, ecx
.large:
    mov eax, ecx
    shl eax, 21
    or eax, 0x87
    mov [tables + 0x2000 + ecx * 8], eax
    mov eax, ecx
    shl eax, 12
    or eax, 7
    mov [tables + 0x3000 + ecx * 8], eax
    inc ecx
    cmp ecx, 512
    jb .large
    mov dword [tables + 0x2000], tables + 0x3007
    mov eax, 0x620          ; PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, tables
    mov cr3, eax
    mov ecx, 0xC0000080
    mov eax, 0x101          ; LME, SCE
    xor edx, edx
    wrmsr
    mov eax, 0x80010033     ; PG, WP, NE, ET, MP, PE
    mov cr0, eax
    jmp 0x18:long_mode

bits 64
long_mode:
    mov esp, kernel_stack
    fninit
    mov dword [tss + 4], kernel_stack
    mov ax, 0x38
    ltr ax
    mov eax, page_fault
    mov [idt + 14 * 16], ax
    mov word [idt + 14 * 16 + 2], 0x18
    mov word [idt + 14 * 16 + 4], 0x8E00
    shr eax, 16
    mov [idt + 14 * 16 + 6], ax
    lidt [idt_pointer]
    mov ecx, 0xC0000081     ; STAR: kernel 18h, user 2Bh and 33h
    xor eax, eax
    mov edx, 0x00230018
    wrmsr
    inc ecx
    mov eax, system_call
    xor edx, edx
    wrmsr
    mov ecx, 0xC0000084     ; SFMASK: IF
    mov eax, 1 << 9
    wrmsr
    mov al, 0xFF            ; user mode runs with interrupts on, as everywhere, but none comes
    out 0x21, al
    out 0xA1, al
    mov eax, 1
    cpuid
    and ecx, 1 << 28 | 1 << 26
    cmp ecx, 1 << 28 | 1 << 26
    jne .no_avx
    mov rax, cr4
    or eax, 1 << 18
    mov cr4, rax
    xor ecx, ecx
    xgetbv
    or eax, 7
    xsetbv
    mov byte [has_avx], 1
.no_avx:
    mov ebx, programs
.next:
    cmp qword [rbx], 0
    je .done
    test byte [rbx + 16], 2
    jz .can
    cmp byte [has_avx], 0
    jne .can
    mov al, 's'
    call mark
    call new_line
    jmp .skip
.can:
    mov al, 'b'
    call mark
    call new_line
    mov rdi, [rbx + 8]
    test byte [rbx + 16], 1
    jnz .user
    push rbx
    call [rbx]
    pop rbx
    jmp .ran
.user:
    call run_user
.ran:
    push rax
    mov al, 'e'
    call mark
    mov al, ' '
    call put
    pop rax
    call hexadecimal
    call new_line
.skip:
    add ebx, 40
    jmp .next
.done:
    mov al, 'd'
    call put
    call new_line
.halt:
    cli
    hlt
    jmp .halt

; Runs [rbx] in user mode; comes back by SYSCALL with R15 = 1.
run_user:
    mov [saved_stack], rsp
    mov [saved_program], rbx
    mov rsi, [rbx]
    push 0x2B
    push user_stack
    push 0x202
    push 0x33
    push user_entry
    iretq
user_entry:
    call rsi
    mov r15d, 1
    syscall
system_call:
    cmp r15d, 1
    je .finished
    inc r14
    o64 sysret
.finished:
    mov rsp, [saved_stack]
    mov rbx, [saved_program]
    ret

page_fault:
    push rax
    or byte [tables + 0x3000 + (fault_page >> 12) * 8], 1
    inc r14
    pop rax
    add rsp, 8
    iretq

; --- programs: RDI times, result in RAX

integers:
    mov eax, 1
    mov ecx, 7
    mov edx, 11
.loop:
    add rax, rcx
    xor rcx, rdx
    rol rdx, 5
    imul rdx, rax
    sub rcx, rax
    lea rdx, [rdx + rcx * 4 + 3]
    shr rcx, 1
    dec rdi
    jnz .loop
    xor rax, rdx
    ret

branches:
    mov eax, 12345
    xor ecx, ecx
.loop:
    imul eax, eax, 1664525
    add eax, 1013904223
    test eax, 0x10000
    jz .one
    add rcx, 3
    jmp .two
.one:
    xor rcx, rax
.two:
    test eax, 0x400000
    jnz .three
    ror rcx, 3
.three:
    dec rdi
    jnz .loop
    mov rax, rcx
    ret

memory:
    xor eax, eax
.again:
    mov esi, buffer
    mov ecx, 0x20000
.loop:
    add rax, [rsi]
    add rax, rcx
    mov [rsi], rax
    add esi, 8
    dec ecx
    jnz .loop
    dec rdi
    jnz .again
    ret

sse:
    mov eax, 3
    cvtsi2sd xmm0, eax
    movsd xmm1, xmm0
    mov eax, 7
    cvtsi2sd xmm2, eax
.loop:
    mulsd xmm1, xmm2
    addsd xmm1, xmm0
    divsd xmm1, xmm2
    paddq xmm3, xmm1
    pxor xmm3, xmm2
    dec rdi
    jnz .loop
    movq rax, xmm3
    ret

avx:
    vxorps ymm0, ymm0, ymm0
    mov eax, 0x3F800001
    movd xmm1, eax
    vshufps xmm1, xmm1, xmm1, 0
    vinsertf128 ymm1, ymm1, xmm1, 1
    vmovaps ymm2, ymm1
.loop:
    vmulps ymm2, ymm2, ymm1
    vaddps ymm0, ymm0, ymm2
    vxorps ymm3, ymm0, ymm2
    dec rdi
    jnz .loop
    vextractf128 xmm4, ymm3, 1
    vmovq rax, xmm4
    vzeroupper
    ret

system_calls:
    xor r14d, r14d
    xor r15d, r15d
.loop:
    syscall
    dec rdi
    jnz .loop
    mov rax, r14
    ret

page_faults:
    xor r14d, r14d
    xor eax, eax
.loop:
    and byte [tables + 0x3000 + (fault_page >> 12) * 8], 0xFE
    invlpg [fault_page]
    add rax, [fault_page]
    dec rdi
    jnz .loop
    add rax, r14
    ret

address_spaces:
    xor eax, eax
    mov ecx, tables
    mov edx, tables + 0x4000
.loop:
    mov cr3, rdx
    add rax, [buffer]
    mov cr3, rcx
    add rax, [buffer + 0x200000]
    dec rdi
    jnz .loop
    add rax, rdx
    ret

; --- text

mark:                       ; AL, a space and the program's name
    call put
    mov al, ' '
    call put
    lea rsi, [rbx + 24]
.byte:
    mov al, [rsi]
    test al, al
    jz .end
    call put
    inc rsi
    jmp .byte
.end:
    ret
hexadecimal:
    mov rdi, rax
    mov ecx, 16
.digit:
    rol rdi, 4
    mov eax, edi
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe .put
    add al, 39
.put:
    push rcx
    call put
    pop rcx
    dec ecx
    jnz .digit
    ret
new_line:
    mov al, 10
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

; function, times, flags (1: user mode, 2: needs AVX), name in 16 bytes
%macro entry 4
%%begin:
    dq %1, %2, %3
    db %4
    times 40 - ($ - %%begin) db 0
%endmacro
align 8
programs:
    entry integers, 20000000, 1, "user-integers"
    entry branches, 20000000, 1, "user-branches"
    entry memory, 300, 1, "user-memory"
    entry sse, 8000000, 1, "user-sse"
    entry avx, 8000000, 3, "user-avx"
    entry integers, 6000000, 0, "kernel-integers"
    entry branches, 6000000, 0, "kernel-branch"
    entry memory, 100, 0, "kernel-memory"
    entry system_calls, 400000, 1, "system-calls"
    entry page_faults, 50000, 0, "page-faults"
    entry address_spaces, 50000, 0, "cr3-switches"
    dq 0

align 8
gdt:
    dq 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF
    dq 0x00CF93000000FFFF   ; 20h: kernel data, as SYSCALL wants it behind the code
    dq 0x00CFF3000000FFFF   ; 28h: user data (2Bh)
    dq 0x00AFFB000000FFFF   ; 30h: user code (33h)
    dq 0x0000890000000067 | (tss_low << 16), 0
tss_low equ tss_at & 0xFFFF
tss_at equ 0xA000
gdt_pointer:
    dw gdt_pointer - gdt - 1
    dd gdt
tss equ tss_at
idt equ 0xB000
idt_pointer:
    dw 0xFFF
    dq idt
saved_stack: dq 0
saved_program: dq 0
has_avx: db 0
    times 17 * 512 - ($ - $$) db 0
    times 16 * 63 * 512 - ($ - $$) db 0     ; a whole cylinder, as some BIOSes want
