/*
 * command_serve.c: the daemon's life, in the order of its parts.
 *
 * Settings are read completely before anything is opened; then folder, rows, models with their collections and indexes, jobs,
 * and last the sockets: who can connect is answered.  Stopping goes the same way back.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "core/kernel/gemm.h"
#include "core/kernel/kernels.h"
#include "server/command.h"
#include "server/daemon/life.h"
#include "server/daemon/log.h"
#include "server/daemon/log_kernels.h"
#include "server/daemon/metrics.h"
#include "server/data_folder.h"
#include "server/http/auth.h"
#include "server/http/listen.h"
#include "server/http/service.h"
#include "server/jobs/backup_job.h"
#include "server/jobs/gallery_jobs.h"
#include "server/jobs/generate_job.h"
#include "server/jobs/housekeeping.h"
#include "server/jobs/import_job.h"
#include "server/jobs/maintenance.h"
#include "server/jobs/training_job.h"
#include "server/store/store.h"

#define HOUSEKEEPING_S 3600

/* ---- What is said at the start ------------------------------------------------------------------------------------ */

static void say(void *context, enum gallery_severity severity, const char *event, const char *sentence)
{
    static const enum log_level levels[] = {[GALLERY_SAY_INFO] = LOG_LEVEL_INFO,
                                            [GALLERY_SAY_WARN] = LOG_LEVEL_WARN,
                                            [GALLERY_SAY_ERROR] = LOG_LEVEL_ERROR};

    (void)context;
    log_event(levels[severity], event, "text=%s", sentence);
}

static void log_start(const struct config *config, const char *kernel_variants)
{
    const struct kernel_report *report = kernels_report();
    int64_t workers = config_workers(config);

    log_event(LOG_LEVEL_INFO, "starting",
              "version=%s cpu=%s processors=%d kernels=%s openblas=%s workers=%ld arena_bytes=%ld session_bytes=%ld "
              "requests_bytes_max=%ld kernel_variants=%s",
              ARCFACED_VERSION, cpu_info()->name, cpu_count(), kernel_level_word(report->set), gemm_core(),
              (long)workers, (long)config->arena_bytes, (long)config->session_bytes,
              (long)(workers * config->arena_bytes), kernel_variants);
    log_kernels_refused(report);
}

static enum err log_models(struct gallery *gallery)
{
    struct gallery_worker *worker = NULL;
    struct model_info *models = NULL;
    struct gallery_usage usage = {0};
    int n = 0;

    enum err err = gallery_worker_new(gallery, (size_t)4 << 20, &worker);
    if (err == ERR_NONE) {
        err = gallery_models(worker, &models, &n);
        for (int i = 0; i < n && err == ERR_NONE; i++) {
            log_event(LOG_LEVEL_INFO, "model", "role=%s version=%s file=%s dim=%d side=%d source=%s licence=%s",
                      models[i].role, models[i].version, models[i].file, models[i].dim, models[i].side,
                      models[i].source, models[i].licence);
        }
    }
    gallery_worker_free(worker);
    gallery_usage(gallery, &usage);
    log_event(LOG_LEVEL_INFO, "gallery", "collections=%d faces=%ld model_bytes=%zu index_bytes=%zu", usage.collections,
              (long)usage.indexed_faces, usage.model_bytes, usage.index_bytes);
    return err;
}

/* ---- The parts, from the rows up to the sockets -------------------------------------------------------------------- */

#define N_KINDS 8 /* of jobs */

struct daemon {
    const struct config *config;
    struct life *life;
    struct store *store;
    struct gallery *gallery;
    struct import_job import;
    struct training_job training;
    struct generate_job generate;
    struct job_handler kinds[N_KINDS];
    struct jobs *jobs;
    struct housekeeping *housekeeping;
    struct service *service;
    struct listener *listener;
    char kernel_variants[KERNELS_TEXT_BYTES];
};

static enum err give_first_key(const struct daemon *daemon, struct err_note *note)
{
    char secret[KEY_SECRET_TEXT] = "";

