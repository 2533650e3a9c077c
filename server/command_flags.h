/*
 * command_flags.h: numbers among a command's own flags.
 */
#ifndef SERVER_COMMAND_FLAGS_H
#define SERVER_COMMAND_FLAGS_H

#include <stdbool.h>

/*
 * Takes "--flag N" out of the arguments; *value stays where it is absent.  Returns false, having said so on standard error, for
 * what is no number or out of bounds.
 */
bool command_whole(int *argc, char **argv, const char *flag, long least, long most, long *value);
bool command_real(int *argc, char **argv, const char *flag, double least, double most, double *value);

#endif
