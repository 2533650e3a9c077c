/* clock.c: monotonic, CPU and wall time. */
#include "core/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t which)
{
    struct timespec now;

    (void)clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_unix_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}

void clock_text(int64_t unix_ms, char *text)
{
    int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((unix_ms - ms) / 1000);
    struct tm utc;
    size_t len = 0;

    if (gmtime_r(&seconds, &utc) != NULL) {
        len = strftime(text, CLOCK_TEXT_BYTES - 5, "%Y-%m-%dT%H:%M:%S", &utc);
    }
    (void)snprintf(text + len, CLOCK_TEXT_BYTES - len, ".%03dZ", (int)ms);
}

/* Takes so many digits, within bounds, and the character behind them unless that is 0. */
static bool take(const char **at, int digits, int least, int most, char behind, int *ret)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = 10 * value + (c - '0');
    }
    *at += digits;
    if (behind != '\0' && *(*at)++ != behind) {
        return false;
    }
    *ret = value;
    return value >= least && value <= most;
}

/* Decimals of a second, if there are any. */
static bool take_decimals(const char **at, int *ret_ms)
{
    int digits = 0;

    *ret_ms = 0;
    if (**at != '.') {
        return true;
    }
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        *ret_ms = digits < 3 ? 10 * *ret_ms + (**at - '0') : *ret_ms;
    }
    for (int i = digits; i < 3; i++) {
        *ret_ms *= 10;
    }
    return digits > 0;
}

/* What the text's clock is ahead of UTC. */
static bool take_offset(const char **at, int *ret_minutes)
{
    char sign = **at;
    int hours = 0;
    int minutes = 0;

    *ret_minutes = 0;
    if (sign == 'Z' || sign == 'z') {
        (*at)++;
    } else if (sign == '+' || sign == '-') {
        (*at)++;
        if (!take(at, 2, 0, 23, ':', &hours) || !take(at, 2, 0, 59, '\0', &minutes)) {
            return false;
        }
        *ret_minutes = (sign == '+' ? 1 : -1) * (60 * hours + minutes);
    }
    return **at == '\0';
}

bool clock_read(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    int ms = 0;
    int offset = 0;
    const char *at = text;

    if (!take(&at, 4, 1970, 9999, '-', &tm.tm_year) || !take(&at, 2, 1, 12, '-', &tm.tm_mon) ||
        !take(&at, 2, 1, 31, '\0', &tm.tm_mday) || (*at != 'T' && *at != 't' && *at != ' ')) {
        return false;
    }
    at++;
    if (!take(&at, 2, 0, 23, ':', &tm.tm_hour) || !take(&at, 2, 0, 59, ':', &tm.tm_min) ||
        !take(&at, 2, 0, 60, '\0', &tm.tm_sec) || !take_decimals(&at, &ms) || !take_offset(&at, &offset)) {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon--;
    const int day = tm.tm_mday;
    const int month = tm.tm_mon;
    const bool leap = tm.tm_sec == 60;
    int64_t seconds = timegm(&tm) - (int64_t)offset * 60;
    if ((!leap && (tm.tm_mday != day || tm.tm_mon != month)) || seconds < 0) { /* timegm makes March of February 30 */
        return false;
    }
    *ret_ms = seconds * 1000 + ms;
    return true;
}
