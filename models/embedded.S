/* The files of EMBEDDED_DIRECTORY, each at a cache line. A zero byte follows each one. */
#define EMBED(symbol, file)                                                                                  \
        .global symbol, symbol##_end;                                                                        \
        .balign 64;                                                                                          \
        symbol:                                                                                              \
        .incbin EMBEDDED_DIRECTORY "/" file;                                                                 \
        symbol##_end:                                                                                        \
        .byte 0

        .section .rodata
        EMBED(embedded_onnx, "model.onnx")
        EMBED(embedded_config, "config.json")
        EMBED(embedded_preprocessor, "preprocessor_config.json")
        .section .note.GNU-stack, "", @progbits
