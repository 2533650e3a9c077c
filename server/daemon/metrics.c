/* metrics.c: atomic counters and their text. */
#include "server/daemon/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"

/* Every status the API can answer; anything else is counted in the last place. */
static const int statuses[] = {200, 201, 202, 204, 400, 401, 403, 404, 405, 409,
                               413, 415, 422, 429, 431, 500, 501, 503, 507, 0};
#define N_STATUSES ((int)(sizeof(statuses) / sizeof(statuses[0])))

/* Upper bounds in seconds: a search takes fractions of a millisecond, a large photo a second. */
static const double bounds[] = {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
#define N_BOUNDS ((int)(sizeof(bounds) / sizeof(bounds[0])))

struct histogram {
    atomic_int_fast64_t bucket[N_BOUNDS + 1]; /* not cumulative; the text sums them */
    atomic_int_fast64_t sum_ns;
};

/* any thread (atomic) */
static atomic_int_fast64_t requests[METRICS_MAX_ROUTES + 1][N_STATUSES];
static struct histogram request_time;
static struct histogram stage_time[METRICS_STAGES];
static atomic_int_fast64_t counters[METRICS_COUNTERS];
static atomic_int_fast64_t gauges[METRICS_GAUGES];

/* any thread (atomic); the progress is that of the job that runs */
static struct {
    atomic_int_fast64_t ends[METRICS_JOB_ENDS];
    atomic_int_fast64_t running;
} jobs[METRICS_MAX_JOB_KINDS];
static atomic_int_fast64_t job_done, job_total;

static const char *const job_end_names[METRICS_JOB_ENDS] = {"succeeded", "failed", "cancelled", "put_back"};

/* written before threads start */
static const char *job_kinds[METRICS_MAX_JOB_KINDS];
static int n_job_kinds;
static const char *route_names[METRICS_MAX_ROUTES + 1] = {[METRICS_MAX_ROUTES] = "none"};

static const char *const stage_names[METRICS_STAGES] = {"queue", "decode", "detect", "align",
                                                        "embed", "search", "store"};

static const struct {
    const char *name, *help;
} counter_texts[METRICS_COUNTERS] = {
    [METRICS_ENROLLED] = {"arcfaced_faces_enrolled_total", "Faces enrolled since the start."},
    [METRICS_FORGOTTEN] = {"arcfaced_faces_forgotten_total", "Faces deleted since the start."},
    [METRICS_REFUSED_BUSY] = {"arcfaced_refused_busy_total", "Requests refused because a queue was full."},
    [METRICS_TIMED_OUT] = {"arcfaced_timed_out_total", "Requests that reached their deadline."},
    [METRICS_CLIENTS_GONE] = {"arcfaced_clients_gone_total", "Requests dropped because their client had left."},
    [METRICS_SLOW_CLIENTS] = {"arcfaced_slow_clients_total", "Connections cut because they were too slow."},
    [METRICS_AUTH_REFUSED] = {"arcfaced_auth_refused_total", "Requests without a valid key."},
    [METRICS_TRAINED_READY] = {"arcfaced_trained_ready_total", "Trained models that passed their gate."},
    [METRICS_TRAINED_REJECTED] = {"arcfaced_trained_rejected_total", "Trained models that did not pass their gate."},
};

static const struct {
    const char *name, *help;
} gauge_texts[METRICS_GAUGES] = {
    [METRICS_QUEUED] = {"arcfaced_queue_length", "Requests waiting for a worker."},
    [METRICS_RUNNING] = {"arcfaced_running", "Requests in a worker."},
    [METRICS_CONNECTIONS] = {"arcfaced_connections", "Open connections."},
    [METRICS_BODY_BYTES] = {"arcfaced_body_bytes", "Bytes of request bodies held."},
    [METRICS_FACES] = {"arcfaced_faces", "Faces in the gallery."},
    [METRICS_SUBJECTS] = {"arcfaced_subjects", "Subjects enrolled."},
    [METRICS_COLLECTIONS] = {"arcfaced_collections", "Collections in the gallery."},
    [METRICS_MODELS] = {"arcfaced_models", "Models in memory."},
    [METRICS_MODEL_BYTES] = {"arcfaced_model_bytes", "Memory of the models' weights."},
    [METRICS_INDEX_BYTES] = {"arcfaced_index_bytes", "Memory of the indexes, estimated."},
    [METRICS_ACCELERATED_FACES] = {"arcfaced_accelerated_faces",
                                   "Faces that FAISS answers for, where a collection says so."},
    [METRICS_ACCELERATOR_BYTES] = {"arcfaced_accelerator_bytes", "Memory of the indexes that FAISS has for this."},
};

static void add(atomic_int_fast64_t *counter, int64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static int64_t get(atomic_int_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void observe(struct histogram *histogram, int64_t ns)
{
    int i = 0;
    while (i < N_BOUNDS && (double)ns > bounds[i] * 1e9) {
        i++;
    }
    add(&histogram->bucket[i], 1);
    add(&histogram->sum_ns, ns);
}

void metrics_name_route(int route, const char *name)
{
    if (route >= 0 && route < METRICS_MAX_ROUTES) {
        route_names[route] = name;
    }
}

void metrics_request(int route, int status, int64_t ns)
{
    int place = 0;
    while (place < N_STATUSES - 1 && statuses[place] != status) {
        place++;
    }
    add(&requests[route < 0 || route >= METRICS_MAX_ROUTES ? METRICS_MAX_ROUTES : route][place], 1);
    observe(&request_time, ns);
}

void metrics_name_job(const char *kind)
{
    if (n_job_kinds < METRICS_MAX_JOB_KINDS) {
        job_kinds[n_job_kinds++] = kind;
    }
}

static int job_place(const char *kind)
{
    int place = 0;

    while (place < n_job_kinds && strcmp(job_kinds[place], kind) != 0) {
        place++;
    }
    return place < n_job_kinds ? place : -1;
}

void metrics_job_progress(int64_t done, int64_t total)
{
    atomic_store_explicit(&job_done, done, memory_order_relaxed);
    atomic_store_explicit(&job_total, total, memory_order_relaxed);
}

void metrics_job_begins(const char *kind)
{
    int place = job_place(kind);

    metrics_job_progress(0, 0);
    if (place >= 0) {
        add(&jobs[place].running, 1);
    }
}

void metrics_job_ends(const char *kind, enum metrics_job_end end)
{
    int place = job_place(kind);

    if (place >= 0) {
        add(&jobs[place].running, -1);
        add(&jobs[place].ends[end], 1);
    }
    metrics_job_progress(0, 0);
}

void metrics_time(enum metrics_stage stage, int64_t ns)
{
    observe(&stage_time[stage], ns);
}

void metrics_count(enum metrics_counter counter, int64_t n)
{
    add(&counters[counter], n);
}

void metrics_add(enum metrics_gauge gauge, int64_t n)
{
    add(&gauges[gauge], n);
}

void metrics_set(enum metrics_gauge gauge, int64_t value)
{
    atomic_store_explicit(&gauges[gauge], value, memory_order_relaxed);
}

int64_t metrics_gauge_value(enum metrics_gauge gauge)
{
    return get(&gauges[gauge]);
}

int64_t metrics_counter_value(enum metrics_counter counter)
{
    return get(&counters[counter]);
}

/* ---- The text ---------------------------------------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t used, room;
    bool full;
};

static void put(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct text *text, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    int length = vsnprintf(text->bytes + text->used, text->room - text->used, format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= text->room - text->used) {
        text->full = true;
        return;
    }
    text->used += (size_t)length;
}

static void put_head(struct text *text, const char *name, const char *type, const char *help)
{
    put(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_histogram(struct text *text, const char *name, const char *label, const char *value,
                          struct histogram *histogram)
{
    int64_t count = 0;
    const char *comma = *label == '\0' ? "" : ",";
    char labels[64] = "";

    if (*label != '\0') {
        (void)snprintf(labels, sizeof(labels), "%s=\"%s\"", label, value);
    }
    for (int i = 0; i <= N_BOUNDS; i++) {
        count += get(&histogram->bucket[i]);
        if (i < N_BOUNDS) {
            put(text, "%s_bucket{%s%sle=\"%g\"} %" PRId64 "\n", name, labels, comma, bounds[i], count);
        } else {
            put(text, "%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", name, labels, comma, count);
        }
    }
    put(text, "%s_sum{%s} %.9f\n", name, labels, (double)get(&histogram->sum_ns) / 1e9);
    put(text, "%s_count{%s} %" PRId64 "\n", name, labels, count);
}

/* Resident memory as the system counts it; 0 where there is no /proc. */
static int64_t resident_bytes(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");

    if (statm == NULL) {
        return 0;
    }
    if (fscanf(statm, "%*s %ld", &pages) != 1) { // NOLINT(cert-err34-c): the kernel's own number
        pages = 0;
    }
    (void)fclose(statm);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Every kind from the start on, so that a rate of failures can be asked for before the first one. */
static void put_jobs(struct text *text)
{
    int64_t done = get(&job_done);
    int64_t total = get(&job_total);

    put_head(text, "arcfaced_jobs_total", "counter", "Jobs that ended, and those put back for the next start.");
    for (int i = 0; i < n_job_kinds; i++) {
        for (int end = 0; end < METRICS_JOB_ENDS; end++) {
            put(text, "arcfaced_jobs_total{kind=\"%s\",state=\"%s\"} %" PRId64 "\n", job_kinds[i], job_end_names[end],
                get(&jobs[i].ends[end]));
        }
    }
    put_head(text, "arcfaced_jobs_running", "gauge", "Jobs at work.");
    for (int i = 0; i < n_job_kinds; i++) {
        put(text, "arcfaced_jobs_running{kind=\"%s\"} %" PRId64 "\n", job_kinds[i], get(&jobs[i].running));
    }
    put_head(text, "arcfaced_job_progress_ratio", "gauge", "How far the job at work is, 0 to 1; 0 without one.");
    put(text, "arcfaced_job_progress_ratio %g\n",
        total > 0 ? (double)(done < total ? done : total) / (double)total : 0);
}

static void put_all(struct text *text)
{
    put_head(text, "arcfaced_requests_total", "counter", "Answered requests.");
    for (int i = 0; i <= METRICS_MAX_ROUTES; i++) {
        for (int j = 0; j < N_STATUSES; j++) {
            int64_t count = get(&requests[i][j]);
            if (count > 0 && route_names[i] != NULL) {
                char status[8] = "other"; /* none: the HTTP library answered by itself, or the client left before */
                if (statuses[j] != 0) {
                    (void)snprintf(status, sizeof(status), "%d", statuses[j]);
                }
                put(text, "arcfaced_requests_total{route=\"%s\",status=\"%s\"} %" PRId64 "\n", route_names[i], status,
                    count);
            }
        }
    }
    put_head(text, "arcfaced_request_seconds", "histogram", "From the head of a request to its answer.");
    put_histogram(text, "arcfaced_request_seconds", "", "", &request_time);
    put_head(text, "arcfaced_stage_seconds", "histogram", "Time per stage of a request.");
    for (int i = 0; i < METRICS_STAGES; i++) {
        put_histogram(text, "arcfaced_stage_seconds", "stage", stage_names[i], &stage_time[i]);
    }
    for (int i = 0; i < METRICS_COUNTERS; i++) {
        put_head(text, counter_texts[i].name, "counter", counter_texts[i].help);
        put(text, "%s %" PRId64 "\n", counter_texts[i].name, get(&counters[i]));
    }
    put_jobs(text);
    for (int i = 0; i < METRICS_GAUGES; i++) {
        put_head(text, gauge_texts[i].name, "gauge", gauge_texts[i].help);
        put(text, "%s %" PRId64 "\n", gauge_texts[i].name, get(&gauges[i]));
    }
    put_head(text, "arcfaced_memory_live_bytes", "gauge", "Bytes that the program itself holds on the heap.");
    put(text, "arcfaced_memory_live_bytes %zu\n", mem_live_bytes());
    put_head(text, "arcfaced_memory_live_blocks", "gauge", "Blocks that the program itself holds on the heap.");
    put(text, "arcfaced_memory_live_blocks %zu\n", mem_live_blocks());
    put_head(text, "process_resident_memory_bytes", "gauge", "Resident memory.");
    put(text, "process_resident_memory_bytes %" PRId64 "\n", resident_bytes());
}

enum err metrics_text(struct arena *mem, const char **ret, size_t *ret_bytes)
{
    /* Routes × statuses are few in practice; the second size holds the worst case. */
    static const size_t rooms[] = {64 << 10, 512 << 10};

    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        struct text text = {.bytes = ARENA_ARRAY(mem, char, rooms[i]), .room = rooms[i]};
        if (text.bytes == NULL) {
            return arena_why(mem);
        }
        put_all(&text);
        if (!text.full) {
            *ret = text.bytes;
            *ret_bytes = text.used;
            return ERR_NONE;
        }
    }
    return ERR_LIMIT;
}
