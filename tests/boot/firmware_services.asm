; SPDX-License-Identifier: GPL-2.0-or-later
; A boot disk that calls the BIOS services and says on COM1 which of them keep their word: "ok NAME" or "BAD NAME".
; Works on any BIOS of a PC with an 8042 that knows commands D2 and D3 (write a byte as if keyboard or mouse had sent it).
        org 0x7C00
        bits 16

%macro check 2                  ; condition that means success, name
        j%1 %%good
        push word %%name
        call say_bad
        jmp %%after
%%name: db %2, 0
%%good: push word %%name
        call say_ok
%%after:
%endmacro

start:  cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7C00
        mov [drive], dl
        sti
        mov ah, 0x42
        mov si, load_packet
        int 0x13
        jc $
        jmp 0:main
load_packet:
        db 16, 0
        dw 31, 0x7E00, 0
        dq 1
drive:  db 0

putc:   push dx
        push ax
.wait:  mov dx, 0x3FD
        in al, dx
        test al, 0x20
        jz .wait
        pop ax
        mov dx, 0x3F8
        out dx, al
        pop dx
        ret
puts:   lodsb                   ; cs:si, which is ds:si here
        test al, al
        jz .end
        call putc
        jmp puts
.end:   ret
say_ok: push word good_word
        jmp say
say_bad:
        push word bad_word
say:    pushf
        pusha
        push ds
        push es
        push word 0
        pop ds
        mov bp, sp
        mov si, [bp + 22]       ; the word
        call puts
        mov si, [bp + 26]       ; the name, above the return address
        call puts
        mov al, 13
        call putc
        mov al, 10
        call putc
        pop es
        pop ds
        popa
        popf
        add sp, 2
        ret 2
good_word: db "ok ", 0
bad_word:  db "BAD ", 0
        times 510 - ($ - $$) db 0
        dw 0xAA55

main:   call test_system
        call test_keyboard
        call test_time
        call test_pci
        call test_disk
        call test_video
        call test_vesa
        call test_mouse
        call test_tables
        mov si, done
        call puts
        mov al, 0
        out 0xF4, al
.stop:  hlt
        jmp .stop
done:   db "ALL SERVICES CALLED", 13, 10, 0

; ---------------------------------------------------------------- INT 11, 12, 15
test_system:
        int 0x12
        cmp ax, 639
        check e, "12 memory size"
        int 0x11
        and al, 0x30
        cmp al, 0x20
        check e, "11 equipment: colour 80 columns"
        mov ah, 0x88
        int 0x15
        check nc, "15/88 extended memory"
        mov ax, 0xE801
        int 0x15
        check nc, "15/E801"
        cmp ax, cx
        check e, "15/E801 pairs agree"
        xor ebx, ebx
        xor bp, bp              ; bit 0: conventional memory seen, bit 1: a reserved range below 1 MiB
.next:  mov eax, 0xE820
        mov edx, 0x534D4150
        mov ecx, 20
        mov di, buffer
        int 0x15
        jc .map_end
        cmp eax, 0x534D4150
        check e, "15/E820 signature"
        cmp dword [buffer], 0
        jne .not_first
        cmp dword [buffer + 8], 0x9FC00
        jne .not_first
        or bp, 1
.not_first:
        cmp dword [buffer + 16], 2
        jne .not_reserved
        cmp dword [buffer], 0x9FC00
        jne .not_reserved
        or bp, 2
.not_reserved:
        test ebx, ebx
        jnz .next
