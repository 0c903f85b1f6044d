        .global server_page, server_page_end
        .section .rodata
        .balign 64
server_page:
        .incbin PAGE_FILE
server_page_end:
        .byte 0
        .section .note.GNU-stack, "", @progbits
