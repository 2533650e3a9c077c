/* block_winograd.c: G g Gᵀ, once for each kernel of a layer. */
#include "core/kernel/block_winograd.h"

#include <string.h>

/* One column of G g: [m + 2] lines from the three numbers of g, for sixteen kernels beside each other. */
static void weights_line(int m, const float g[3][BLOCK], float r[WINOGRAD_MAX + 2][BLOCK])
{
    for (int o = 0; o < BLOCK; o++) {
        float a = g[0][o];
        float b = g[1][o];
        float c = g[2][o];
        if (m == 2) {
            r[0][o] = a;
            r[1][o] = (a + c + b) / 2;
            r[2][o] = (a + c - b) / 2;
            r[3][o] = c;
        } else {
            r[0][o] = a / 4;
            r[1][o] = (a + c + b) / -6;
            r[2][o] = (a + c - b) / -6;
            r[3][o] = (a + 4 * c + 2 * b) / 24;
            r[4][o] = (a + 4 * c - 2 * b) / 24;
            r[5][o] = c;
        }
    }
}

void winograd_weights(int m, const float *w, int64_t w_step, int n_out, float *u, int64_t u_step)
{
    float g[3][3][BLOCK] = {{{0}}}; /* [column][row] */
    float half[WINOGRAD_MAX + 2][3][BLOCK];

    for (int o = 0; o < n_out; o++) {
        for (int t = 0; t < 9; t++) {
            g[t % 3][t / 3][o] = w[o * w_step + t];
        }
    }
    for (int col = 0; col < 3; col++) {
        float lines[WINOGRAD_MAX + 2][BLOCK];
        weights_line(m, (const float(*)[BLOCK])g[col], lines);
        for (int i = 0; i < m + 2; i++) {
            memcpy(half[i][col], lines[i], sizeof lines[i]);
        }
    }
    for (int i = 0; i < m + 2; i++) {
        float lines[WINOGRAD_MAX + 2][BLOCK];
        weights_line(m, (const float(*)[BLOCK])half[i], lines);
        for (int j = 0; j < m + 2; j++) {
            memcpy(u + (i * (m + 2) + j) * u_step, lines[j], sizeof lines[j]);
        }
    }
}
