/*
 * built_in.h: the models inside the program: a detector and a recogniser of our own, so that it runs without any file.
 *
 * The build puts the files of this folder into the program as they are; a file that is not there is not in it.  What
 * they are, what they were made from and what they are not fit for stands in the cards beside them.
 * Constant; any thread.
 */
#ifndef CORE_MODELS_BUILT_IN_H
#define CORE_MODELS_BUILT_IN_H

#include <stdbool.h>
#include <stddef.h>

enum built_in {
    BUILT_IN_DETECTOR,
    BUILT_IN_RECOGNIZER
};

struct built_in_model {
    const char *name; /* for people */
    const unsigned char *onnx;
    size_t onnx_bytes;
    const char *manifest; /* JSON, terminated */
};

/* False: the program was built without it. */
bool built_in_find(enum built_in which, struct built_in_model *ret);

#endif