    enum err err = auth_first_key(daemon->store, daemon->config->bootstrap_key, secret, note);
    if (err == ERR_NONE && secret[0] != '\0') {
        /* To standard output, not to the log: logs are collected and kept. */
        (void)printf("arcfaced: the first admin key, shown this once: %s\n", secret);
        (void)fflush(stdout);
        mem_wipe(secret, sizeof secret);
    }
    return err;
}

/* Hears of each job when it begins and when it ends, or is put back to go on later. */
static void count_job(const struct job_row *row)
{
    switch (row->state) {
    case JOB_RUNNING: metrics_job_begins(row->kind); break;
    case JOB_SUCCEEDED: metrics_job_ends(row->kind, METRICS_JOB_SUCCEEDED); break;
    case JOB_FAILED: metrics_job_ends(row->kind, METRICS_JOB_FAILED); break;
    case JOB_CANCELLED: metrics_job_ends(row->kind, METRICS_JOB_CANCELLED); break;
    case JOB_QUEUED: metrics_job_ends(row->kind, METRICS_JOB_PUT_BACK); break;
    }
}

static void log_job(void *context, const struct job_row *row)
{
    (void)context;
    count_job(row);
    log_event(row->state == JOB_FAILED ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "job",
              "job=%ld kind=%s state=%s attempt=%d error=%s text=%s", (long)row->id, row->kind,
              job_state_word(row->state), row->attempts, row->error, row->sentence);
}

static enum err start_jobs(struct daemon *daemon, struct err_note *note)
{
    const struct job_watcher watcher = {.changed = log_job};

    daemon->kinds[0] = maintenance_handler();
    daemon->kinds[1] = activate_handler(daemon->gallery);
    daemon->kinds[2] = purify_handler(daemon->gallery);
    daemon->kinds[3] = evaluate_handler(daemon->gallery);
    daemon->import = (struct import_job){
        .gallery = daemon->gallery, .data = daemon->config->data, .arena_bytes = (size_t)daemon->config->arena_bytes};
    daemon->kinds[4] = import_handler(&daemon->import);
    daemon->kinds[5] = backup_handler(daemon->config->data);
    daemon->training = (struct training_job){.gallery = daemon->gallery,
                                             .data = daemon->config->data,
                                             .memory_bytes = daemon->config->training_bytes,
                                             .kill_at = daemon->config->kill_at};
    daemon->kinds[6] = training_handler(&daemon->training);
    daemon->generate = (struct generate_job){.gallery = daemon->gallery, .data = daemon->config->data};
    daemon->kinds[7] = generate_handler(&daemon->generate);
    import_job_tidy(daemon->store, daemon->config->data);
    for (int i = 0; i < N_KINDS; i++) {
        metrics_name_job(daemon->kinds[i].kind);
    }
    return jobs_start(daemon->store, daemon->kinds, N_KINDS, &watcher, &daemon->jobs, note);
}

static enum err open_all(struct daemon *daemon, struct err_note *note)
{
    const struct config *config = daemon->config;
    struct gallery_options options = command_gallery_options(config);
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/arcfaced.db", config->data) >= (int)sizeof path) {
        return ERR_SAY(note, ERR_MISUSE, "the path of the data folder is too long");
    }
    enum err err = store_open(path, NULL, &daemon->store, note);
    if (err == ERR_NONE) {
        options.store = daemon->store;
        options.listener.say = say;
        err = gallery_open(&options, &daemon->gallery, note);
    }
    if (err == ERR_NONE) {
        err = log_models(daemon->gallery);
    }
    if (err == ERR_NONE) {
        err = start_jobs(daemon, note);
    }
    if (err == ERR_NONE) {
        err = housekeeping_start(daemon->gallery, HOUSEKEEPING_S, config->idempotency_hours * 3600,
                                 &daemon->housekeeping, note);
    }
    if (err == ERR_NONE && !config->no_auth) {
        err = give_first_key(daemon, note);
    }
    const struct service_parts parts = {.config = config,
                                        .gallery = daemon->gallery,
                                        .store = daemon->store,
                                        .jobs = daemon->jobs,
                                        .facts = {.version = ARCFACED_VERSION,
                                                  .compiler = "gcc " __VERSION__,
                                                  .kernels = kernel_level_word(kernels_report()->set),
                                                  .kernel_variants = daemon->kernel_variants,
                                                  .openblas = gemm_core()}};
    if (err == ERR_NONE) {
        err = service_new(&parts, &daemon->service);
    }
    return err == ERR_NONE ? listener_open(daemon->service, &parts, &daemon->listener, note) : err;
}

