/* config.c: the table of settings and its three sources. */
#include "server/daemon/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"

#define FILE_LIMIT_BYTES (256 << 10)
#define MEM_LIMIT_BYTES (1 << 20)
#define NAME_BYTES 64

enum type {
    TEXT,
    SECRET, /* a text that is never printed and never a flag, because every user of the machine sees the flags */
    SWITCH,
    WHOLE,
    REAL
};

struct setting {
    const char *name;
    enum type type;
    size_t offset;
    const char *standard; /* the default, as one would write it */
    double min, max;
    const char *help;
};

#define AT(field) offsetof(struct config, field)
#define KIB 1024.0
#define MIB (1024.0 * KIB)
#define GIB (1024.0 * MIB)

static const struct setting settings[] = {
    {"data", TEXT, AT(data), "data", 0, 0, "folder of the database, the models and the indexes"},
    {"listen", TEXT, AT(listen), "127.0.0.1:8080", 0, 0, "address and port; port 0 takes any free one"},
    {"detector", TEXT, AT(detector), "built-in", 0, 0, "ONNX file that finds faces; built-in: the program's own"},
    {"recognizer", TEXT, AT(recognizer), "built-in", 0, 0, "ONNX file that embeds them; built-in: the program's own"},
    {"config", TEXT, AT(config), "", 0, 0, "file of settings, lines of key = value"},
    {"no_auth", SWITCH, AT(no_auth), "false", 0, 0, "ask for no key; on a loopback address only"},
    {"bootstrap_key", SECRET, AT(bootstrap_key), "", 0, 0, "the first admin key, 16 characters or more"},
    {"log_level", TEXT, AT(log_level), "info", 0, 0, "debug, info, warn or error"},
    {"kernels", TEXT, AT(kernels), "auto", 0, 0,
     "best loops to use: auto, ref, portable, neon, avx2, avx512, vnni, vbmi; then ,NAME of each to leave out"},
    {"memory", TEXT, AT(memory), "small", 0, 0,
     "weights at rest: small, one form for single crops and batches; fast, the best form of each"},
    {"weights", TEXT, AT(weights), "fp32", 0, 0, "weights are kept as fp32, or as fp16 in half of the memory"},
    {"kill_at", TEXT, AT(kill_at), "", 0, 0, "for tests: NAME[:N], the process kills itself when it comes there"},
    {"workers", WHOLE, AT(workers), "0", 0, 256,
     "requests worked at in one moment; 0: one per processor, with batches four"},
    {"batch", WHOLE, AT(batch), "8", 1, 64, "crops of several requests embedded in one run; 1: none"},
    {"batch_wait_ms", WHOLE, AT(batch_wait_ms), "2", 0, 1000, "how long a run waits for requests on their way"},
    {"network_threads", WHOLE, AT(network_threads), "2", 1, 64, "threads that parse and admit"},
    {"arena_bytes", WHOLE, AT(arena_bytes), "512M", 16 * MIB, 64 * GIB, "memory one request may use"},
    {"session_bytes", WHOLE, AT(session_bytes), "1G", 16 * MIB, 64 * GIB, "memory one network may use in one worker"},
    {"training_bytes", WHOLE, AT(training_bytes), "4G", 16 * MIB, 1024 * GIB,
     "memory the process of a training may use"},
    {"body_bytes", WHOLE, AT(body_bytes), "16M", 1 * KIB, 1 * GIB, "largest body of a request"},
    {"upload_bytes", WHOLE, AT(upload_bytes), "16G", 1 * KIB, 1024 * GIB,
     "largest archive or model sent to be kept in a file"},
    {"model_bytes", WHOLE, AT(model_bytes), "512M", 1 * KIB, 4 * GIB, "largest model that can be uploaded"},
    {"photo_pixels", WHOLE, AT(photo_pixels), "40000000", 1024, 1e9, "largest photo, width times height"},
    {"photo_side", WHOLE, AT(photo_side), "16384", 32, 65535, "longest side of a photo in pixels"},
    {"faces_max", WHOLE, AT(faces_max), "256", 1, 4096, "faces taken from one photo, the weakest are dropped"},
    {"detect_side", WHOLE, AT(detect_side), "640", 64, 4096, "longest side of the detector's input in pixels"},
    {"detect_score", REAL, AT(detect_score), "0.5", 0.01, 0.99, "score from which a detection is a face"},
    {"top_k_max", WHOLE, AT(top_k_max), "100", 1, 1000, "most candidates one search may ask for"},
    {"models_kept", WHOLE, AT(models_kept), "3", 1, 100, "models whose embeddings a collection keeps, to go back to"},
    {"low_memory", SWITCH, AT(low_memory), "false", 0, 0,
     "read vectors from the index's files as soon as they are written, not from memory"},
    {"segment_rows", WHOLE, AT(segment_rows), "65536", 64, 65536,
     "faces of a file of the index, a power of two; the rest is read from the rows at the start"},
    {"page_max", WHOLE, AT(page_max), "1000", 1, 10000, "longest page of a list"},
    {"json_depth", WHOLE, AT(json_depth), "32", 4, 512, "deepest nesting of a JSON body"},
    {"connections", WHOLE, AT(connections), "512", 4, 65535, "open connections at one time"},
    {"queue_length", WHOLE, AT(queue_length), "64", 1, 65535, "requests waiting for a worker; more get 503"},
    {"bodies_bytes", WHOLE, AT(bodies_bytes), "256M", 1 * KIB, 64 * GIB, "bodies held at one time; more get 503"},
    {"deadline_ms", WHOLE, AT(deadline_ms), "30000", 10, 3600e3, "time from a request's last byte to its answer"},
    {"head_ms", WHOLE, AT(head_ms), "15000", 10, 3600e3, "time for a request's head, and for staying idle"},
    {"body_ms", WHOLE, AT(body_ms), "60000", 10, 3600e3, "time for a request's body, and for reading its answer"},
    {"drain_ms", WHOLE, AT(drain_ms), "30000", 10, 3600e3, "time for running requests when asked to stop"},
    {"idempotency_hours", WHOLE, AT(idempotency_hours), "24", 1, 720,
     "how long an answer is kept for who sends the same Idempotency-Key again"},
    {"threshold", REAL, AT(threshold), "0.40", -1, 1, "cosine that matches, for models without calibration"},
    {"max_fmr", REAL, AT(max_fmr), "0.0001", 1e-9, 0.5, "false match rate to hold, for models with calibration"},
    {"margin", REAL, AT(margin), "0.03", 0, 2, "a runner-up this close makes a match ambiguous"},
};
#define N_SETTINGS ((int)(sizeof(settings) / sizeof(settings[0])))
_Static_assert(sizeof(settings) / sizeof(settings[0]) <= CONFIG_MAX_SETTINGS, "room for every origin");

