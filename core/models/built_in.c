/* built_in.c: names for the bytes that models.mk puts into the program, between two labels each. */
#include "core/models/built_in.h"

extern const unsigned char built_in_detector_onnx[], built_in_detector_onnx_end[];
extern const unsigned char built_in_recognizer_onnx[], built_in_recognizer_onnx_end[];
extern const char built_in_detector_json[], built_in_recognizer_json[];

bool built_in_find(enum built_in which, struct built_in_model *ret)
{
    struct built_in_model model = {0};

    switch (which) {
    case BUILT_IN_DETECTOR:
        model = (struct built_in_model){.name = "arcfaced detector",
                                        .onnx = built_in_detector_onnx,
                                        .onnx_bytes = (size_t)(built_in_detector_onnx_end - built_in_detector_onnx),
                                        .manifest = built_in_detector_json};
        break;
    case BUILT_IN_RECOGNIZER:
        model = (struct built_in_model){.name = "arcfaced recognizer",
                                        .onnx = built_in_recognizer_onnx,
                                        .onnx_bytes = (size_t)(built_in_recognizer_onnx_end - built_in_recognizer_onnx),
                                        .manifest = built_in_recognizer_json};
        break;
    }
    if (model.onnx_bytes == 0) {
        return false;
    }
    *ret = model;
    return true;
}
