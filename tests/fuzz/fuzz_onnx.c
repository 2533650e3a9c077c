/*
 * fuzz_onnx.c: libFuzzer against the loader, the passes, the plan and the operators, from one file of bytes.
 *
 * A file that loads is run twice with inputs of its declared shapes, free dimensions filled from the file's own length.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/session.h"
#include "core/onnx/onnx.h"

#define MAX_IO 8
#define INPUT_BYTES ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void run(const struct graph *graph, int64_t free_dim)
{
    static _Alignas(64) unsigned char data[MAX_IO][INPUT_BYTES];
    struct tensor inputs[MAX_IO];
    struct tensor outputs[MAX_IO];
    struct session *session;
    struct session_options options = {.memory_limit = (size_t)4 << 20};
    int n_inputs = graph_input_count(graph);
    int n_outputs = graph_output_count(graph);

    if (n_inputs > MAX_IO || n_outputs > MAX_IO || session_new(graph, &options, &session) != ERR_NONE) {
        return;
    }
    bool fits = true;
    for (int i = 0; i < n_inputs; i++) {
        const struct graph_io *input = graph_input(graph, i);
        inputs[i] = (struct tensor){.type = input->type, .shape = input->shape, .data = data[i]};
        if (input->shape.rank < 0) {
            inputs[i].shape = (struct shape){.rank = 2, .dim = {free_dim, 3}};
        }
        for (int k = 0; k < inputs[i].shape.rank; k++) {
            inputs[i].shape.dim[k] = inputs[i].shape.dim[k] < 0 ? free_dim : inputs[i].shape.dim[k];
        }
        int64_t count;
        fits = fits && shape_count(&inputs[i].shape, &count) && count <= (int64_t)(INPUT_BYTES / 8);
    }
    struct err_note note = {0};
    if (fits) {
        enum err err = session_run(session, inputs, n_inputs, outputs, n_outputs, &note);
        if (err != ERR_NONE && note.text[0] == '\0') {
            __builtin_trap();
        }
    }
    session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    size_t blocks = mem_live_blocks();

    for (int purpose = 0; purpose < 2; purpose++) {
        struct graph *graph;
        struct err_note note = {0};
        enum err err = onnx_load(bytes, n_bytes, (enum onnx_purpose)purpose, &graph, NULL, &note);
        if (err != ERR_NONE) {
            if (note.text[0] == '\0') {
                __builtin_trap();
            }
            continue;
        }
        if (purpose == ONNX_AS_WRITTEN) {
            graph_seal(graph);
        }
        run(graph, 1);
        run(graph, 2 + (int64_t)(n_bytes % 7));
        graph_free(graph);
    }
    if (mem_live_blocks() != blocks) {
        __builtin_trap();
    }
    return 0;
}
