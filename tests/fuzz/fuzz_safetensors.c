/* fuzz_safetensors.c: libFuzzer against the reader of safetensors files. */
#include <stddef.h>
#include <stdint.h>

#include "core/base/mem.h"
#include "core/onnx/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    size_t blocks = mem_live_blocks();
    struct arena *mem = arena_new((size_t)1 << 22);
    struct safetensors file;
    struct err_note note = {0};
    enum err err = safetensors_read(bytes, n_bytes, mem, &file, &note);

    if (err != ERR_NONE && note.text[0] == '\0') {
        __builtin_trap();
    }
    for (int i = 0; err == ERR_NONE && i < file.count; i++) {
        const struct safetensors_entry *entry = &file.list[i];
        float *floats = mem_new(entry->n_bytes / 2 + 1, sizeof *floats);
        if (safetensors_find(&file, entry->name) != entry || floats == NULL) {
            __builtin_trap();
        }
        (void)!safetensors_floats(entry, floats, NULL);
        mem_free(floats);
    }
    arena_free(mem);
    if (mem_live_blocks() != blocks) {
        __builtin_trap();
    }
    return 0;
}
