/* chart.c: axes, ticks, lines, a legend. */
#include "server/chart.h"

#include <math.h>
#include <string.h>

#define WIDTH 560
#define HEIGHT 320
#define LEFT 64
#define RIGHT 16
#define TOP 34
#define BOTTOM 48
#define MOST_TICKS 8
#define LETTER 6.2 /* pixels, of the 11 px font */

static const char *const colours[] = {"#1f6feb", "#d1480f", "#2c8a3d", "#8250df", "#9a6700", "#57606a"};
#define N_COLOURS ((int)(sizeof colours / sizeof colours[0]))

struct axis {
    bool log;
    double low, high; /* logarithms of them on a logarithmic axis */
};

void chart_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&': (void)fputs("&amp;", out); break;
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        case '"': (void)fputs("&quot;", out); break;
        case '\'': (void)fputs("&#39;", out); break;
        default: (void)fputc(*text, out);
        }
    }
}

static bool place(const struct axis *axis, double value, double *ret)
{
    if (!isfinite(value) || (axis->log && value <= 0)) {
        return false;
    }
    *ret = axis->log ? log10(value) : value;
    return true;
}

/* 1, 2 and 5 within a decade, as logarithms; the next decade's 1 ends the list. */
static const double within[] = {0, 0.30102999566398120, 0.69897000433601880, 1};

/* The next 1, 2 or 5 times a power of ten, as a logarithm. */
static double snap(double at, bool up)
{
    double decade = floor(at + 1e-9);
    int i = up ? 0 : 3;

    while (up ? decade + within[i] < at - 1e-9 : decade + within[i] > at + 1e-9) {
        i += up ? 1 : -1;
    }
    return decade + within[i];
}

static struct axis fit(const struct chart *chart, bool is_x)
{
    struct axis axis = {.log = is_x ? chart->log_x : chart->log_y, .low = INFINITY, .high = -INFINITY};

    for (int l = 0; l < chart->n_lines; l++) {
        const double *values = is_x ? chart->lines[l].x : chart->lines[l].y;
        for (int i = 0; i < chart->lines[l].n; i++) {
            double at;
            if (place(&axis, values[i], &at)) {
                axis.low = at < axis.low ? at : axis.low;
                axis.high = at > axis.high ? at : axis.high;
            }
        }
    }
    if (!(axis.low <= axis.high)) {
        axis.low = 0;
        axis.high = 1;
    }
    if (axis.log) {
        axis.low = snap(axis.low, false);
        axis.high = snap(axis.high, true);
    } else if (!is_x && axis.low > 0 && axis.low < .5 * axis.high) {
        axis.low = 0;
    }
    if (axis.high - axis.low < 1e-12) {
        axis.high = axis.low + 1;
    }
    return axis;
}

static double to_x(const struct axis *axis, double at)
{
    return LEFT + (at - axis->low) / (axis->high - axis->low) * (WIDTH - LEFT - RIGHT);
}

static double to_y(const struct axis *axis, double at)
{
    return HEIGHT - BOTTOM - (at - axis->low) / (axis->high - axis->low) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that at most MOST_TICKS fit. */
static double tick_step(const struct axis *axis)
{
    double range = axis->high - axis->low;
    double step = pow(10, floor(log10(range / MOST_TICKS)));

    for (int i = 0; range / step > MOST_TICKS; i++) {
        step *= i % 3 == 1 ? 2.5 : 2;
    }
    return step;
}

static void write_tick(FILE *out, const struct axis *axis, double at, double label, bool is_x)
{
    if (is_x) {
        double x = to_x(axis, at);
        (void)fprintf(
            out, "<path class=\"g\" d=\"M%.1f %d V%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
            x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 16, label);
    } else {
        double y = to_y(axis, at);
        (void)fprintf(out,
                      "<path class=\"g\" d=\"M%d %.1f H%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                      LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, label);
    }
}

/* Decades; between them 2 and 5 where few decades are shown. */
static void write_log_ticks(FILE *out, const struct axis *axis, bool is_x)
{
    int marks = axis->high - axis->low < 2.5 ? 3 : 1;

    for (int decade = (int)floor(axis->low + 1e-9); decade <= (int)floor(axis->high + 1e-9); decade++) {
        for (int i = 0; i < marks; i++) {
            double at = decade + within[i];
            if (at >= axis->low - 1e-9 && at <= axis->high + 1e-9) {
                write_tick(out, axis, at, pow(10, at), is_x);
            }
        }
    }
}

static void write_ticks(FILE *out, const struct axis *axis, bool is_x)
{
    if (axis->log) {
        write_log_ticks(out, axis, is_x);
        return;
    }
    double step = tick_step(axis);
    double first = ceil(axis->low / step - 1e-9) * step;
    int n_ticks = (int)floor((axis->high - first) / step + 1e-9) + 1;
    for (int i = 0; i < n_ticks; i++) {
        double at = first + i * step;
        write_tick(out, axis, at, fabs(at) < 1e-12 ? 0 : at, is_x);
    }
}

/* Beside the title, where no line passes; from the right, by the usual width of a letter. */
static void write_legend(FILE *out, const struct chart *chart)
{
    double x = WIDTH - RIGHT;

    for (int l = chart->n_lines - 1; l >= 0 && chart->n_lines > 1; l--) {
        const char *name = chart->lines[l].name;
        (void)fprintf(out, "<text x=\"%.0f\" y=\"20\" text-anchor=\"end\" fill=\"%s\">", x, colours[l % N_COLOURS]);
        chart_text(out, name);
        (void)fprintf(out, "</text>\n");
        x -= LETTER * (double)strlen(name) + 14;
    }
}

static void write_line(FILE *out, const struct chart_line *line, const struct axis *x_axis, const struct axis *y_axis,
                       const char *colour)
{
    bool drawing = false;

    (void)fprintf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" d=\"", colour);
    for (int i = 0; i < line->n; i++) {
        double x;
        double y;
        bool there = place(x_axis, line->x[i], &x) && place(y_axis, line->y[i], &y);
        if (there) {
            (void)fprintf(out, "%c%.1f %.1f", drawing ? 'L' : 'M', to_x(x_axis, x), to_y(y_axis, y));
        }
        drawing = there;
    }
    (void)fprintf(out, "\"/>\n");
}

void chart_write(FILE *out, const struct chart *chart)
{
    struct axis x_axis = fit(chart, true);
    struct axis y_axis = fit(chart, false);

    (void)fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n<text class=\"t\" x=\"%d\" y=\"20\">", WIDTH, HEIGHT,
                  LEFT);
    chart_text(out, chart->title);
    (void)fprintf(out, "</text>\n");
    write_ticks(out, &x_axis, true);
    write_ticks(out, &y_axis, false);
    (void)fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10);
    chart_text(out, chart->x_name);
    (void)fprintf(out, "</text>\n<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">",
                  (TOP + HEIGHT - BOTTOM) / 2);
    chart_text(out, chart->y_name);
    (void)fprintf(out, "</text>\n");
    for (int l = 0; l < chart->n_lines; l++) {
        write_line(out, &chart->lines[l], &x_axis, &y_axis, colours[l % N_COLOURS]);
    }
    write_legend(out, chart);
    (void)fprintf(out, "</svg>\n");
}
