/* test_hash.c: SHA-256 and CRC-32C against published vectors, and the fast CRC against one bit at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/hash.h"
#include "core/base/hash_private.h"

static void computes_sha256(void **state)
{
    static const struct {
        const char *text;
        const char *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        unsigned char hash[HASH_SHA256_BYTES];
        char text[HASH_SHA256_TEXT];
        hash_sha256(rows[row].text, strlen(rows[row].text), hash);
        hash_text(hash, text);
        if (strcmp(text, rows[row].hash) != 0) {
            fail_msg("row %zu: %s", row, text);
        }
    }
}

/* The vectors of RFC 3720, B.4, and the check value of the catalogues. */
static void computes_crc32c(void **state)
{
    unsigned char data[32];

    assert_int_equal(hash_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(hash_crc32c(0, "", 0), 0);
    memset(data, 0, sizeof data);
    assert_int_equal(hash_crc32c(0, data, sizeof data), 0x8A9136AA);
    memset(data, 0xFF, sizeof data);
    assert_int_equal(hash_crc32c(0, data, sizeof data), 0x62A8AB43);
    for (unsigned i = 0; i < 32; i++) {
        data[i] = (unsigned char)i;
    }
    assert_int_equal(hash_crc32c(0, data, sizeof data), 0x46DD794E);
}

static uint32_t bit_by_bit(const unsigned char *data, size_t len)
{
    uint32_t sum = 0xFFFFFFFF;

    for (size_t i = 0; i < len; i++) {
        sum ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            sum = (sum >> 1) ^ ((sum & 1U) != 0 ? 0x82F63B78U : 0);
        }
    }
    return ~sum;
}

static void continues_a_sum(void **state)
{
    unsigned char data[67];

    for (unsigned i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i * 151 + 11);
    }
    for (size_t len = 0; len <= sizeof data; len++) {
        for (size_t cut = 0; cut <= len; cut++) {
            uint32_t sum = hash_crc32c(hash_crc32c(0, data, cut), data + cut, len - cut);
            uint32_t by_tables = ~crc32c_tables(~UINT32_C(0), data, len);
            if (sum != bit_by_bit(data, len) || by_tables != sum) {
                fail_msg("%zu bytes cut at %zu: %08x", len, cut, sum);
            }
        }
    }
}

/* Every number of pieces of every length: each as if it were alone. */
static void sums_pieces(void **state)
{
    unsigned char data[9 * 40];
    uint32_t sums[10];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i * i + 7 * i);
    }
    for (size_t bytes = 0; bytes <= 40; bytes++) {
        for (size_t n = 0; n <= 9; n++) {
            sums[n] = 77;
            hash_crc32c_each(data, bytes, n, sums);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(sums[i], hash_crc32c(0, data + i * bytes, bytes));
            }
            assert_int_equal(sums[n], 77);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_sha256),
        cmocka_unit_test(computes_crc32c),
        cmocka_unit_test(sums_pieces),
        cmocka_unit_test(continues_a_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
