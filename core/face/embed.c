/* embed.c: crops through a recogniser, and what a graph says about itself when it is first run. */

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "core/face/embed.h"
#include "core/graph/packing.h"

struct recognizer {
    struct graph *graph;
    struct recognizer_options options;
    int side;
    int dim;
    int max_batch;
};

/* Beyond this a batch is not faster, but the session's memory still grows with it. */
#define LARGEST_BATCH 16
#define USUAL_BATCH 8 /* of a daemon under load */
#define LARGEST_SIDE 1024
#define LARGEST_DIM 8192

/* ---- Running the network ----------------------------------------------------------------------------------------- */

static size_t pixels_of(const struct recognizer *recognizer)
{
    return (size_t)3 * (size_t)recognizer->side * (size_t)recognizer->side;
}

/* An output is a list of n vectors if its first dimension is n and only one other is not 1. */
static bool vectors_of(const struct tensor *output, int n, int64_t *ret_dim)
{
    const struct shape *shape = &output->shape;
    int64_t dim = 1;

    if (output->type != DTYPE_F32 || shape->rank < 2 || shape->dim[0] != n) {
        return false;
    }
    for (int i = 1; i < shape->rank; i++) {
        if (shape->dim[i] < 1 || (dim > 1 && shape->dim[i] > 1)) {
            return false;
        }
        dim *= shape->dim[i];
    }
    *ret_dim = dim;
    return true;
}

static enum err run_network(const struct recognizer *recognizer, struct session *session, const float *input, int n,
                            struct tensor *ret, struct err_note *note)
{
    const struct tensor tensor = {.type = DTYPE_F32,
                                  .shape = {.rank = 4, .dim = {n, 3, recognizer->side, recognizer->side}},
                                  .data = (void *)input}; /* only read */

    return session_run(session, &tensor, 1, ret, 1, note);
}

static void mirror(const struct recognizer *recognizer, float *input)
{
    const size_t side = (size_t)recognizer->side;

    for (size_t row = 0; row < 3 * side; row++) {
        float *left = input + row * side;
        for (float *right = left + side - 1; left < right; left++, right--) {
            const float value = *left;
            *left = *right;
            *right = value;
        }
    }
}

