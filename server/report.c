/* report.c: HTML with charts inline. */
#include "server/report.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/chart.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Training "
    "report</title>\n<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;max-width:1200px;margin:2em auto;padding:0 "
    "1em}\n"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}\n"
    ".c{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1em}\n"
    "svg{border:1px solid #d1d9e0;border-radius:6px;background:#fff;font:11px "
    "system-ui,sans-serif;fill:#59636e;width:100%}\n"
    "svg .g{stroke:#e6eaef;fill:none}svg .t{font-size:13px;font-weight:600;fill:#1f2328}\n"
    "table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:left;border-bottom:1px solid #e6eaef}\n"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}\n</style></head><body>\n";

/* Numbers of one page; freed together. */
struct page {
    FILE *out;
    struct arena *mem;
    enum err err;
};

static double *numbers(struct page *page, long n)
{
    double *list = page->err == ERR_NONE ? ARENA_ARRAY(page->mem, double, n) : NULL;

    if (list == NULL && page->err == ERR_NONE) {
        page->err = arena_why(page->mem);
    }
    return list;
}

static void write_facts(const struct page *page, const struct report *report)
{
    (void)fprintf(page->out, "<h1>");
    chart_text(page->out, report->title);
    (void)fprintf(page->out, "</h1>\n<table>\n");
    for (int i = 0; i < report->n_facts; i++) {
        (void)fprintf(page->out, "<tr><th>");
        chart_text(page->out, report->facts[i].name);
        (void)fprintf(page->out, "</th><td>");
        chart_text(page->out, report->facts[i].value);
        (void)fprintf(page->out, "</td></tr>\n");
    }
    (void)fprintf(page->out, "</table>\n");
}

/* ---- Phases ------------------------------------------------------------------------------------------------------- */

static void write_steps(struct page *page, const struct train_result *result)
{
    double *step = numbers(page, result->steps);
    double *loss = numbers(page, result->steps);
    double *terms = numbers(page, result->steps);
    double *rate = numbers(page, result->steps);
    double *angle = numbers(page, result->steps);

    if (page->err != ERR_NONE) {
        return;
    }
    for (long i = 0; i < result->steps; i++) {
        const struct train_point *point = &result->points[i];
        step[i] = (double)(i + 1);
        loss[i] = (double)point->loss;
        terms[i] = (double)point->terms;
        rate[i] = (double)point->rate;
        angle[i] = (double)point->angle * (180 / 3.14159265358979);
    }
    int n = (int)result->steps;
    const struct chart_line losses[] = {{"classification", step, loss, n}, {"terms beside it", step, terms, n}};
    const struct chart_line rates[] = {{"learning rate", step, rate, n}};
    const struct chart_line angles[] = {{"mean", step, angle, n}};
    const struct chart charts[] = {
        {.title = "Loss", .x_name = "step", .y_name = "loss", .lines = losses, .n_lines = 2},
        {.title = "Learning rate", .x_name = "step", .y_name = "rate", .lines = rates, .n_lines = 1},
        {.title = "Angle to the own center", .x_name = "step", .y_name = "degrees", .lines = angles, .n_lines = 1}};
    for (int i = 0; i < 3; i++) {
        chart_write(page->out, &charts[i]);
    }
}

/* The first epoch, the middle one and the last, as shares of the crops. */
static void write_histograms(struct page *page, const struct train_result *result)
{
    const long epochs[] = {0, result->epochs / 2, result->epochs - 1};
    struct chart_line lines[3];
    char names[3][32];
    int n_lines = 0;

    for (int e = 0; e < 3; e++) {
        double *degrees = numbers(page, TRAIN_ANGLE_BINS);
        double *share = numbers(page, TRAIN_ANGLE_BINS);
        double sum = 0;
        if (page->err != ERR_NONE) {
            return;
        }
        for (int i = 0; i < TRAIN_ANGLE_BINS; i++) {
            sum += result->angles[epochs[e]][i];
        }
        for (int i = 0; i < TRAIN_ANGLE_BINS; i++) {
            degrees[i] = 180.0 / TRAIN_ANGLE_BINS * (i + .5);
            share[i] = sum > 0 ? result->angles[epochs[e]][i] / sum : 0;
        }
        if (e == 0 || epochs[e] != epochs[e - 1]) {
            (void)snprintf(names[n_lines], sizeof names[0], "epoch %ld", epochs[e] + 1);
            lines[n_lines] = (struct chart_line){names[n_lines], degrees, share, TRAIN_ANGLE_BINS};
            n_lines++;
        }
    }
    const struct chart chart = {.title = "Target angles",
                                .x_name = "degrees to the own center",
                                .y_name = "share of the crops",
                                .lines = lines,
                                .n_lines = n_lines};
    chart_write(page->out, &chart);
}

/* ---- Figures ------------------------------------------------------------------------------------------------------ */

static void write_interval(const struct page *page, const struct interval *interval, bool measured)
{
    if (measured) {
        (void)fprintf(page->out, "<td class=\"n\">%.2f&nbsp;%%</td><td>[%.2f, %.2f]</td>", 100 * interval->value,
                      100 * interval->low, 100 * interval->high);
    } else {
        (void)fprintf(page->out, "<td class=\"n\">not measured</td><td></td>");
    }
}

