; SPDX-License-Identifier: GPL-2.0-or-later
; A Multiboot 1 kernel that says on COM1 what it was given: magic, whether memory sizes and a memory map are there, how much
; RAM the map lists in MiB (rounded), and its command line.
        bits 32
        org 0x100000
header: dd 0x1BADB002, 0x00010003, -(0x1BADB002 + 0x00010003)
        dd header, header, end, end, start
start:  mov esp, stack_top
        mov edi, ebx
        cmp eax, 0x2BADB002
        mov esi, bad_magic
        jne .say
        mov eax, [edi]
        and eax, 0x45           ; memory, command line, map
        cmp eax, 0x45
        mov esi, bad_flags
        jne .say
        mov esi, good
        call puts
        mov ecx, [edi + 44]
        mov esi, [edi + 48]
        xor ebx, ebx            ; KiB of RAM
.entry: cmp dword [esi + 20], 1
        jne .next
        mov eax, [esi + 12]
        shr eax, 10
        add ebx, eax
.next:  mov eax, [esi]
        add eax, 4
        add esi, eax
        sub ecx, eax
        ja .entry
        add ebx, 1023
        shr ebx, 10
        mov eax, ebx
        mov bl, 10
        mov ecx, 3
.digit: div bl
        push eax
        movzx eax, al
        loop .digit
        mov ecx, 3
.put:   pop eax
        mov al, ah
        add al, '0'
        call putc
        loop .put
        mov al, ' '
        call putc
        mov esi, [edi + 16]
.say:   call puts
        mov esi, tail
        call puts
.stop:  hlt
        jmp .stop
putc:   push edx
        push eax
.wait:  mov dx, 0x3FD
        in al, dx
        test al, 0x20
        jz .wait
        pop eax
        mov dx, 0x3F8
        out dx, al
        pop edx
        ret
puts:   lodsb
        test al, al
        jz .end
        call putc
        jmp puts
.end:   ret
good:      db "MULTIBOOT ", 0
bad_magic: db "BAD MAGIC", 0
bad_flags: db "BAD FLAGS", 0
tail:      db " END", 13, 10, 0
        align 16
        times 1024 db 0
stack_top:
end:
