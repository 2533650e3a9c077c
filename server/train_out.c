/* train_out.c: files about a run. */
#include "server/train_out.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/report.h"

/* ---- Photos ------------------------------------------------------------------------------------------------------- */

static json_t *person_json(const struct train_out *out, int class)
{
    int person = out->course->person_of[class];

    return out->names != NULL ? json_string(out->names[person]) : json_integer(person);
}

static json_t *verdict_json(const struct verdict *verdict)
{
    return json_pack("{s:b, s:i, s:f}", "keep", (int)verdict->keep, "subcenter", verdict->subcenter, "degrees",
                     (double)verdict->degrees);
}

static json_t *photo_json(const struct train_out *out, int at)
{
    const struct course_result *course = out->course;
    const struct verdict *plain = course->plain == NULL ? NULL : &course->plain[at];
    const struct verdict *refined = &course->refined[at];
    const struct verdict *asked = plain != NULL && out->wish->course.rule == COURSE_PLAIN ? plain : refined;
    int64_t id = dataset_id(out->dataset, course->item[at]);

    json_t *line =
        json_pack("{s:I, s:s*, s:o, s:b, s:b, s:o, s:o}", "id", (json_int_t)id, "file",
                  out->folder != NULL ? out->folder->paths[id] : NULL, "person", person_json(out, course->class_of[at]),
                  "keep", (int)asked->keep, "unsure", (int)asked->unsure, "refined", verdict_json(refined), "plain",
                  plain == NULL ? json_null() : verdict_json(plain));
    if (line != NULL && asked->likely >= 0) {
        (void)json_object_set_new(line, "likely", person_json(out, asked->likely));
        (void)json_object_set_new(line, "likely_degrees", json_real((double)asked->likely_degrees));
    }
    return line;
}

enum err train_out_photos(const struct train_out *out)
{
    const char *path = out->wish->photos;
    char *text = NULL;
    size_t n_bytes = 0;

    if (path == NULL || !out->course->has_first) {
        return ERR_NONE;
    }
    FILE *to = open_memstream(&text, &n_bytes);
    enum err err = ERR_NONE;
    for (int i = 0; to != NULL && i < out->course->n_judged; i++) {
        json_t *line = photo_json(out, i);
        if (line == NULL || json_dumpf(line, to, JSON_COMPACT | JSON_REAL_PRECISION(7)) != 0) {
            err = ERR_SAY(out->note, ERR_FOREIGN, "a file's name is not UTF-8: %s cannot be written", path);
        }
        (void)fputc('\n', to);
        json_decref(line);
    }
    if (to == NULL || fclose(to) != 0) {
        err = ERR_NOMEM;
    }
    err = err == ERR_NONE ? file_write(path, text, n_bytes, out->note) : err;
    free(text); /* open_memstream's, foreign heap */
    return err;
}

/* ---- The manifest ------------------------------------------------------------------------------------------------- */

static enum err write_manifest(const struct train_out *out, const char *path)
{
    const struct course_result *course = out->course;
    json_t *root = json_loads(out->from->manifest.json, 0, NULL);
    char *text = NULL;
    enum err err = ERR_NONE;

    (void)json_object_del(root, "calibration");
    json_t *trained = json_pack("{s:s, s:i, s:i, s:s, s:f}", "from", out->from->onnx_sha256, "people", course->classes,
                                "steps", (int)course->last.steps, "loss", out->wish->loss, "share",
                                course->blended ? (double)course->blend.share : 1.0);
    if (root == NULL || json_object_set_new(root, "trained", trained) != 0 ||
        (text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9))) == NULL) {
        err = ERR_SAY(out->note, ERR_NOMEM, "no memory for the manifest");
    }
    err = err == ERR_NONE ? file_write(path, text, strlen(text), out->note) : err;
    free(text); /* jansson's, foreign heap */
    json_decref(root);
    return err;
}

/* ---- The page ----------------------------------------------------------------------------------------------------- */

static void add_fact(struct report *report, const char *name, const char *value)
{
    if (value != NULL && report->n_facts < REPORT_MOST_FACTS) {
        report->facts[report->n_facts++] = (struct report_fact){name, value};
    }
}