.map_end:
        cmp bp, 3
        check e, "15/E820 lists conventional memory and EBDA"
        mov si, move_out
        mov cx, 256
        mov ah, 0x87
        int 0x15
        check nc, "15/87 move to 2 MiB"
        mov si, move_back
        mov cx, 256
        mov ah, 0x87
        int 0x15
        mov si, 0x7C00
        mov di, 0x5000
        mov cx, 256
        repe cmpsw
        check e, "15/87 and back"
        mov ax, 0x2400
        int 0x15
        mov ax, 0x2402
        int 0x15
        cmp al, 0
        check e, "15/2400 A20 off"
        mov ax, 0x2401
        int 0x15
        mov ax, 0x2402
        int 0x15
        cmp al, 1
        check e, "15/2401 A20 on"
        mov ah, 0xC0
        int 0x15
        cmp byte [es:bx + 2], 0xFC
        check e, "15/C0 model"
        push word 0
        pop es
        mov ah, 0xC1
        int 0x15
        mov ax, es
        cmp ax, [0x40E]
        check e, "15/C1 EBDA"
        push word 0
        pop es
        mov ax, 0x5300
        xor bx, bx
        int 0x15
        check nc, "15/53 APM is there"
        cmp bx, 0x504D
        check e, "15/53 APM signature"
        mov ax, 0x5307
        mov bx, 1
        mov cx, 3
        int 0x15
        check c, "15/5307 power off only when connected"
        cmp ah, 3
        check e, "15/5307 says why"
        mov ax, 0x5301
        xor bx, bx
        int 0x15
        check nc, "15/5301 connect"
        mov ax, 0x5305
        int 0x15
        check nc, "15/5305 idle"
        mov ah, 0x86
        xor cx, cx
        mov dx, 2000
        int 0x15
        check nc, "15/86 wait"
        mov ax, 0x8300
        xor cx, cx
        mov dx, 20000
        mov bx, buffer
        mov byte [buffer], 0
        int 0x15
        mov bp, 10              ; ticks
        call wait_flag
        test byte [buffer], 0x80
        check nz, "15/83 event wait"
        ret
wait_flag:
        hlt
        test byte [buffer], 0x80
        jnz .end
        mov ax, [0x46C]
        cmp ax, [last_tick]
        je wait_flag
        mov [last_tick], ax
        dec bp
        jnz wait_flag
.end:   ret
last_tick: dw 0
%macro descriptor 1
        dw 0xFFFF, (%1) & 0xFFFF
        db (%1) >> 16 & 0xFF, 0x93, 0, (%1) >> 24
%endmacro
move_out:
        times 16 db 0
        descriptor 0x7C00
        descriptor 0x200000
        times 16 db 0
move_back:
        times 16 db 0
        descriptor 0x200000
        descriptor 0x5000
        times 16 db 0

; ---------------------------------------------------------------- INT 9 and 16
inject: push cx                 ; AL as a keyboard byte (scan code set 1)
        push ax
        mov ah, 0xD2
        call to_controller
        pop ax
        pop cx
        ret
to_controller:                  ; command AH, data AL
        push ax
.full:  in al, 0x64
        test al, 3
        jnz .full
        mov al, ah
        out 0x64, al
.busy:  in al, 0x64
        test al, 2
        jnz .busy
        pop ax
        out 0x60, al
        mov cx, 2000
.pause: sti
        out 0x80, al
        loop .pause
        ret
get_key:                        ; AX = key by function 10, or FFFF after a while
        mov cx, 2000
.try:   push cx
        mov ah, 0x11
        int 0x16
        pop cx
        jnz .there
        loop .try
        mov ax, 0xFFFF
        ret
.there: mov ah, 0x10
        int 0x16
        ret
%macro keys 3+                  ; name, expected, bytes
        mov si, %%bytes
        mov bp, %%end - %%bytes
%%next: lodsb
        call inject
        dec bp
        jnz %%next
        call get_key
        cmp ax, %2
        check e, %1
        jmp %%end