/* Adds one raw vector for each of n prepared crops to sum. */
static enum err add_vectors(const struct recognizer *recognizer, struct session *session, const float *input, int n,
                            float *sum, struct err_note *note)
{
    const size_t count = (size_t)n * (size_t)recognizer->dim;
    struct tensor output;
    int64_t dim;

    enum err err = run_network(recognizer, session, input, n, &output, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (!vectors_of(&output, n, &dim) || dim != recognizer->dim) {
        char text[SHAPE_TEXT_BYTES];
        return ERR_SAY(note, ERR_FORMAT, "the recogniser returned %s for %d crops, not [%d, %d]",
                       shape_text(&output.shape, text), n, n, recognizer->dim);
    }
    const float *vector = output.data;
    for (size_t i = 0; i < count; i++) {
        sum[i] += vector[i];
    }
    return ERR_NONE;
}

static enum err add_batch(const struct recognizer *recognizer, struct session *session, const struct image *crops,
                          int n, float *input, float *sum, struct err_note *note)
{
    const size_t n_pixels = pixels_of(recognizer);

    for (int i = 0; i < n; i++) {
        preprocess_image(&crops[i], &recognizer->options.how, input + (size_t)i * n_pixels);
    }
    enum err err = add_vectors(recognizer, session, input, n, sum, note);
    if (err != ERR_NONE || !recognizer->options.flip) {
        return err;
    }
    for (int i = 0; i < n; i++) {
        mirror(recognizer, input + (size_t)i * n_pixels);
    }
    return add_vectors(recognizer, session, input, n, sum, note);
}

/* Scales to length 1; ERR_FORMAT if that cannot be done. */
static enum err normalise(float *vector, int dim, float *ret_norm, struct err_note *note)
{
    double sum = 0.0;

    for (int i = 0; i < dim; i++) {
        sum += (double)vector[i] * (double)vector[i];
    }
    const double norm = sqrt(sum);
    if (!isfinite(norm) || !(norm > 1e-12)) {
        return ERR_SAY(note, ERR_FORMAT,
                       "the recogniser returned a vector of length %g; the model or its preprocessing is damaged",
                       norm);
    }
    for (int i = 0; i < dim; i++) {
        vector[i] = (float)((double)vector[i] / norm);
    }
    *ret_norm = (float)norm;
    return ERR_NONE;
}

enum err recognizer_run(const struct recognizer *recognizer, struct session *session, const struct image *crops, int n,
                        struct arena *mem, float *ret, float *ret_norms, struct err_note *note)
{
    const size_t dim = (size_t)recognizer->dim;
    size_t n_vectors;

    if (n < 1) {
        return n == 0 ? ERR_NONE : ERR_SAY(note, ERR_MISUSE, "%d crops to embed", n);
    }
    for (int i = 0; i < n; i++) {
        if (crops[i].width != recognizer->side || crops[i].height != recognizer->side) {
            return ERR_SAY(note, ERR_MISUSE, "a crop is %d × %d pixels where the recogniser takes %d × %d",
                           crops[i].width, crops[i].height, recognizer->side, recognizer->side);
        }
    }
    const int batch = n < recognizer->max_batch ? n : recognizer->max_batch;
    if (!size_mul((size_t)n, dim, &n_vectors)) {
        return ERR_SAY(note, ERR_LIMIT, "%d embeddings are too many at once", n);
    }
    /* What is returned is written only when all of it is known. */
    float *sum = ARENA_ARRAY(mem, float, n_vectors);
    float *norms = ARENA_ARRAY(mem, float, n);
    float *input = ARENA_ARRAY(mem, float, (size_t)batch *pixels_of(recognizer));
    if (sum == NULL || norms == NULL || input == NULL) {
        return ERR_SAY(note, arena_why(mem), "no memory to embed %d crops", n);
    }
    for (int first = 0; first < n; first += batch) {
        const int count = n - first < batch ? n - first : batch;
        enum err err = add_batch(recognizer, session, crops + first, count, input, sum + (size_t)first * dim, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    for (int i = 0; i < n; i++) {
        enum err err = normalise(sum + (size_t)i * dim, recognizer->dim, &norms[i], note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    memcpy(ret, sum, n_vectors * sizeof *ret);
    if (ret_norms != NULL) {
        memcpy(ret_norms, norms, (size_t)n * sizeof *ret_norms);
    }
    return ERR_NONE;
}

/* ---- Recognising the network ------------------------------------------------------------------------------------- */

/* The crop's side is what the graph declares; 112, which all ArcFace networks take, where it leaves it free. */
static enum err read_input(struct recognizer *recognizer, struct err_note *note)
{
    const struct graph *graph = recognizer->graph;

    if (graph_input_count(graph) != 1 || graph_output_count(graph) != 1) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a recogniser has one input and one output, this network has %d and %d",
                       graph_input_count(graph), graph_output_count(graph));
    }
    const struct graph_io *input = graph_input(graph, 0);
    const int64_t *dim = input->shape.dim;
    int64_t side = 112;
    bool is_image = input->type == DTYPE_F32 && (input->shape.rank == -1 || input->shape.rank == 4);
    if (is_image && input->shape.rank == 4) {
        is_image = (dim[1] == 3 || dim[1] == -1) && (dim[2] == dim[3] || dim[2] == -1 || dim[3] == -1);
        side = dim[2] > 0 ? dim[2] : (dim[3] > 0 ? dim[3] : side);
    }
    if (!is_image || side > LARGEST_SIDE) {
        char text[SHAPE_TEXT_BYTES];
        return ERR_SAY(
            note, ERR_UNSUPPORTED,
            "a recogniser's input is float [n, 3, side, side] with a side up to %d, this network's '%s' is %s %s",
            LARGEST_SIDE, input->name, dtype_name(input->type), shape_text(&input->shape, text));
    }
    recognizer->side = (int)side;
    return ERR_NONE;
}

/* Two unlike crops without meaning: a slope with a grid over it, and the same upside down. */
static void draw_probe(const struct recognizer *recognizer, bool upside_down, struct image *crop)
{
    const int side = recognizer->side;

    for (int y = 0; y < side; y++) {
        const int row = upside_down ? side - 1 - y : y;
        uint8_t *pixel = crop->rgb + (size_t)3 * (size_t)row * (size_t)side;
        for (int i = 0; i < 3 * side; i++) {
            pixel[i] = (uint8_t)((y * 255 / side + i * 64 / (3 * side) + ((i / 3) % 16 < 8) * (y % 16 < 8) * 60) % 256);
        }
    }
}

/* Reads the embedding's size from the answer to one crop; that of a classifier gives itself away by adding up to 1. */
static enum err read_output(struct recognizer *recognizer, const struct tensor *output, struct err_note *note)
{
    char text[SHAPE_TEXT_BYTES];
    int64_t dim;

    if (!vectors_of(output, 1, &dim) || dim < 2 || dim > LARGEST_DIM) {
        return ERR_SAY(
            note, ERR_UNSUPPORTED,
            "not a recogniser: for one crop it returns %s %s, where an embedding is float [1, d] with d from 2 "
            "to %d",
            dtype_name(output->type), shape_text(&output->shape, text), LARGEST_DIM);
    }
    const float *vector = output->data;
    double sum = 0.0;
    bool negative = false;
    for (int64_t i = 0; i < dim; i++) {
        if (!isfinite(vector[i])) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "not a usable recogniser: it returns numbers that are not finite");
        }
        sum += (double)vector[i];
        negative = negative || vector[i] < 0.0F;
    }
    if (!negative && fabs(sum - 1.0) < 1e-3) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "not a recogniser: its %lld outputs are shares that add up to 1, as a classifier's do",
                       (long long)dim);
    }
    recognizer->dim = (int)dim;
    return ERR_NONE;
}