static const char *share_text(const struct train_out *out)
{
    const struct course_result *course = out->course;
    const char *text = "the whole way: nobody was asked";

    if (course->blended) {
        text = arena_format(out->mem, "%.0f %% of the way", 100 * (double)course->blend.share);
        for (int k = 0; k < BLEND_SHARES && text != NULL; k++) {
            text = arena_format(out->mem, "%s%s %.0f %%: TAR %.4f", text, k == 0 ? ";" : ",",
                                100 * (double)course->blend.shares[k], course->blend.score[k]);
        }
    }
    return text;
}

static void add_facts(const struct train_out *out, struct report *report)
{
    const struct train_wish *wish = out->wish;
    const struct course_result *course = out->course;
    const struct train_options *train = &wish->course.train;
    const struct objective *o = &train->objective;
    struct arena *mem = out->mem;

    add_fact(report, "from", out->from->onnx_sha256);
    add_fact(report, "crops",
             arena_format(mem, "%d of %d people: %d teach, %d choose, %d are held out", dataset_count(out->dataset),
                          dataset_people(out->dataset), out->parts->teaching, out->parts->choosing, out->parts->held));
    add_fact(report, "loss",
             arena_format(mem, "%s, m2 %g, s %g", wish->loss, (double)o->margin.m2, (double)o->margin.scale));
    add_fact(
        report, "terms",
        arena_format(mem, "intra %g, inter %g, triplet %g", (double)o->intra, (double)o->inter, (double)o->triplet));
    add_fact(report, "distillation",
             arena_format(mem, "squared distance %g, cosine %g, KL %g", (double)o->distill_l2,
                          (double)o->distill_cosine, (double)o->distill_kl));
    add_fact(report, "photos in the distillation alone", arena_format(mem, "%d", course->n_followed));
    add_fact(report, "learning",
             wish->from != NULL ? arena_format(mem, "the layer %s and all above it", wish->from)
                                : arena_format(mem, "the upper %.0f %% of the convolutions", 100 * wish->learn));
    add_fact(report, "steps", arena_format(mem, "rate %g, batches of %d", (double)train->schedule.rate, train->batch));
    add_fact(report, "purified",
             course->has_first ? arena_format(mem, "%s; of %d photos the refined rule drops %d, the plain one %d",
                                              wish->purify, course->n_judged, course->n_refined, course->n_plain)
                               : "no: every photo teaches");
    add_fact(report, "people with one photo", arena_format(mem, "%d, as frozen centers", course->n_frozen));
    add_fact(report, "how far", share_text(out));
    add_fact(report, "held out, under a wrong name",
             arena_format(mem, "%d of %d photos, left aside because both models say so", out->measured->mislabelled,
                          out->measured->photos));
    add_fact(report, "memory of the tapes", arena_format(mem, "%zu MiB", course->last.peak_bytes >> 20));
    add_fact(report, "maps below the cut", arena_format(mem, "%zu MiB", student_maps_bytes(out->student) >> 20));
}

static enum err write_report(const struct train_out *out, const char *path)
{
    const struct course_result *course = out->course;
    struct report report = {.title =
                                arena_format(out->mem, "%s, trained on %d people", out->from->name, course->classes)};

    if (report.title == NULL) {
        return ERR_NOMEM;
    }
    add_facts(out, &report);
    if (course->has_first) {
        report.phases[report.n_phases++] = (struct report_phase){"First phase", &course->first};
    }
    report.phases[report.n_phases++] = (struct report_phase){"Last phase, one center a person", &course->last};
    if (out->measured->made) {
        report.before = &out->measured->before;
        report.after = &out->measured->after;
        report.gain = &out->measured->gain;
        report.gain_fmr = out->measured->gain_fmr;
    }
    return report_write(&report, path, out->note);
}

/* ---- All of it ---------------------------------------------------------------------------------------------------- */

enum err train_out_write(const struct train_out *out)
{
    const char *manifest = arena_format(out->mem, "%s.json", out->wish->out);
    const char *page = arena_format(out->mem, "%s.html", out->wish->out);
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    if (manifest == NULL || page == NULL) {
        return ERR_NOMEM;
    }
    enum err err = student_save(out->student, &bytes, &n_bytes, out->note);
    if (err == ERR_NONE) {
        err = file_write(out->wish->out, bytes, n_bytes, out->note);
    }
    mem_free(bytes);
    if (err == ERR_NONE) {
        err = write_manifest(out, manifest);
    }
    return err != ERR_NONE ? err : write_report(out, page);
}
