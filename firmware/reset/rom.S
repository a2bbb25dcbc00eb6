# SPDX-License-Identifier: GPL-2.0-or-later
# The ROM image: E segment (data of the services, then POST) and F segment (code of the services, reset vector).
.section .rom, "a"
    .incbin "services_data.bin"
    .org 0x7000, 0xFF
    .incbin "post.bin"
    .org 0x10000, 0xFF
    .incbin "services_text.bin"
    .org 0x20000, 0xFF