/* The vectors of one crop run alone and run in company: equal up to the order of additions, or the graph mixes images. */
static bool same_vectors(const float *alone, const float *together, size_t count)
{
    double difference = 0.0;
    double length = 0.0;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)alone[i] - (double)together[i];
        difference += d * d;
        length += (double)alone[i] * (double)alone[i];
    }
    return difference <= 1e-6 * length; /* a thousandth of the length; a NaN is not equal */
}

/* Runs both probes alone, then together, and sees how large a batch the graph really takes. */
static enum err find_batch(struct recognizer *recognizer, struct session *session, float *input, float *alone,
                           struct err_note *note)
{
    const size_t n_pixels = pixels_of(recognizer);
    const size_t dim = (size_t)recognizer->dim;
    struct tensor output;
    int64_t found_dim;

    recognizer->max_batch = 1;
    if (graph_one_image(recognizer->graph)) {
        return ERR_NONE;
    }
    for (size_t i = 0; i < 2; i++) {
        enum err err = add_vectors(recognizer, session, input + i * n_pixels, 1, alone + i * dim, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    enum err err = run_network(recognizer, session, input, 2, &output, NULL);
    if (err == ERR_NOMEM || err == ERR_LIMIT) {
        return err;
    }
    /* Any other error says that the graph pins its batch, as does an output that is not two vectors. */
    if (err == ERR_NONE && vectors_of(&output, 2, &found_dim) && found_dim == recognizer->dim &&
        same_vectors(alone, output.data, dim) && same_vectors(alone + dim, (const float *)output.data + dim, dim)) {
        recognizer->max_batch = LARGEST_BATCH;
    }
    return ERR_NONE;
}

/* Packs what a batch wants beside what single crops do: several crops of nothing. */
static enum err pack_for_batches(const struct recognizer *recognizer, struct session *session, struct arena *mem,
                                 struct err_note *note)
{
    struct tensor output;
    float *input = ARENA_ARRAY(mem, float, USUAL_BATCH *pixels_of(recognizer));

    return input == NULL ? arena_why(mem) : run_network(recognizer, session, input, USUAL_BATCH, &output, note);
}

static enum err probe(struct recognizer *recognizer, struct arena *mem, struct err_note *note)
{
    const size_t n_pixels = pixels_of(recognizer);
    struct session *session = NULL;
    struct tensor output;
    struct image crop;

    enum err err = image_new(recognizer->side, recognizer->side, mem, &crop);
    if (err != ERR_NONE) {
        return err;
    }
    float *input = ARENA_ARRAY(mem, float, 2 * n_pixels);
    float *alone = ARENA_ARRAY(mem, float, 2 * LARGEST_DIM);
    if (input == NULL || alone == NULL) {
        return arena_why(mem);
    }
    draw_probe(recognizer, false, &crop);
    preprocess_image(&crop, &recognizer->options.how, input);
    draw_probe(recognizer, true, &crop);
    preprocess_image(&crop, &recognizer->options.how, input + n_pixels);

    err = session_new(recognizer->graph, NULL, &session);
    if (err == ERR_NONE) {
        err = run_network(recognizer, session, input, 1, &output, note);
    }
    if (err == ERR_NONE) {
        err = read_output(recognizer, &output, note);
    }
    if (err == ERR_NONE) {
        err = find_batch(recognizer, session, input, alone, note);
    }
    if (err == ERR_NONE && packing_chosen().fast && recognizer->max_batch >= USUAL_BATCH) {
        err = pack_for_batches(recognizer, session, mem, note);
    }
    session_free(session);
    return err;
}

enum err recognizer_new(struct graph *take, const struct recognizer_options *options, struct recognizer **ret,
                        struct err_note *note)
{
    struct recognizer *recognizer = MEM_NEW(struct recognizer);
    struct arena *mem = arena_new((size_t)256 << 20);
    enum err err = ERR_NOMEM;

    if (recognizer == NULL || mem == NULL) {
        goto fail;
    }
    recognizer->graph = take;
    recognizer->options = *options;
    err = read_input(recognizer, note);
    if (err == ERR_NONE) {
        err = probe(recognizer, mem, note);
    }
    if (err != ERR_NONE) {
        goto fail;
    }
    graph_drop_packed(recognizer->graph); /* the probe has packed them; a network's weights are most of its memory */
    arena_free(mem);
    *ret = recognizer;
    return ERR_NONE;

fail:
    /* Whatever its first run says about shapes, it says that this is no recogniser for us. */
    if (err == ERR_FORMAT || err == ERR_MISUSE) {
        err = ERR_UNSUPPORTED;
    }
    arena_free(mem);
    mem_free(recognizer);
    graph_free(take);
    return err;
}

void recognizer_free(struct recognizer *recognizer)
{
    if (recognizer != NULL) {
        graph_free(recognizer->graph);
        mem_free(recognizer);
    }
}

const struct graph *recognizer_graph(const struct recognizer *recognizer)
{
    return recognizer->graph;
}

int recognizer_dim(const struct recognizer *recognizer)
{
    return recognizer->dim;
}

int recognizer_side(const struct recognizer *recognizer)
{
    return recognizer->side;
}

int recognizer_max_batch(const struct recognizer *recognizer)
{
    return recognizer->max_batch;
}

/* ---- The graph's own normalisation ------------------------------------------------------------------------------- */

/* The only node that takes this value as its first input; NULL if there is none or more than one. */
static const struct graph_node *only_user(const struct graph *graph, value_id value)
{
    const struct graph_node *found = NULL;

    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        for (int k = 0; k < node->n_in; k++) {
            if (node->in[k] == value) {
                if (found != NULL) {
                    return NULL;
                }
                found = node;
            }
        }
    }
    return found;
}

static bool is_one_of(const struct graph_node *node, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(node->op->name, *names) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Follows the input through its first nodes.  InsightFace looks for names with "Sub" and "Mul" among the first eight nodes;
 * the chain from the input says the same without trusting names.
 */
bool recognizer_normalises_itself(const struct graph *graph)
{
    static const char *const shifts[] = {"Sub", "Add", NULL};
    static const char *const scales[] = {"Mul", "Div", NULL};
    static const char *const unchanged[] = {"Identity", "Cast", "QuantizeLinear", "DequantizeLinear", NULL};
    bool shifted = false;
    bool scaled = false;

    if (graph_input_count(graph) != 1) {
        return false;
    }
    value_id value = graph_input(graph, 0)->value;
    for (int i = 0; i < 8; i++) {
        const struct graph_node *node = only_user(graph, value);
        if (node == NULL) {
            return false;
        }
        if (strcmp(node->op->name, "BatchNormalization") == 0 || node->epilogue.scale_input > 0) {
            return true; /* one of its own, or one that the convolution behind it has taken in */
        }
        shifted = shifted || is_one_of(node, shifts);
        scaled = scaled || is_one_of(node, scales);
        if (shifted && scaled) {
            return true;
        }
        if (!is_one_of(node, shifts) && !is_one_of(node, scales) && !is_one_of(node, unchanged)) {
            return false;
        }
        value = node->out[0];
    }
    return false;
}