static void *field_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static const void *field_in(const struct config *config, const struct setting *setting)
{
    return (const char *)config + setting->offset;
}

/* "queue_length" as a flag ("queue-length") or as a variable ("ARCFACED_QUEUE_LENGTH"). */
static void flag_name(const struct setting *setting, char ret[NAME_BYTES])
{
    (void)snprintf(ret, NAME_BYTES, "%s", setting->name);
    for (char *c = ret; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
}

static void variable_name(const struct setting *setting, char ret[NAME_BYTES])
{
    (void)snprintf(ret, NAME_BYTES, "ARCFACED_%s", setting->name);
    for (char *c = ret; *c != '\0'; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
}

static const char *origin_word(enum config_origin origin)
{
    switch (origin) {
    case CONFIG_DEFAULT: return "default";
    case CONFIG_FILE: return "file";
    case CONFIG_ENVIRONMENT: return "environment";
    case CONFIG_FLAG: return "flag";
    }
    return "?";
}

/* A number, and for whole ones a suffix k, M or G in powers of 1024.  Returns false on anything else. */
static bool parse_number(const char *text, bool whole, double *ret)
{
    char *end = NULL;

    if (*text == '\0' || isspace((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    if (!whole) {
        double value = strtod(text, &end);
        if (*end != '\0' || errno != 0 || !isfinite(value)) {
            return false;
        }
        *ret = value;
        return true;
    }
    long long value = strtoll(text, &end, 10);
    double unit = 1;
    if (*end == 'k' || *end == 'M' || *end == 'G') {
        unit = *end == 'k' ? KIB : *end == 'M' ? MIB : GIB;
        end++;
    }
    if (end == text || *end != '\0' || errno != 0) {
        return false;
    }
    *ret = (double)value * unit;
    return true;
}

static enum err set_value(struct config *config, const struct setting *setting, const char *text,
                          enum config_origin origin, const char *said_as, struct err_note *note)
{
    void *field = field_of(config, setting);
    double number = 0;

    switch (setting->type) {
    case TEXT:
    case SECRET: {
        const char *copy = arena_copy_text(config->mem, text);
        if (copy == NULL) {
            return ERR_SAY(note, ERR_LIMIT, "%s: the value is too long", said_as);
        }
        *(const char **)field = copy;
        break;
    }
    case SWITCH:
        if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcmp(text, "yes") == 0) {
            *(bool *)field = true;
        } else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0 || strcmp(text, "no") == 0) {
            *(bool *)field = false;
        } else {
            return ERR_SAY(note, ERR_MISUSE, "%s: \"%s\" is neither true nor false", said_as, text);
        }
        break;
    case WHOLE:
    case REAL:
        if (!parse_number(text, setting->type == WHOLE, &number)) {
            return ERR_SAY(note, ERR_MISUSE, "%s: \"%s\" is not a%s number", said_as, text,
                           setting->type == WHOLE ? " whole" : "");
        }
        if (number < setting->min || number > setting->max) {
            return ERR_SAY(note, ERR_MISUSE, "%s: %s is outside of %.15g .. %.15g", said_as, text, setting->min,
                           setting->max);
        }
        if (setting->type == WHOLE) {
            *(int64_t *)field = (int64_t)number;
        } else {
            *(double *)field = number;
        }
        break;
    }
    config->origin[setting - settings] = origin;
    return ERR_NONE;
}

static const struct setting *find_setting(const char *name, size_t length, char separator)
{
    for (int i = 0; i < N_SETTINGS; i++) {
        char spelled[NAME_BYTES];
        if (separator == '-') {
            flag_name(&settings[i], spelled);
        } else {
            (void)snprintf(spelled, sizeof(spelled), "%s", settings[i].name);
        }
        if (strlen(spelled) == length && memcmp(spelled, name, length) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

static enum err read_flags(struct config *config, int argc, char **argv, struct err_note *note)
{
    config->words = argv;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0') {
            argv[config->n_words++] = argv[i];
            continue;
        }
        const char *name = argv[i] + 2;
        const char *equals = strchr(name, '=');
        size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
        const struct setting *setting = find_setting(name, length, '-');
        if (setting == NULL) {
            return ERR_SAY(note, ERR_MISUSE, "--%.*s is not a flag; \"arcfaced config\" lists them", (int)length, name);
        }
        if (setting->type == SECRET) {
            char variable[NAME_BYTES];
            variable_name(setting, variable);
            return ERR_SAY(note, ERR_MISUSE, "--%.*s: a secret does not belong on the command line; use %s",
                           (int)length, name, variable);
        }
        char said_as[NAME_BYTES + 2];
        (void)snprintf(said_as, sizeof(said_as), "--%.*s", (int)length, name);
        const char *value = equals == NULL ? NULL : equals + 1;
        if (value == NULL && setting->type == SWITCH) {
            value = "true";
        } else if (value == NULL) {
            if (i + 1 >= argc) {
                return ERR_SAY(note, ERR_MISUSE, "%s needs a value", said_as);
            }
            value = argv[++i];
        }
        enum err err = set_value(config, setting, value, CONFIG_FLAG, said_as, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

/* An empty variable counts as unset: container tools pass on what was never given as "". */
static enum err read_environment(struct config *config, struct err_note *note)
{
    for (int i = 0; i < N_SETTINGS; i++) {
        char variable[NAME_BYTES];
        variable_name(&settings[i], variable);
        const char *value = getenv(variable);
        if (value == NULL || *value == '\0' || config->origin[i] == CONFIG_FLAG) {
            continue;
        }
        enum err err = set_value(config, &settings[i], value, CONFIG_ENVIRONMENT, variable, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

static char *trimmed(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        text[--length] = '\0';
    }
    return text;
}

static enum err read_line(struct config *config, char *line, int number, struct err_note *note)
{
    line = trimmed(line);
    if (*line == '\0' || *line == '#') {
        return ERR_NONE;
    }
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return ERR_SAY(note, ERR_MISUSE, "%s:%d: a line is \"key = value\"", config->config, number);
    }
    *equals = '\0';
    const char *key = trimmed(line);
    const char *value = trimmed(equals + 1);
    const struct setting *setting = find_setting(key, strlen(key), '_');
    if (setting == NULL || setting->offset == AT(config)) {
        return ERR_SAY(note, ERR_MISUSE, "%s:%d: \"%s\" is not a setting; \"arcfaced config\" lists them",
                       config->config, number, key);
    }
    if (config->origin[setting - settings] > CONFIG_FILE) {
        return ERR_NONE;
    }
    if (config->origin[setting - settings] == CONFIG_FILE) {
        return ERR_SAY(note, ERR_MISUSE, "%s:%d: \"%s\" is set twice", config->config, number, key);
    }
    char said_as[128];
    (void)snprintf(said_as, sizeof(said_as), "%.60s:%d: %s", file_base_name(config->config), number, key);
    return set_value(config, setting, value, CONFIG_FILE, said_as, note);
}

static enum err read_settings_file(struct config *config, struct err_note *note)
{
    unsigned char *content = NULL;
    size_t n_bytes = 0;

    if (*config->config == '\0') {
        return ERR_NONE;
    }
    enum err err = file_read(config->config, FILE_LIMIT_BYTES, &content, &n_bytes, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (memchr(content, '\0', n_bytes) != NULL) {
        err = ERR_SAY(note, ERR_MISUSE, "%s is not a text file", config->config);
    }
    char *line = (char *)content;
    for (int number = 1; err == ERR_NONE && line != NULL; number++) {
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        err = read_line(config, line, number, note);
        line = next;
    }
    mem_free_wiped(content);
    return err;
}

/* Splits "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"; only numeric addresses, so that nothing is looked up. */
static enum err parse_listen(struct config *config, struct err_note *note)
{
    const char *listen = config->listen;
    const char *colon = strrchr(listen, ':');
    unsigned char address[sizeof(struct in6_addr)];
    double port = 0;

    if (colon == NULL || !parse_number(colon + 1, true, &port) || port < 0 || port > 65535) {
        return ERR_SAY(note, ERR_MISUSE, "listen: \"%s\" is not HOST:PORT", listen);
    }
    const char *host = listen;
    size_t length = (size_t)(colon - listen);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length >= sizeof(config->listen_host)) {
        return ERR_SAY(note, ERR_MISUSE, "listen: \"%s\" is not HOST:PORT", listen);
    }
    memcpy(config->listen_host, host, length);
    config->listen_host[length] = '\0';
    if (strcmp(config->listen_host, "localhost") == 0) {
        (void)snprintf(config->listen_host, sizeof(config->listen_host), "127.0.0.1");
    }
    if (inet_pton(AF_INET, config->listen_host, address) != 1 &&
        inet_pton(AF_INET6, config->listen_host, address) != 1) {
        return ERR_SAY(note, ERR_MISUSE, "listen: \"%s\" is not a numeric address (use 0.0.0.0 or [::] for all)",
                       config->listen_host);
    }
    config->listen_port = (int)port;
    return ERR_NONE;
}

bool config_is_loopback(const struct config *config)
{
    return strncmp(config->listen_host, "127.", 4) == 0 || strcmp(config->listen_host, "::1") == 0;
}

/* What no single row can say. */
static enum err check_together(struct config *config, struct err_note *note)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    bool level_known = false;

    enum err err = parse_listen(config, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        level_known |= strcmp(config->log_level, levels[i]) == 0;
    }
    if (!level_known) {
        return ERR_SAY(note, ERR_MISUSE, "log_level: \"%s\" is none of debug, info, warn, error", config->log_level);
    }
    if ((config->segment_rows & (config->segment_rows - 1)) != 0) {
        return ERR_SAY(note, ERR_MISUSE, "segment_rows: %ld is no power of two", (long)config->segment_rows);
    }
    if (config->no_auth && !config_is_loopback(config)) {
        return ERR_SAY(note, ERR_MISUSE,
                       "no_auth: %s can be reached from other machines; without keys only a loopback "
                       "address (127.0.0.1, ::1) is allowed",
                       config->listen_host);
    }
    if (*config->bootstrap_key != '\0' && strlen(config->bootstrap_key) < 16) {
        return ERR_SAY(note, ERR_MISUSE, "bootstrap_key: %zu characters are too few, at least 16 are needed",
                       strlen(config->bootstrap_key));
    }
    if (*config->data == '\0') {
        return ERR_SAY(note, ERR_MISUSE, "data: the folder's name is empty");
    }
    if (config->bodies_bytes < config->body_bytes) {
        return ERR_SAY(note, ERR_MISUSE,
                       "bodies_bytes: less than body_bytes (%" PRId64 "): no large body would ever fit",
                       config->body_bytes);
    }
    return ERR_NONE;
}

int config_workers(const struct config *config)
{
    return config->workers > 0 ? (int)config->workers : cpu_count() * (config->batch > 1 ? 4 : 1);
}

enum err config_parse(int argc, char **argv, struct config *ret, struct err_note *note)
{
    struct config config = {.mem = arena_new(MEM_LIMIT_BYTES)};
    enum err err = ERR_NONE;

    if (config.mem == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; err == ERR_NONE && i < N_SETTINGS; i++) {
        err = set_value(&config, &settings[i], settings[i].standard, CONFIG_DEFAULT, settings[i].name, note);
    }
    if (err == ERR_NONE) {
        err = read_flags(&config, argc, argv, note);
    }
    if (err == ERR_NONE) {
        err = read_environment(&config, note);
    }
    if (err == ERR_NONE) {
        err = read_settings_file(&config, note);
    }
    if (err == ERR_NONE) {
        err = check_together(&config, note);
    }
    if (err != ERR_NONE) {
        config_release(&config);
        return err;
    }
    *ret = config;
    return ERR_NONE;
}

void config_release(struct config *config)
{
    if (config->mem != NULL) {
        arena_reset_wiped(config->mem);
        arena_free(config->mem);
    }
    *config = (struct config){0};
}

static void print_value(const struct config *config, const struct setting *setting, char *ret, size_t ret_bytes)
{
    const void *field = field_in(config, setting);

    switch (setting->type) {
    case TEXT: (void)snprintf(ret, ret_bytes, "%s", *(const char *const *)field); break;
    case SECRET: (void)snprintf(ret, ret_bytes, "%s", **(const char *const *)field == '\0' ? "" : "(set)"); break;
    case SWITCH: (void)snprintf(ret, ret_bytes, "%s", *(const bool *)field ? "true" : "false"); break;
    case WHOLE: (void)snprintf(ret, ret_bytes, "%" PRId64, *(const int64_t *)field); break;
    case REAL: (void)snprintf(ret, ret_bytes, "%g", *(const double *)field); break;
    }
}

/* "1024 .. 1073741824"; empty for what is no number. */
static void print_bounds(const struct setting *setting, char *ret, size_t ret_bytes)
{
    ret[0] = '\0';
    if (setting->type == WHOLE || setting->type == REAL) {
        (void)snprintf(ret, ret_bytes, "%.12g .. %.12g", setting->min, setting->max);
    }
}

void config_print(const struct config *config, FILE *out)
{
    static const char row[] = "%-16s %-16s %-12s %-16s %-24s %-25s %s\n";

    (void)fprintf(out, row, "setting", "value", "from", "default", "bounds", "variable", "meaning");
    for (int i = 0; i < N_SETTINGS; i++) {
        char value[256];
        char bounds[64];
        char variable[NAME_BYTES];
        print_value(config, &settings[i], value, sizeof(value));
        print_bounds(&settings[i], bounds, sizeof(bounds));
        variable_name(&settings[i], variable);
        (void)fprintf(out, row, settings[i].name, *value == '\0' ? "-" : value, origin_word(config->origin[i]),
                      *settings[i].standard == '\0' ? "-" : settings[i].standard, *bounds == '\0' ? "-" : bounds,
                      variable, settings[i].help);
    }
}

void config_usage(FILE *out)
{
    for (int i = 0; i < N_SETTINGS; i++) {
        char flag[NAME_BYTES];
        if (settings[i].type == SECRET) {
            continue;
        }
        flag_name(&settings[i], flag);
        (void)fprintf(out, "  --%-17s %s%s%s%s\n", flag, settings[i].help, *settings[i].standard == '\0' ? "" : " [",
                      settings[i].standard, *settings[i].standard == '\0' ? "" : "]");
    }
}