%%bytes: db %3
%%end:
%endmacro
test_keyboard:
        mov ah, 5
        mov cx, 0x48E0
        int 0x16
        cmp al, 0
        check e, "16/05 store key"
        mov ah, 1
        int 0x16
        check nz, "16/01 key there"
        mov ah, 0
        int 0x16
        cmp ax, 0x4800
        check e, "16/00 shows the old key"
        mov ah, 5
        mov cx, 0x48E0
        int 0x16
        mov ah, 0x10
        int 0x16
        cmp ax, 0x48E0
        check e, "16/10 shows the grey key"
        mov ah, 0x11
        int 0x16
        check z, "16/11 nothing there"
        keys "09 a", 0x1E61, 0x1E, 0x9E
        keys "09 shift a", 0x1E41, 0x2A, 0x1E, 0x9E, 0xAA
        keys "09 control c", 0x2E03, 0x1D, 0x2E, 0xAE, 0x9D
        keys "09 alt F1", 0x6800, 0x38, 0x3B, 0xBB, 0xB8
        keys "09 grey up", 0x48E0, 0xE0, 0x48, 0xE0, 0xC8
        keys "09 caps lock a", 0x1E41, 0x3A, 0xBA, 0x1E, 0x9E
        mov ah, 2
        int 0x16
        test al, 0x40
        check nz, "16/02 caps lock"
        keys "09 caps lock off", 0x1E61, 0x3A, 0xBA, 0x1E, 0x9E
        keys "09 enter", 0x1C0D, 0x1C, 0x9C
        keys "09 F12", 0x8600, 0x58, 0xD8
        keys "09 alt 6 5", 0x0041, 0x38, 0x4D, 0xCD, 0x4C, 0xCC, 0xB8
        ret

; ---------------------------------------------------------------- INT 8 and 1A
test_time:
        mov ah, 0
        int 0x1A
        mov bx, dx
        mov bp, 1000            ; other interrupts may end a HLT too
.wait:  sti
        hlt
        mov ah, 0
        int 0x1A
        cmp dx, bx
        jne .passed
        dec bp
        jnz .wait
.passed:
        cmp dx, bx
        check ne, "08 ticks pass"
        mov ah, 2
        int 0x1A
        check nc, "1A/02 time"
        cmp ch, 0x24
        check b, "1A/02 hours are BCD"
        mov ah, 4
        int 0x1A
        cmp ch, 0x20
        check e, "1A/04 century"
        ret

; ---------------------------------------------------------------- INT 1A/B1
test_pci:
        mov ax, 0xB101
        xor edi, edi
        int 0x1A
        cmp edx, 0x20494350
        check e, "1A/B101 PCI present"
        mov ax, 0xB103
        mov ecx, 0x060000
        xor si, si
        int 0x1A
        check nc, "1A/B103 host bridge by class"
        mov ax, 0xB10A
        xor di, di
        int 0x1A
        mov edx, ecx
        shr ecx, 16
        mov ax, 0xB102
        xor si, si
        int 0x1A
        check nc, "1A/B102 host bridge by identification"
        mov ax, 0xB109
        mov di, 1
        int 0x1A
        cmp ah, 0x87
        check e, "1A/B109 odd register refused"
        ret

; ---------------------------------------------------------------- INT 13
test_disk:
        mov dl, [drive]
        mov ah, 8
        int 0x13
        check nc, "13/08 parameters"
        push word 0
        pop es
        mov dl, [drive]
        mov ah, 0x15
        int 0x13
        cmp ah, 3
        check e, "13/15 fixed disk"
        mov dl, [drive]
        mov ah, 0x41
        mov bx, 0x55AA
        int 0x13
        cmp bx, 0xAA55
        check e, "13/41 extensions"
        mov word [buffer], 66
        mov dl, [drive]
        mov ah, 0x48
        mov si, buffer
        int 0x13
        check nc, "13/48 extended parameters"
        cmp dword [buffer + 16], 2048
        check e, "13/48 sector count"
        mov di, buffer
        mov cx, 256
        mov ax, 0x1234
.fill:  stosw
        add ax, 0x0305
        loop .fill
        mov dl, [drive]
        mov ax, 0x0301
        mov cx, 0x003D          ; sector 61
        mov dh, 0
        mov bx, buffer
        int 0x13
        check nc, "13/03 write"
        mov si, packet
        mov dl, [drive]
        mov ah, 0x42
        int 0x13
        check nc, "13/42 read"
        mov si, buffer
        mov di, buffer + 512
        mov cx, 256
        repe cmpsw
        check e, "13/42 reads what 03 wrote"
        mov dl, [drive]
        mov ax, 0x0201
        mov cx, 0x0040          ; sector 0 does not exist
        mov dh, 0
        mov bx, buffer
        int 0x13
        check c, "13/02 sector 0 refused"
        mov dword [packet + 8], 0x100000
        mov si, packet
        mov dl, [drive]
        mov ah, 0x42
        int 0x13
        check c, "13/42 past the end refused"
        mov dl, 0x8F
        mov ah, 8
        int 0x13
        check c, "13/08 no such drive"
        push word 0
        pop es
        ret
