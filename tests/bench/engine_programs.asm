; SPDX-License-Identifier: GPL-2.0-or-later
; Guest programs for engine_bench, native_bench and the bench disk: 64-bit, loaded at 1 MiB, called with RDI the scale;
; each may change every register but RSP. Data lives from 4 MiB to 24 MiB. At the start: the address of `prepare`, then
; the table of programs, which ends with a zero entry.
;
; What they find: the first 4 GiB mapped one to one for everybody, 2 MiB of 4 KiB pages at small_pages whose page table is
; at small_table, and, once `prepare` has been called, segments, a TSS, gates and SYSCALL.
bits 64
org 0x100000
data equ 0x400000
small_pages equ 0x40000000
small_table equ 0x14000

; Flags of a program.
needs_system equ 1  ; not for user mode
moves_bytes equ 2   ; its operations are bytes

; Entry, name, operations a unit of scale (0: its speed is that of its instructions), flags.
%macro program 2-4 0, 0
%%start:
    dq %1
    dq 1            ; scale, for the bench disk
    dd %4, %3
%%name:
    db %2
    times 24 - ($ - %%name) db 0
%endmacro

    dq prepare
table:
    program alu_mix, "alu mix"
    program sieve, "sieve"
    program chase_small, "pointer chase L1"
    program chase_large, "pointer chase 4 MiB"
    program chase_pages, "pointer chase 2048 pages"
    program copy_loop, "copy loop", 2621440, moves_bytes
    program copy_aliased, "copy aliased", 2621440, moves_bytes
    program rep_copy, "rep movs 64 KiB", 6553600, moves_bytes
    program quicksort, "quicksort"
    program fib, "recursion (fib)"
    program bytecode, "bytecode interpreter"
    program indirect, "indirect calls"
    program self_modify, "self-modifying loop", 10000
    program fresh_code, "fresh code x16 calls", 1000
    program system_calls, "syscall + sysret", 10000, needs_system
    program interrupts, "int 80h round trip", 10000, needs_system
    program page_faults, "page fault + invlpg", 6400, needs_system
    program page_invalidate, "invlpg + load", 10000, needs_system
    program cr3_switch, "mov cr3 + 16 pages", 2000, needs_system
    program ports, "in + out", 10000, needs_system
    program memory_io, "memory-mapped I/O", 10000, needs_system
    program matmul, "SSE2 matmul"
    program nbody, "n-body"
    program x87, "x87"
    program sse_integer, "SSE2 bytes"
    program mmx_loop, "MMX"
    dq 0

%include "fp_programs.inc"
%include "system_programs.inc"

alu_mix:
    imul rcx, rdi, 100000
    mov eax, 1
    mov ebx, 3
    mov edx, 0x12345
.loop:
    add rax, rbx
    xor rbx, rdx
    lea rdx, [rdx + rax*4 + 7]
    mov rsi, rax
    shr rsi, 3
    and rsi, 0xFFFF
    add rbx, rsi
    sub rdx, rbx
    or rax, 1
    rol rdx, 5
    imul rbx, rax
    test rbx, 8
    jz .skip
    inc rsi
.skip:
    dec rcx
    jnz .loop
    ret

sieve:
    mov r9, rdi
.again:
    mov rdi, data
    mov ecx, 65536
    mov al, 1
    rep stosb
    mov esi, 2
.outer:
    cmp byte [data + rsi], 0
    je .next
    lea rdx, [rsi + rsi]
.inner:
    cmp rdx, 65536
    jae .next
    mov byte [data + rdx], 0
    add rdx, rsi
    jmp .inner
.next:
    inc rsi
    cmp rsi, 65536
    jb .outer
    dec r9
    jnz .again
    ret

; Chain of pointers with a stride that visits every slot once.
%macro chase 3  ; bytes, stride, steps per scale
    mov rbx, data
    xor eax, eax
    mov ecx, %1 / 64
%%build:
    lea rdx, [rax + %2]
    and rdx, %1 - 64
    lea rsi, [rbx + rdx]
    mov [rbx + rax], rsi
    mov rax, rdx
    dec rcx
    jnz %%build
    imul rcx, rdi, %3
    mov rax, rbx
%%walk:
    mov rax, [rax]
    mov rax, [rax]
    mov rax, [rax]
    mov rax, [rax]
    dec rcx
    jnz %%walk
    ret
%endmacro
chase_small:
    chase 16384, 64*37, 200000
chase_large:
    chase 4194304, 64*4099, 200000