static void write_row(const struct page *page, const char *name, double rate, bool supported,
                      const struct interval *before, bool before_measured, const struct interval *after,
                      bool after_measured)
{
    (void)fprintf(page->out, "<tr><th>");
    (void)fprintf(page->out, rate > 0 ? "%s %g" : "%s", name, rate);
    (void)fprintf(page->out, "%s</th>", supported ? "" : " *");
    write_interval(page, before, before_measured);
    write_interval(page, after, after_measured);
    (void)fprintf(page->out, "</tr>\n");
}

static void write_figures(const struct page *page, const struct report *report)
{
    const struct evaluation *b = report->before;
    const struct evaluation *a = report->after;

    (void)fprintf(page->out,
                  "<h2>People held out of training</h2>\n<p>%d photos of %d people, intervals of %d %% by resampling "
                  "people.</p>\n<table><tr><th></th><th>before</th><th></th><th>after</th><th></th></tr>\n",
                  b->photos, b->people, 95);
    for (int i = 0; i < b->n_tar && i < a->n_tar; i++) {
        write_row(page, "TAR at FMR", b->tar[i].rate, b->tar[i].supported, &b->tar[i].hit, b->tar[i].measured,
                  &a->tar[i].hit, a->tar[i].measured);
    }
    if (b->identifies && a->identifies) {
        write_row(page, "rank-1", 0, true, &b->rank1, true, &a->rank1, true);
        write_row(page, "rank-5", 0, true, &b->rank5, true, &a->rank5, true);
        for (int i = 0; i < b->n_tpir && i < a->n_tpir; i++) {
            write_row(page, "TPIR at FPIR", b->tpir[i].rate, b->tpir[i].supported, &b->tpir[i].hit, b->tpir[i].measured,
                      &a->tpir[i].hit, a->tpir[i].measured);
        }
    }
    (void)fprintf(page->out,
                  "</table>\n<p>* an indication only: fewer than %d errors can be expected at this rate.</p>\n",
                  MEASURE_LEAST_ERRORS);
    if (report->gain != NULL) {
        (void)fprintf(page->out, "<p>Change of TAR at FMR %g, paired: %+.2f points [%+.2f, %+.2f].</p>\n",
                      report->gain_fmr, 100 * report->gain->value, 100 * report->gain->low, 100 * report->gain->high);
    }
}

static void write_curves(struct page *page, const struct report *report)
{
    const struct evaluation *sides[] = {report->before, report->after};
    static const char *const names[] = {"before", "after"};
    struct chart_line roc[2];
    struct chart_line det[2];

    for (int s = 0; s < 2; s++) {
        int n = sides[s]->n_det;
        double *fmr = numbers(page, n);
        double *tar = numbers(page, n);
        double *fnmr = numbers(page, n);
        if (page->err != ERR_NONE) {
            return;
        }
        for (int i = 0; i < n; i++) {
            fmr[i] = sides[s]->det[i].fmr;
            fnmr[i] = sides[s]->det[i].fnmr;
            tar[i] = 1 - fnmr[i];
        }
        roc[s] = (struct chart_line){names[s], fmr, tar, n};
        det[s] = (struct chart_line){names[s], fmr, fnmr, n};
    }
    const struct chart charts[] = {{.title = "ROC",
                                    .x_name = "false match rate",
                                    .y_name = "true accept rate",
                                    .log_x = true,
                                    .lines = roc,
                                    .n_lines = 2},
                                   {.title = "DET",
                                    .x_name = "false match rate",
                                    .y_name = "false non-match rate",
                                    .log_x = true,
                                    .log_y = true,
                                    .lines = det,
                                    .n_lines = 2}};
    (void)fprintf(page->out, "<div class=\"c\">\n");
    chart_write(page->out, &charts[0]);
    chart_write(page->out, &charts[1]);
    (void)fprintf(page->out, "</div>\n");
}

enum err report_write(const struct report *report, const char *path, struct err_note *note)
{
    char *text = NULL;
    size_t n_bytes = 0;
    struct page page = {.out = open_memstream(&text, &n_bytes), .mem = arena_new((size_t)256 << 20)};

    if (page.out == NULL || page.mem == NULL) {
        page.err = ERR_NOMEM;
    }
    if (page.err == ERR_NONE) {
        (void)fprintf(page.out, "%s", head);
        write_facts(&page, report);
        if (report->before != NULL && report->after != NULL) {
            write_figures(&page, report);
            write_curves(&page, report);
        }
        for (int i = 0; i < report->n_phases; i++) {
            (void)fprintf(page.out, "<h2>");
            chart_text(page.out, report->phases[i].name);
            (void)fprintf(page.out, "</h2>\n<div class=\"c\">\n");
            write_steps(&page, report->phases[i].result);
            write_histograms(&page, report->phases[i].result);
            (void)fprintf(page.out, "</div>\n");
        }
        (void)fprintf(page.out, "</body></html>\n");
    }
    if (page.out != NULL && fclose(page.out) != 0) {
        page.err = ERR_NOMEM;
    }
    arena_free(page.mem);
    enum err err = page.err == ERR_NONE ? file_write(path, text, n_bytes, note) : page.err;
    free(text); /* open_memstream's, foreign heap */
    return err;
}