packet: db 16, 0
        dw 1, buffer + 512, 0
        dq 60

; ---------------------------------------------------------------- INT 10
%macro pixels_in 3              ; mode, colour, name
        mov ax, %1
        int 0x10
        mov ax, 0x0C00 | %2
        mov bx, 0
        mov cx, 123
        mov dx, 45
        int 0x10
        mov ah, 0x0D
        int 0x10
        cmp al, %2
        check e, %3
%endmacro
test_video:
        mov ah, 0x0F
        int 0x10
        cmp ax, 0x5003
        check e, "10/0F mode 3, 80 columns"
        mov ah, 2
        mov bh, 0
        mov dx, 0x0A14
        int 0x10
        mov ah, 3
        int 0x10
        cmp dx, 0x0A14
        check e, "10/02 and 03 cursor"
        mov ax, 0x0958          ; X
        mov bx, 0x001E
        mov cx, 2
        int 0x10
        mov ah, 8
        int 0x10
        cmp ax, 0x1E58
        check e, "10/09 and 08 character"
        push word 0xB800
        pop es
        cmp word [es:(10 * 80 + 21) * 2], 0x1E58
        check e, "10/09 repeats into B8000"
        mov ax, 0x0601
        mov bh, 0x07
        mov cx, 0
        mov dx, 0x184F
        int 0x10
        cmp word [es:(9 * 80 + 21) * 2], 0x1E58
        check e, "10/06 scrolls"
        push word 0
        pop es
        mov ax, 0x1301
        mov bx, 0x002F
        mov cx, 3
        mov dx, 0x0500
        mov bp, text
        int 0x10
        mov ah, 3
        mov bh, 0
        int 0x10
        cmp dx, 0x0503
        check e, "10/13 string moves the cursor"
        mov ax, 0x1A00
        int 0x10
        cmp al, 0x1A
        check e, "10/1A display code"
        cmp bl, 8
        check e, "10/1A VGA with colour"
        mov ax, 0x1B00
        xor bx, bx
        mov di, buffer
        int 0x10
        cmp al, 0x1B
        check e, "10/1B functionality"
        mov ax, 0x1130
        mov bh, 6
        int 0x10
        cmp cx, 16
        check e, "10/1130 character height"
        mov al, [es:bp + 'A' * 16 + 7]
        test al, al
        push word 0
        pop es
        check nz, "10/1130 the 8x16 font has an A"
        mov ax, 0x1015
        mov bl, 7
        int 0x10
        cmp dh, 0x2A
        check e, "10/1015 grey of the palette"
        mov ax, 0x1112
        mov bl, 0
        int 0x10
        cmp byte [0x484], 49
        check e, "10/1112 fifty lines"
        pixels_in 0x13, 77, "10/0C mode 13"
        pixels_in 0x12, 11, "10/0C mode 12"
        pixels_in 0x0D, 9, "10/0C mode 0D"
        pixels_in 0x06, 1, "10/0C mode 6"
        pixels_in 0x04, 2, "10/0C mode 4"
        mov ax, 0x0012
        int 0x10
        mov ax, 0x0EDB          ; a full block
        mov bx, 0x000E
        int 0x10
        mov ah, 0x0D
        mov bh, 0
        mov cx, 3
        mov dx, 5
        int 0x10
        cmp al, 0x0E
        check e, "10/0E character in mode 12"
        mov ax, 3
        int 0x10
        ret
text:   db "abc"