static void close_all(struct daemon *daemon)
{
    struct err_note note = {0};

    listener_close(daemon->listener);
    housekeeping_stop(daemon->housekeeping);
    jobs_stop(daemon->jobs);
    service_free(daemon->service);
    gallery_close(daemon->gallery);
    enum err err = daemon->store == NULL ? ERR_NONE : store_close(daemon->store, &note);
    if (err != ERR_NONE) {
        log_event(LOG_LEVEL_WARN, "store_close", "error=%s text=%s", err_word(err), note.text);
    }
}

static enum err run_daemon(const struct config *config, struct err_note *note)
{
    struct daemon daemon = {.config = config};

    enum err err = life_begin(main_end_at_once, &daemon.life);
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "the thread that waits for signals cannot be started");
    }
    log_start(config, kernels_text(kernels_report(), daemon.kernel_variants));
    err = open_all(&daemon, note);
    if (err == ERR_NONE) {
        log_event(LOG_LEVEL_INFO, "listening", "host=%s port=%d", config->listen_host, listener_port(daemon.listener));
        int signal_number = life_wait(daemon.life);
        log_event(LOG_LEVEL_INFO, "stopping", "signal=%d drain_ms=%ld", signal_number, (long)config->drain_ms);
        service_stop_admitting(daemon.service);
        jobs_ask_stop(daemon.jobs); /* while the last requests are answered */
    }
    close_all(&daemon);
    life_end(daemon.life);
    if (err == ERR_NONE) {
        log_event(LOG_LEVEL_INFO, "stopped", "version=%s", ARCFACED_VERSION);
    }
    return err;
}

static int missing_models(const struct config *config)
{
    (void)fprintf(
        stderr,
        "arcfaced: two networks are needed, and %s set to nothing:\n"
        "  --detector FILE.onnx     finds faces (SCRFD with five points, such as scrfd_2.5g.onnx)\n"
        "  --recognizer FILE.onnx   embeds them (ArcFace family, 112 x 112, such as mobilefacenet_128.onnx)\n"
        "Put a manifest beside each (FILE.onnx.json: color, mean, std), or the family's custom is assumed.\n"
        "The variables ARCFACED_DETECTOR and ARCFACED_RECOGNIZER do the same.  Without them, or with the word\n"
        "built-in, the program takes its own.\n",
        config->detector[0] == '\0' && config->recognizer[0] == '\0' ? "both are"
        : config->detector[0] == '\0'                                ? "the detector is"
                                                                     : "the recogniser is");
    return EXIT_USAGE;
}

int command_serve(int argc, char **argv)
{
    struct config config;
    struct data_folder folder;
    struct err_note note = {0};

    enum err err = command_settings(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    point_arm(config.kill_at);
    log_set_level(config.log_level);
    int status = EXIT_DONE;
    if (config.n_words > 0) {
        (void)fprintf(stderr, "arcfaced: serve takes flags only, not \"%s\"\n", config.words[0]);
        status = EXIT_USAGE;
    } else if (config.detector[0] == '\0' || config.recognizer[0] == '\0') {
        status = missing_models(&config);
    } else {
        err = data_folder_take(config.data, &folder, &note);
        if (err == ERR_NONE) {
            err = run_daemon(&config, &note);
            data_folder_give_back(&folder);
        }
        if (err != ERR_NONE) {
            log_event(LOG_LEVEL_ERROR, "cannot_serve", "error=%s text=%s", err_word(err), note.text);
            status = EXIT_FAILED;
        }
    }
    config_release(&config);
    return status;
}
