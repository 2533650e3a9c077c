/* block.c: the way between plain and blocked images. */
#include "core/kernel/block.h"

void block_pack_f32(int64_t n, int64_t c, int64_t pixels, const float *plain, float *blocked)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c0 = 0; c0 < c; c0 += BLOCK) {
            int64_t count = c - c0 < BLOCK ? c - c0 : BLOCK;
            for (int64_t p = 0; p < pixels; p++) {
                for (int64_t k = 0; k < count; k++) {
                    blocked[p * BLOCK + k] = plain[k * pixels + p];
                }
                for (int64_t k = count; k < BLOCK; k++) {
                    blocked[p * BLOCK + k] = 0;
                }
            }
            plain += count * pixels;
            blocked += pixels * BLOCK;
        }
    }
}

void block_unpack_f32(int64_t n, int64_t c, int64_t pixels, const float *blocked, float *plain)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c0 = 0; c0 < c; c0 += BLOCK) {
            int64_t count = c - c0 < BLOCK ? c - c0 : BLOCK;
            for (int64_t p = 0; p < pixels; p++) {
                for (int64_t k = 0; k < count; k++) {
                    plain[k * pixels + p] = blocked[p * BLOCK + k];
                }
            }
            plain += count * pixels;
            blocked += pixels * BLOCK;
        }
    }
}
