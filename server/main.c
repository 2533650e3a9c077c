/* main.c: which command is meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/kernel/gemm.h"
#include "server/command.h"

static const struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", "--detector F --recognizer F [flags]", "answer requests over HTTP", command_serve},
    {"detect", "--detector F [--side N] PHOTO...", "print where the faces are, a JSON line a photo", command_detect},
    {"embed", "--detector F --recognizer F [--side N] PHOTO...\n                    --recognizer F --aligned CROP...",
     "print the faces and their embeddings", command_embed},
    {"eval", "--recognizer F [--detector F] --set DIR | --lfw DIR --view N [flags]", "measure a recogniser",
     command_eval},
    {"train", "--recognizer F [--detector F] --set DIR --out F [flags]", "tune a recogniser on a folder of people",
     command_train},
    {"train-recognizer", "--teacher F --set DIR --detector F --out F [flags]",
     "make a recogniser that a teacher teaches", command_train_recognizer},
    {"generate", "--recognizer F TARGETS --out DIR [flags]", "find faces that a recogniser takes for a person",
     command_generate},
    {"train-detector", "--teacher F --set DIR --out F [flags]", "make a detector from nothing, taught by another",
     command_train_detector},
    {"key", "create --name N --scopes A,B | list | revoke ID", "manage API keys while the daemon is stopped",
     command_key},
    {"restore", "--from BACKUP --data DIR", "make a data folder from a backup, and verify it", command_restore},
    {"index", "verify | rebuild",
     "compare the files of the index with the rows, or make them anew, while no daemon runs", command_index},
    {"verify-erasure", "--data DIR [EXPORT.ndjson|ANSWER.json|CROP.webp|PHOTO...]",
     "look whether anything of what was erased still lies in the data folder", command_verify_erasure},
    {"ops", "", "print which ONNX operators are computed", command_ops},
    {"config", "[flags]", "print every setting, its value and where that comes from", command_config},
    {"health", "[--listen HOST:PORT]", "ask a running daemon whether it is ready; exit 0 if so", command_health},
    {"version", "", "print the version", command_version},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(FILE *out)
{
    (void)fprintf(out, "arcfaced finds, remembers and recognises faces.\n\nusage: arcfaced COMMAND ...\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        (void)fprintf(out, "  arcfaced %-8s %s\n           %s\n", commands[i].name, commands[i].arguments,
                      commands[i].summary);
    }
    (void)fprintf(
        out, "\nEvery flag below is also a variable (--photo-side: ARCFACED_PHOTO_SIDE) and a line of the file given "
             "by --config\n(photo_side = 4096); a flag wins over a variable, a variable over the file.\n\n");
    config_usage(out);
}

int command_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("arcfaced %s (gcc %s; %s; OpenBLAS %s)\n", ARCFACED_VERSION, __VERSION__, cpu_info()->name,
                 gemm_core());
    return EXIT_DONE;
}

void main_end_at_once(int signal_number)
{
    _exit(128 + signal_number);
}

int main(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];

    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(stdout);
            return EXIT_DONE;
        }
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            int status = commands[i].run(argc - 2, argv + 2);
            /* A full disk behind a redirected output is a failure, and only the flush knows. */
            return fflush(stdout) == 0 ? status : EXIT_FAILED;
        }
    }
    if (name[0] != '\0') {
        (void)fprintf(stderr, "arcfaced: there is no command \"%s\"\n\n", name);
    }
    print_usage(stderr);
    return EXIT_USAGE;
}
