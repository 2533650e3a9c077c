/* test_preprocess.c: pixels become planes in the network's order and units. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/face.h"

static void planes_follow_the_network(void **state)
{
    /* Two pixels: (10, 20, 30) and (255, 0, 128). */
    uint8_t rgb[] = {10, 20, 30, 255, 0, 128};
    const struct image image = {.width = 2, .height = 1, .rgb = rgb};
    static const struct {
        struct preprocess how;
        float want[6];
    } rows[] = {
        {{COLOR_RGB, {0, 0, 0}, {1, 1, 1}}, {10, 255, 20, 0, 30, 128}},
        {{COLOR_BGR, {0, 0, 0}, {1, 1, 1}}, {30, 128, 20, 0, 10, 255}},
        {{COLOR_RGB, {127.5F, 127.5F, 127.5F}, {128, 128, 128}},
         {(10 - 127.5F) / 128, (255 - 127.5F) / 128, (20 - 127.5F) / 128, -127.5F / 128, (30 - 127.5F) / 128,
          .5F / 128}},
        /* Mean and deviation are in the network's order: with BGR the first is blue's. */
        {{COLOR_BGR, {1, 2, 3}, {2, 4, 8}}, {14.5F, 63.5F, 4.5F, -.5F, .875F, 31.5F}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float out[6];
        preprocess_image(&image, &rows[i].how, out);
        for (int k = 0; k < 6; k++) {
            if (out[k] != rows[i].want[k]) {
                fail_msg("row %zu, value %d: %g, not %g", i, k, (double)out[k], (double)rows[i].want[k]);
            }
        }
    }
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(planes_follow_the_network)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
