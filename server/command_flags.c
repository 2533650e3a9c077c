/* command_flags.c: numbers, checked. */
#include "server/command_flags.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/command.h"

bool command_whole(int *argc, char **argv, const char *flag, long least, long most, long *value)
{
    const char *text = NULL;
    char *end = NULL;

    if (!command_option(argc, argv, flag, &text)) {
        return true;
    }
    *value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || *value < least || *value > most) {
        (void)fprintf(stderr, "arcfaced: %s must be a whole number from %ld to %ld\n", flag, least, most);
        return false;
    }
    return true;
}

bool command_real(int *argc, char **argv, const char *flag, double least, double most, double *value)
{
    const char *text = NULL;
    char *end = NULL;

    if (!command_option(argc, argv, flag, &text)) {
        return true;
    }
    *value = strtod(text, &end);
    if (end == text || *end != '\0' || !(*value >= least && *value <= most)) {
        (void)fprintf(stderr, "arcfaced: %s must be a number from %g to %g\n", flag, least, most);
        return false;
    }
    return true;
}
