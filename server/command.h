/*
 * command.h: the subcommands of arcfaced, one file each, and what they share.
 *
 * A command gets the arguments behind its name and returns the exit status: 0 done, 1 it failed, 2 it was called wrongly.
 */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include <stdbool.h>

#include "core/base/err.h"
#include "server/daemon/config.h"
#include "server/gallery/gallery.h"

#define ARCFACED_VERSION "0.1.0"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2
};

int command_serve(int argc, char **argv);
int command_embed(int argc, char **argv);
int command_detect(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_train(int argc, char **argv);
int command_train_recognizer(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_train_detector(int argc, char **argv);
int command_ops(int argc, char **argv);
int command_key(int argc, char **argv);
int command_config(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_index(int argc, char **argv);
int command_verify_erasure(int argc, char **argv);
int command_health(int argc, char **argv);
int command_version(int argc, char **argv);

/* What those say with --help that have flags of their own; train_flags.h has that of train. */
extern const char command_eval_usage[];
extern const char command_train_recognizer_usage[];
extern const char command_generate_usage[];
extern const char command_train_detector_usage[];
extern const char command_key_usage[];

/* Prints "arcfaced: sentence" (the note's, else the error's word) on standard error and returns status. */
int command_fail(int status, enum err err, const struct err_note *note);

/*
 * Takes a flag of the command's own out of the arguments, which config_parse would not know: "--side 320" or "--side=320";
 * "--aligned" alone when it takes no value.  Returns false if it is not there.
 */
bool command_switch(int *argc, char **argv, const char *flag);
bool command_option(int *argc, char **argv, const char *flag, const char **ret);

/*
 * Reads the settings and takes the kernels they ask for into use; first of all, in a command that computes.
 * Errors: as config_parse and kernels_force; config holds nothing then.
 */
MUST_CHECK enum err command_settings(int argc, char **argv, struct config *ret, struct err_note *note);

/* What the settings say to a gallery. */
struct gallery_options command_gallery_options(const struct config *config);

/* Ends the process at once, on the second signal: only main.c may. */
void main_end_at_once(int signal_number);

#endif
