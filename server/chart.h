/*
 * chart.h: lines over two axes as inline SVG, with nothing from outside: no script, no font, no style sheet.
 */
#ifndef SERVER_CHART_H
#define SERVER_CHART_H

#include <stdbool.h>
#include <stdio.h>

struct chart_line {
    const char *name;
    const double *x, *y; /* [n]; what is no number, or not above 0 on a logarithmic axis, interrupts the line */
    int n;
};

struct chart {
    const char *title, *x_name, *y_name;
    bool log_x, log_y;
    const struct chart_line *lines; /* at most 6 */
    int n_lines;
};

/* The axes reach as far as the numbers.  Texts are ours: they are escaped all the same. */
void chart_write(FILE *out, const struct chart *chart);

/* Writes text with the five characters that HTML knows escaped. */
void chart_text(FILE *out, const char *text);

#endif
