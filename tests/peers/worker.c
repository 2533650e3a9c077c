/*
 * worker.c MODEL BATCH THREADS SIDE LOW HIGH [DUMP [KERNELS [MEMORY WEIGHTS]]]: runs one network on one image of chance when
 * told to.
 *
 * Says {"ready": 1, ...} on standard output, then reads lines: a number n runs n times and answers {"wall": [ms], "cpu": [ms]}; 0
 * ends.  DUMP is where the outputs of the first run go, one file each; names of inner values behind it, each after a comma,
 * send those there too.  MODEL is an ONNX file, or a safetensors file of an IResNet-100.  With MEMORY and WEIGHTS, the settings of
 * the daemon, weights as the file has them are given back as a recogniser gives them back, and "rest" says how many bytes are left
 * of them.  What runs is what the daemon runs: the graph as the file's reader leaves it, one session, a pool of THREADS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/graph/packing.h"
#include "core/graph/session.h"
#include "core/kernel/kernels.h"
#include "core/onnx/onnx.h"
#include "core/train/build.h"

static void die(const char *what, const struct err_note *note)
{
    fprintf(stderr, "worker: %s: %s\n", what, note != NULL && note->text[0] != '\0' ? note->text : "failed");
    exit(1);
}

static double cpu_ms(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e3 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-3;
}

static long resident_bytes(void)
{
    long pages = 0;
    long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static struct graph *load(const char *path)
{
    struct err_note note = {0};
    struct graph *graph = NULL;
    struct onnx_info info;
    const char *end = strstr(path, ".safetensors");
    const unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    if (file_map(path, (size_t)4 << 30, &bytes, &n_bytes, &note) != ERR_NONE) {
        die(path, &note);
    }
    enum err err = end != NULL ? build_from_safetensors(BUILD_IRESNET100, bytes, n_bytes, &graph, &note)
                               : onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, &note);
    file_unmap(bytes, n_bytes);
    if (err != ERR_NONE) {
        die(path, &note);
    }
    return graph;
}

/* The same numbers as ort_worker.js's. */
static float *image_of_chance(int64_t count, float low, float high)
{
    float *x = MEM_ARRAY(float, (size_t)count);
    float scale = (high - low) / 65536;
    uint32_t seed = 12345;

    for (int64_t i = 0; x != NULL && i < count; i++) {
        seed = seed * 1103515245U + 12345U;
        x[i] = (float)(seed >> 8 & 0xFFFFU) * scale + low;
    }
    return x;
}

static void dump_one(const char *path, int number, const struct tensor *tensor)
{
    char name[4096];
    snprintf(name, sizeof name, "%s.%d", path, number);
    FILE *file = fopen(name, "wb");
    size_t bytes = tensor_bytes(tensor);

    if (file == NULL || fwrite(tensor->data, 1, bytes, file) != bytes || fclose(file) != 0) {
        die(name, NULL);
    }
}

static const struct tensor *value_called(const struct graph *graph, const struct session *session, const char *name)
{
    const struct tensor *found = NULL;

    for (value_id id = 0; id < graph_value_count(graph); id++) {
        if (strcmp(graph_value_name(graph, id), name) == 0) {
            found = session_value(session, id);
        }
    }
    if (found == NULL) {
        die(name, &(struct err_note){.text = "the network computes no value of this name"});
    }
    return found;
}

