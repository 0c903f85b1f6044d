/* The files of the default model, each at a cache line. A zero byte follows each one. */
        .macro embed symbol:req, file:req
        .global \symbol, \symbol\()_end
        .balign 64
\symbol:
        .incbin "\file"
\symbol\()_end:
        .byte 0
        .endm

        .section .rodata
        embed embedded_onnx, "model.onnx"
        embed embedded_config, "config.json"
        embed embedded_preprocessor, "preprocessor_config.json"
        .section .note.GNU-stack, "", @progbits
