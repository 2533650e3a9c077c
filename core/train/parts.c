/* parts.c: two draws of people, one after the other. */
#include "core/train/parts.h"

#include <math.h>
#include <string.h>

#include "core/train/dataset.h"

#define LEAST_PHOTOS 2

/* The draw of who chooses is another one than that of who is held out. */
#define CHOOSING_SEED 0x632BE59BD9B4E019U

static enum err spent(const struct arena *mem)
{
    return arena_why(mem) == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
}

/* How many of a person's photos are held out: two at least, for a pair of them to judge by, and no more than are left. */
static int photos_to_hold(int photos, double holdout)
{
    int most = photos / 2;
    int wanted = (int)fmax(2, round(photos * holdout));

    return most < 2 ? 0 : wanted < most ? wanted : most;
}

/* Everybody's last photos.  Shapes: left [people], zeros. */
static void hold_photos(const int *person, int count, int people, double holdout, int *left, unsigned char *part)
{
    for (int i = 0; i < count; i++) {
        left[person[i]]++;
    }
    for (int p = 0; p < people; p++) {
        left[p] = photos_to_hold(left[p], holdout);
    }
    for (int i = count - 1; i >= 0; i--) {
        part[i] = left[person[i]]-- > 0 ? PART_HELD : PART_TEACHES;
    }
}

/* Draws from those who are not held out: they are listed anew, because the draw knows no exceptions. */
static enum err draw_choosing(const int *person, int count, int people, uint64_t seed, struct arena *mem,
                              unsigned char *role, int *ret_choosing)
{
    int *number = ARENA_ARRAY(mem, int, people);
    int *label = ARENA_ARRAY(mem, int, count);
    unsigned char *drawn = ARENA_ARRAY(mem, unsigned char, people);
    int left = 0;
    int n = 0;

    if (number == NULL || label == NULL || drawn == NULL) {
        return spent(mem);
    }
    for (int p = 0; p < people; p++) {
        number[p] = role[p] == PART_HELD ? -1 : left++;
    }
    for (int i = 0; i < count; i++) {
        if (number[person[i]] >= 0) {
            label[n++] = number[person[i]];
        }
    }
    int choosing = split_people(label, n, left, PARTS_CHOOSING, LEAST_PHOTOS, seed ^ CHOOSING_SEED, drawn);
    if (choosing < PARTS_LEAST_CHOOSING) {
        return ERR_NONE;
    }
    for (int p = 0; p < people; p++) {
        if (number[p] >= 0 && drawn[number[p]]) {
            role[p] = PART_CHOOSES;
        }
    }
    *ret_choosing = choosing;
    return ERR_NONE;
}

enum err parts_make(const int *person, int count, int people, double holdout, uint64_t seed, struct arena *mem,
                    struct parts *ret, struct err_note *note)
{
    unsigned char *role = ARENA_ARRAY(mem, unsigned char, people);
    int *left = ARENA_ARRAY(mem, int, people);
    struct parts parts = {.part = ARENA_ARRAY(mem, unsigned char, count)};
    enum err err = ERR_NONE;

    if (role == NULL || left == NULL || parts.part == NULL) {
        return spent(mem);
    }
    int held = split_people(person, count, people, holdout, LEAST_PHOTOS, seed, role);
    parts.held_people = held >= PARTS_LEAST_HELD || holdout <= 0;
    if (!parts.held_people) {
        hold_photos(person, count, people, holdout, left, parts.part);
        parts.teaching = people;
    } else {
        for (int p = 0; p < people; p++) {
            role[p] = role[p] ? PART_HELD : PART_TEACHES;
        }
        err = draw_choosing(person, count, people, seed, mem, role, &parts.choosing);
        for (int i = 0; i < count; i++) {
            parts.part[i] = role[person[i]];
        }
        parts.held = held;
        parts.teaching = people - held - parts.choosing;
    }
    if (err == ERR_NONE && parts.teaching < 2) {
        err = ERR_SAY(note, ERR_FORMAT, "of %d people %d are left to learn from", people, parts.teaching);
    }
    if (err == ERR_NONE) {
        *ret = parts;
    }
    return err;
}