/* Cuts path off at its first comma; what follows are names of values of the graph. */
static void dump(char *path, const struct graph *graph, const struct session *session, const struct tensor *outputs)
{
    int n = graph_output_count(graph);
    char *rest = NULL;

    path = strtok_r(path, ",", &rest);
    for (int i = 0; i < n; i++) {
        dump_one(path, i, &outputs[i]);
    }
    for (const char *name = strtok_r(NULL, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        dump_one(path, n++, value_called(graph, session, name));
    }
}

/* As core/face/embed.c does once it has seen a recogniser run. */
static void give_back(struct graph *graph, struct session *session, const struct tensor *one)
{
    struct tensor many = *one;
    struct tensor outputs[64];
    struct err_note note = {0};

    if (packing_chosen().fast) {
        many.shape.dim[0] = 8;
        many.data = mem_new((size_t)shape_elements(&many.shape), sizeof(float));
        if (many.data == NULL ||
            session_run(session, &many, 1, outputs, graph_output_count(graph), &note) != ERR_NONE ||
            session_run(session, one, 1, outputs, graph_output_count(graph), &note) != ERR_NONE) {
            die("run", &note);
        }
        mem_free(many.data);
    }
    graph_drop_packed(graph);
}

int main(int argc, char **argv)
{
    struct err_note note = {0};
    struct session *session = NULL;
    struct pool *pool = NULL;
    struct tensor outputs[64];
    char line[64];

    if (argc < 7) {
        fprintf(stderr, "usage: worker MODEL BATCH THREADS SIDE LOW HIGH [DUMP [KERNELS [MEMORY WEIGHTS]]]\n");
        return 2;
    }
    if (kernels_force(argc > 8 ? argv[8] : "auto", &note) != ERR_NONE) {
        die("kernels", &note);
    }
    if (argc > 10 && packing_choose(argv[9], argv[10], &note) != ERR_NONE) {
        die("packing", &note);
    }
    const int64_t side = strtol(argv[4], NULL, 10);
    struct tensor input = {.type = DTYPE_F32, .shape = {4, {strtol(argv[2], NULL, 10), 3, side, side}}};
    input.data = image_of_chance(shape_elements(&input.shape), strtof(argv[5], NULL), strtof(argv[6], NULL));
    if (input.data == NULL || pool_new((int)strtol(argv[3], NULL, 10), &pool) != ERR_NONE) {
        die("memory", NULL);
    }
    const bool inner = argc > 7 && strchr(argv[7], ',') != NULL;
    const struct session_options options = {.pool = pool, .keep_all = inner};
    const int64_t start = clock_monotonic_ns();
    struct graph *graph = load(argv[1]);
    const double load_ms = (double)(clock_monotonic_ns() - start) * 1e-6;
    const int n_outputs = graph_output_count(graph);
    if (n_outputs > 64 || session_new(graph, &options, &session) != ERR_NONE) {
        die("session", NULL);
    }
    if (session_run(session, &input, 1, outputs, n_outputs, &note) != ERR_NONE) {
        die("run", &note);
    }
    const double ready_ms = (double)(clock_monotonic_ns() - start) * 1e-6;
    if (argc > 7 && argv[7][0] != '\0') {
        dump(argv[7], graph, session, outputs);
    }
    const size_t weights = graph_constant_bytes(graph);
    if (argc > 10) {
        give_back(graph, session, &input);
    }
    printf("{\"ready\": 1, \"load\": %.1f, \"first\": %.1f, \"weights\": %zu, \"rest\": %zu, \"peak\": %zu, "
           "\"resident\": %ld}\n",
           load_ms, ready_ms, weights, graph_constant_bytes(graph) + graph_packed_bytes(graph),
           session_peak_bytes(session), resident_bytes());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        const long n = strtol(line, NULL, 10);
        double wall[1000];
        double cpu[1000];
        if (n < 1 || n > 1000) {
            break;
        }
        for (long i = 0; i < n; i++) {
            const double c = cpu_ms();
            const int64_t t = clock_monotonic_ns();
            if (session_run(session, &input, 1, outputs, n_outputs, &note) != ERR_NONE) {
                die("run", &note);
            }
            wall[i] = (double)(clock_monotonic_ns() - t) * 1e-6;
            cpu[i] = cpu_ms() - c;
        }
        for (int k = 0; k < 2; k++) {
            printf(k == 0 ? "{\"wall\": [" : "], \"cpu\": [");
            for (long i = 0; i < n; i++) {
                printf("%s%.3f", i > 0 ? ", " : "", k == 0 ? wall[i] : cpu[i]);
            }
        }
        printf("]}\n");
        fflush(stdout);
    }
    session_free(session);
    graph_free(graph);
    pool_free(pool);
    mem_free(input.data);
    return 0;
}
