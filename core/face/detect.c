/* detect.c: a photo is scaled into the network's input, and what comes out is scaled back. */

#include "core/face/detect.h"
#include "core/base/mem.h"
#include "core/face/letterbox_private.h"
#include "core/face/scrfd_private.h"

struct detector {
    struct graph *graph;
    struct preprocess how;
    struct scrfd_heads heads;
    int fixed_width; /* of the network's input; 0: free */
    int fixed_height;
};

#define MAX_SIDE 8192   /* 3 planes of floats are 805 MB there: what is larger is a mistake */
#define MOST_OUTPUTS 32 /* looked at, to say in words what a network is instead of a detector */

/* ---- Recognising the network ------------------------------------------------------------------------------------- */

/* A side of the declared input: 0 if it is free. */
static enum err read_side(const struct graph_io *input, int dim, int *ret, struct err_note *note)
{
    const int64_t declared = input->shape.rank == 4 ? input->shape.dim[dim] : -1;

    if (declared > MAX_SIDE || (declared > 0 && declared % SCRFD_MAX_STRIDE != 0)) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "the detector's input side of %lld pixels is not a multiple of %d up to %d", (long long)declared,
                       SCRFD_MAX_STRIDE, MAX_SIDE);
    }
    *ret = declared > 0 ? (int)declared : 0;
    return ERR_NONE;
}

static enum err read_input(struct detector *detector, struct err_note *note)
{
    const struct graph *graph = detector->graph;

    if (graph_input_count(graph) != 1) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a detector has one input, this network has %d",
                       graph_input_count(graph));
    }
    const struct graph_io *input = graph_input(graph, 0);
    const bool is_image = input->type == DTYPE_F32 &&
                          (input->shape.rank == -1 ||
                           (input->shape.rank == 4 && (input->shape.dim[1] == 3 || input->shape.dim[1] == -1)));
    if (!is_image) {
        char text[SHAPE_TEXT_BYTES];
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "a detector's input is float [1, 3, height, width], this network's '%s' is %s %s", input->name,
                       dtype_name(input->type), shape_text(&input->shape, text));
    }
    enum err err = read_side(input, 2, &detector->fixed_height, note);
    if (err == ERR_NONE) {
        err = read_side(input, 3, &detector->fixed_width, note);
    }
    return err;
}

/* Prepares the picture and runs the network on it; outputs live until the session's next run. */
static enum err run_network(const struct detector *detector, struct session *session, const struct image *picture,
                            struct arena *mem, struct tensor *outputs, int n_outputs, struct err_note *note)
{
    float *planes = ARENA_ARRAY(mem, float, (size_t)3 * (size_t)picture->width * (size_t)picture->height);
    const struct tensor input = {
        .type = DTYPE_F32, .shape = {.rank = 4, .dim = {1, 3, picture->height, picture->width}}, .data = planes};

    if (planes == NULL) {
        return ERR_SAY(note, arena_why(mem), "no memory to detect faces at %d × %d", picture->width, picture->height);
    }
    preprocess_image(picture, &detector->how, planes);
    return session_run(session, &input, 1, outputs, n_outputs, note);
}

/* Declared output shapes lie (MODELS.md), so the network is run once on black to see what it really returns. */
static enum err probe(struct detector *detector, struct arena *mem, struct err_note *note)
{
    const struct graph *graph = detector->graph;
    const int width = detector->fixed_width > 0 ? detector->fixed_width : 3 * SCRFD_MAX_STRIDE;
    const int height = detector->fixed_height > 0 ? detector->fixed_height : 2 * SCRFD_MAX_STRIDE;
    const int n_outputs = graph_output_count(graph);
    struct tensor outputs[MOST_OUTPUTS];
    const char *names[MOST_OUTPUTS];
    struct session *session = NULL;
    struct image black;
    struct face *faces;
    int n_faces;

    if (n_outputs > MOST_OUTPUTS) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a detector of the SCRFD family has %d outputs, this network has %d",
                       SCRFD_OUTPUTS, n_outputs);
    }
    for (int i = 0; i < n_outputs; i++) {
        names[i] = graph_output(graph, i)->name;
    }
    enum err err = image_new(width, height, mem, &black);
    if (err == ERR_NONE) {
        err = session_new(graph, NULL, &session);
    }
    if (err == ERR_NONE) {
        err = run_network(detector, session, &black, mem, outputs, n_outputs, note);
    }
    if (err == ERR_NONE) {
        err = scrfd_recognise(names, outputs, n_outputs, width, height, &detector->heads, note);
    }
    if (err == ERR_NONE) {
        err = scrfd_decode(&detector->heads, outputs, width, height, .5F, mem, &faces, &n_faces, note);
    }
    session_free(session);
    return err;
}

enum err detector_new(struct graph *take, const struct preprocess *how, struct detector **ret, struct err_note *note)
{
    struct detector *detector = MEM_NEW(struct detector);
    struct arena *mem = arena_new((size_t)2 << 30);
    enum err err = ERR_NOMEM;