; ---------------------------------------------------------------- INT 10/4F
test_vesa:
        mov ax, 0x4F00
        mov dword [buffer], "VBE2"
        mov di, buffer
        int 0x10
        cmp ax, 0x004F
        check e, "10/4F00"
        cmp dword [buffer], "VESA"
        check e, "10/4F00 signature"
        mov ax, 0x4F01
        mov cx, 0x0144
        mov di, buffer
        int 0x10
        cmp ax, 0x004F
        check e, "10/4F01"
        cmp dword [buffer + 18], 768 << 16 | 1024
        check e, "10/4F01 1024x768"
        cmp dword [buffer + 40], 0
        check ne, "10/4F01 frame buffer"
        mov ax, 0x4F02
        mov bx, 0x4144
        int 0x10
        cmp ax, 0x004F
        check e, "10/4F02 linear mode"
        mov ax, 0x4F03
        int 0x10
        cmp bx, 0x4144
        check e, "10/4F03"
        mov ax, 0x4F06
        mov bl, 1
        int 0x10
        cmp bx, 4096
        check e, "10/4F06 line length"
        mov ax, 0x4F02
        mov bx, 0x0101
        int 0x10
        push word 0xA000
        pop es
        mov byte [es:100], 0x5A
        mov ax, 0x4F05
        xor bx, bx
        mov dx, 1
        int 0x10
        mov byte [es:100], 0xA5
        mov ax, 0x4F05
        xor bx, bx
        xor dx, dx
        int 0x10
        cmp byte [es:100], 0x5A
        check e, "10/4F05 window"
        push word 0
        pop es
        mov ax, 0x4F04
        mov dx, 0
        mov cx, 15
        int 0x10
        cmp ax, 0x004F
        check e, "10/4F04 state size"
        mov ax, 3
        int 0x10
        mov ax, 0x4F03
        int 0x10
        cmp bx, 3
        check e, "10/4F03 after mode 3"
        ret

; ---------------------------------------------------------------- INT 15/C2, INT 74
test_mouse:
        mov ax, 0xC205
        mov bh, 3
        int 0x15
        check nc, "15/C205 mouse initialised"
        mov ax, 0xC207
        mov bx, mouse_handler
        push word 0
        pop es
        int 0x15
        check nc, "15/C207 handler"
        mov ax, 0xC200
        mov bh, 1
        int 0x15
        check nc, "15/C200 enabled"
        mov ax, 0xD308
        call to_controller
        mov ax, 0xD305
        call to_controller
        mov ax, 0xD3FE
        call to_controller
        cmp dword [packet_seen], 0xFE0508
        check e, "74 packet reaches the handler"
        mov ax, 0xC200
        mov bh, 0
        int 0x15
        check nc, "15/C200 disabled"
        keys "09 keyboard works after the mouse", 0x1E61, 0x1E, 0x9E
        ret
mouse_handler:
        push bp
        mov bp, sp
        push ax
        mov al, [bp + 12]
        mov [cs:packet_seen], al
        mov al, [bp + 10]
        mov [cs:packet_seen + 1], al
        mov al, [bp + 8]
        mov [cs:packet_seen + 2], al
        pop ax
        pop bp
        retf
packet_seen: dd 0

; ---------------------------------------------------------------- structures in the F segment
%macro structure 2              ; signature, name; leaves its address in ES:DI
        mov eax, %1
        call find_structure
        check nc, %2
%endmacro
test_tables:
        structure "_32_", "BIOS32 directory"
        call sum_16
        check z, "BIOS32 checksum"
        structure "$PnP", "PnP header"
        structure "$PMM", "PMM header"
        call sum_16
        check z, "PMM checksum"
        structure "RSD ", "ACPI RSDP"
        structure "_MP_", "MP pointer"
        call sum_16
        check z, "MP checksum"
        structure "_SM_", "SMBIOS anchor"
        push word 0
        pop es
        ret
find_structure:
        push word 0xF000
        pop es
        xor di, di
.next:  cmp [es:di], eax
        je .found
        add di, 16
        jnz .next
        stc
        ret
.found: clc
        ret
sum_16: mov cx, 16
        xor al, al
.next:  add al, [es:di]
        inc di
        loop .next
        test al, al
        ret

        times 32 * 512 - ($ - $$) db 0
buffer  equ 0x6000
        times 1048576 - ($ - $$) db 0
