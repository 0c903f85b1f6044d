/* CONTRACT_FILE, byte for byte; a zero byte follows it. */
        .section .rodata
        .global contract_json, contract_json_end
contract_json:
        .incbin CONTRACT_FILE
contract_json_end:
        .byte 0
        .section .note.GNU-stack, "", @progbits
