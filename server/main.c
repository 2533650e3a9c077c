/* main.c: which command is meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/kernel/gemm.h"
#include "server/command.h"
#include "server/train_flags.h"

static const struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    int (*run)(int argc, char **argv);
    const char *usage; /* NULL: the line above and the settings are all there is */
} commands[] = {
    {"serve", "[--detector F] [--recognizer F] [flags]", "answer requests over HTTP", command_serve, NULL},
    {"detect", "[--detector F] [--side N] PHOTO...", "print where the faces are, a JSON line a photo", command_detect,
     NULL},
    {"embed",
     "[--detector F] [--recognizer F] [--side N] PHOTO...\n                    [--recognizer F] --aligned CROP...",
     "print the faces and their embeddings", command_embed, NULL},
    {"eval", "--recognizer F [--detector F] --set DIR | --lfw DIR --view N [flags]", "measure a recogniser",
     command_eval, command_eval_usage},
    {"train", "--recognizer F [--detector F] --set DIR --out F [flags]", "tune a recogniser on a folder of people",
     command_train, train_usage},
    {"train-recognizer", "--teacher F --set DIR --detector F --out F [flags]",
     "make a recogniser that a teacher teaches", command_train_recognizer, command_train_recognizer_usage},
    {"generate", "--recognizer F TARGETS --out DIR [flags]", "find faces that a recogniser takes for a person",
     command_generate, command_generate_usage},
    {"train-detector", "--teacher F --set DIR --out F [flags]", "make a detector from nothing, taught by another",
     command_train_detector, command_train_detector_usage},
    {"key", "create --name N --scopes A,B | list | revoke ID", "manage API keys while the daemon is stopped",
     command_key, command_key_usage},
    {"restore", "--from BACKUP --data DIR", "make a data folder from a backup, and verify it", command_restore, NULL},
    {"index", "verify | rebuild",
     "compare the files of the index with the rows, or make them anew, while no daemon runs", command_index, NULL},
    {"verify-erasure", "--data DIR [EXPORT.ndjson|ANSWER.json|CROP.webp|PHOTO...]",
     "look whether anything of what was erased still lies in the data folder", command_verify_erasure, NULL},
    {"ops", "", "print which ONNX operators are computed", command_ops, NULL},
    {"config", "[flags]", "print every setting, its value and where that comes from", command_config, NULL},
    {"health", "[--listen HOST:PORT]", "ask a running daemon whether it is ready; exit 0 if so", command_health, NULL},
    {"version", "", "print the version", command_version, NULL},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_settings(FILE *out)
{
    (void)fprintf(
        out, "\nEvery flag below is also a variable (--photo-side: ARCFACED_PHOTO_SIDE) and a line of the file given "
             "by --config\n(photo_side = 4096); a flag wins over a variable, a variable over the file.\n\n");
    config_usage(out);
}

static void print_usage(FILE *out)
{
    (void)fprintf(out, "arcfaced finds, remembers and recognises faces.\n\nusage: arcfaced COMMAND ...\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        (void)fprintf(out, "  arcfaced %-8s %s\n           %s\n", commands[i].name, commands[i].arguments,
                      commands[i].summary);
    }
    print_settings(out);
}

static int print_help(const struct command *command)
{
    if (command->usage != NULL) {
        (void)printf("%s\nThe settings of \"arcfaced help\" are flags of it too.\n", command->usage);
    } else {
        (void)printf("usage: arcfaced %s %s\n%s\n", command->name, command->arguments, command->summary);
        print_settings(stdout);
    }
    return EXIT_DONE;
}

/* Whether the words behind a command ask what it does. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
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
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            int status = asks_for_help(argc, argv) ? print_help(&commands[i]) : commands[i].run(argc - 2, argv + 2);
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