chase_pages:
    chase 8388608, 64*65*63, 200000

%macro copy 1  ; distance
    imul r9, rdi, 20
%%again:
    mov rsi, data
    lea rdx, [rsi + %1]
    mov ecx, 8192
%%loop:
    mov rax, [rsi]
    mov rbx, [rsi + 8]
    mov [rdx], rax
    mov [rdx + 8], rbx
    add rsi, 16
    add rdx, 16
    dec rcx
    jnz %%loop
    dec r9
    jnz %%again
    ret
%endmacro
copy_loop:
    copy 0x123000
copy_aliased:
    copy 0x1000000

rep_copy:
    imul r9, rdi, 100
.again:
    mov rsi, data
    mov rdi, data + 0x200000
    mov ecx, 8192
    rep movsq
    dec r9
    jnz .again
    ret

quicksort:
    mov r9, rdi
.again:
    mov ecx, 20000
    mov rbx, data
    mov eax, 12345
.fill:
    imul eax, eax, 1103515245
    add eax, 12345
    mov edx, eax
    shr edx, 8
    mov [rbx + rcx*4 - 4], edx
    dec rcx
    jnz .fill
    mov rdi, data
    mov rsi, data + 4*19999
    call .sort
    dec r9
    jnz .again
    ret
.sort:
    cmp rdi, rsi
    jae .done
    push rbx
    push r12
    push r13
    mov r12, rdi
    mov r13, rsi
    mov rax, rsi
    sub rax, rdi
    shr rax, 3
    mov ebx, [rdi + rax*4]
.part:
    cmp [rdi], ebx
    jae .right
    add rdi, 4
    jmp .part
.right:
    cmp [rsi], ebx
    jbe .swap
    sub rsi, 4
    jmp .right
.swap:
    cmp rdi, rsi
    ja .split
    mov eax, [rdi]
    mov edx, [rsi]
    mov [rdi], edx
    mov [rsi], eax
    add rdi, 4
    sub rsi, 4
    cmp rdi, rsi
    jbe .part
.split:
    push rdi
    mov rdi, r12
    call .sort
    pop rdi
    mov rsi, r13
    call .sort
    pop r13
    pop r12
    pop rbx
.done:
    ret

fib:
    mov r9, rdi
.again:
    mov edi, 24
    call .f
    dec r9
    jnz .again
    ret
.f:
    cmp edi, 2
    jb .leaf
    push rbx
    push rdi
    dec edi
    call .f
    mov ebx, eax
    pop rdi
    sub edi, 2
    call .f
    add eax, ebx
    pop rbx
    ret
.leaf:
    mov eax, edi
    ret

; A tiny stack machine: r12 code pointer, rax accumulator.
bytecode:
    imul r9, rdi, 50000
    lea r13, [rel .jumps]
.again:
    lea r12, [rel .code]
.dispatch:
    movzx ecx, byte [r12]
    inc r12
    jmp [r13 + rcx*8]
.op_add:
    add rax, 3
    jmp .dispatch
.op_xor:
    xor rax, 0x55
    jmp .dispatch
.op_shift:
    shl rax, 1
    jmp .dispatch
.op_load:
    mov rax, [data]
    jmp .dispatch
.op_end:
    dec r9
    jnz .again
    ret
.code: db 0, 1, 2, 0, 3, 1, 0, 2, 2, 1, 0, 3, 4
align 8
.jumps: dq .op_add, .op_xor, .op_shift, .op_load, .op_end

indirect:
    imul r9, rdi, 100000
    lea r13, [rel .table]
    xor ebx, ebx
.again:
    call [r13 + rbx*8]
    inc ebx
    and ebx, 3
    dec r9
    jnz .again
    ret
.f0: add rax, 1
    ret
.f1: sub rax, 2
    ret
.f2: xor rax, 4
    ret
.f3: lea rax, [rax + rax]
    ret
align 8
.table: dq .f0, .f1, .f2, .f3

self_modify:
    imul r9, rdi, 10000
.again:
    mov [rel .patch + 1], r9b
.patch:
    mov al, 0
    dec r9
    jnz .again
    ret

fresh_code:
    imul r9, rdi, 1000
    mov rbx, data
.again:
    mov byte [rbx], 0xB8  ; mov eax, imm32; add eax, imm8; ret
    mov [rbx + 1], r9d
    mov dword [rbx + 5], 0xC305C083
    mov ecx, 16
.call:
    call rbx
    dec ecx
    jnz .call
    dec r9
    jnz .again
    ret