    if (detector == NULL || mem == NULL) {
        goto fail;
    }
    detector->graph = take;
    detector->how = *how;
    err = read_input(detector, note);
    if (err == ERR_NONE) {
        err = probe(detector, mem, note);
    }
    if (err != ERR_NONE) {
        goto fail;
    }
    graph_drop_packed(detector->graph); /* other sizes take the forms that the probe has packed */
    arena_free(mem);
    *ret = detector;
    return ERR_NONE;

fail:
    /* Whatever its first run says about shapes and scores, it says that this is no detector for us. */
    if (err == ERR_FORMAT || err == ERR_MISUSE) {
        err = ERR_UNSUPPORTED;
    }
    arena_free(mem);
    mem_free(detector);
    graph_free(take);
    return err;
}

void detector_free(struct detector *detector)
{
    if (detector != NULL) {
        graph_free(detector->graph);
        mem_free(detector);
    }
}

const struct graph *detector_graph(const struct detector *detector)
{
    return detector->graph;
}

/* ---- Running it on a photo ---------------------------------------------------------------------------------------- */

/* Puts what the header promises in the place of zeros. */
static enum err settle_options(struct detect_options *options, struct err_note *note)
{
    const int side = options->side == 0 ? 640 : options->side;
    options->min_score = options->min_score == 0.0F ? .5F : options->min_score;
    options->max_overlap = options->max_overlap == 0.0F ? .4F : options->max_overlap;
    options->max_faces = options->max_faces == 0 ? 256 : options->max_faces;
    options->max_enlarge = options->max_enlarge == 0.0F ? 1.3F : options->max_enlarge;
    /* Written so that a NaN fails too. */
    if (side < 1 || side > MAX_SIDE || !(options->min_score > 0.0F) || !(options->max_overlap > 0.0F) ||
        options->max_faces < 1 || !(options->max_enlarge > 0.0F)) {
        return ERR_SAY(
            note, ERR_MISUSE,
            "detection options out of range: side %d (1 to %d), least score %g, overlap %g, enlargement %g (all "
            "above 0), faces %d (from 1)",
            options->side, MAX_SIDE, (double)options->min_score, (double)options->max_overlap,
            (double)options->max_enlarge, options->max_faces);
    }
    options->side = (side + SCRFD_MAX_STRIDE - 1) / SCRFD_MAX_STRIDE * SCRFD_MAX_STRIDE;
    return ERR_NONE;
}

/* Finds faces at one scale; they are in pixels of the photo, best first, one for each face. */
static enum err look(const struct detector *detector, struct session *session, const struct image *photo,
                     const struct letterbox *box, const struct detect_options *options, struct arena *mem,
                     struct face **ret, int *ret_count, struct err_note *note)
{
    struct tensor outputs[SCRFD_OUTPUTS];
    struct image canvas;
    struct face *faces = NULL;
    int n_faces = 0;

    enum err err = letterbox_draw(box, photo, mem, &canvas);
    if (err == ERR_NONE) {
        err = run_network(detector, session, &canvas, mem, outputs, SCRFD_OUTPUTS, note);
    }
    if (err == ERR_NONE) {
        err = scrfd_decode(&detector->heads, outputs, canvas.width, canvas.height, options->min_score, mem, &faces,
                           &n_faces, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < n_faces; i++) {
        letterbox_back(box, &faces[i]);
    }
    n_faces = scrfd_suppress(faces, n_faces, options->max_overlap, options->max_faces);
    for (int i = 0; i < n_faces; i++) {
        letterbox_clip(box, &faces[i]);
    }
    *ret = faces;
    *ret_count = n_faces;
    return ERR_NONE;
}

/*
 * A face that fills the frame is larger than the network knows faces.  Where nothing is found, the photo is therefore looked
 * at once more at half the scale, which costs a quarter of the first look, and only where there is no face.
 */
enum err detector_run(const struct detector *detector, struct session *session, const struct image *photo,
                      const struct detect_options *options, struct arena *mem, struct face **ret, int *ret_count,
                      struct err_note *note)
{
    struct detect_options settled = *options;

    enum err err = settle_options(&settled, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct letterbox_frame frame = {.fixed_width = detector->fixed_width,
                                    .fixed_height = detector->fixed_height,
                                    .side = settled.side,
                                    .unit = SCRFD_MAX_STRIDE,
                                    .max_enlarge = settled.max_enlarge};
    struct face *faces = NULL;
    int n_faces = 0;
    struct letterbox box = letterbox_fit(photo->width, photo->height, &frame);
    err = look(detector, session, photo, &box, &settled, mem, &faces, &n_faces, note);
    if (err == ERR_NONE && n_faces == 0) {
        frame.max_enlarge = (float)(box.scale / 2.0);
        box = letterbox_fit(photo->width, photo->height, &frame);
        err = look(detector, session, photo, &box, &settled, mem, &faces, &n_faces, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    *ret = faces;
    *ret_count = n_faces;
    return ERR_NONE;
}
