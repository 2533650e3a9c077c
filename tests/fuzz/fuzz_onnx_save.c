/*
 * fuzz_onnx_save.c: libFuzzer against saving: whatever loads is saved or refused in words, and what was saved loads and is
 * saved or refused again.  (That the bytes are then the same holds for graphs that can run, which most of these cannot.)
 */
#include <stddef.h>
#include <stdint.h>

#include "core/base/mem.h"
#include "core/onnx/onnx.h"
#include "core/onnx/onnx_save.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void must(enum err err)
{
    if (err != ERR_NONE) {
        __builtin_trap();
    }
}

static void save(const struct graph *graph)
{
    struct err_note note = {0};
    struct graph *loaded;
    unsigned char *saved;
    unsigned char *again;
    size_t n_saved;
    size_t n_again;

    if (onnx_save(graph, NULL, &saved, &n_saved, &note) != ERR_NONE) {
        if (note.text[0] == '\0') {
            __builtin_trap();
        }
        return;
    }
    must(onnx_load(saved, n_saved, ONNX_AS_WRITTEN, &loaded, NULL, &note));
    graph_seal(loaded);
    note = (struct err_note){0};
    if (onnx_save(loaded, NULL, &again, &n_again, &note) == ERR_NONE) {
        mem_free(again);
    } else if (note.text[0] == '\0') {
        __builtin_trap();
    }
    mem_free(saved);
    graph_free(loaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph;

    if (onnx_load(bytes, n_bytes, ONNX_AS_WRITTEN, &graph, NULL, NULL) == ERR_NONE) {
        graph_seal(graph);
        save(graph);
        graph_free(graph);
    }
    if (mem_live_blocks() != blocks) {
        __builtin_trap();
    }
    return 0;
}
