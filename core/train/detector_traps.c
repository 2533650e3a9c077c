/* detector_traps.c: a photo is searched as it is and with its faces hidden. */
#include "core/train/detector_traps.h"

#include <math.h>
#include <string.h>

#include "core/train/detector_scene.h"

#define SEEN_SCORE .3F
#define SAME_OVERLAP .3F
#define ENLARGED 2.5F /* at most, of the looks at what is large */

static bool labelled(const struct labelled_photo *photo, const float box[4])
{
    for (int i = 0; i < photo->n_faces; i++) {
        if (box_overlap(photo->faces[i].face.box, box) >= SAME_OVERLAP) {
            return true;
        }
    }
    return false;
}

enum err detector_traps_find(const struct detector *detector, struct session *session, struct labelled_photo *photo,
                             uint64_t seed, struct arena *scratch, struct arena *kept, struct err_note *note)
{
    struct image image;
    struct face *seen[2] = {NULL, NULL}; /* as it is, and with the faces hidden */
    int n[2] = {0, 0};
    int count = 0;
    enum err err = detector_scene_photo(photo->path, scratch, &image, note);

    for (int hidden = 0; hidden < 2 && err == ERR_NONE; hidden++) {
        bool large = (seed + (uint64_t)hidden) % 2 == 1;
        const struct detect_options options = {.min_score = SEEN_SCORE, .max_enlarge = large ? ENLARGED : 0};
        if (hidden == 1) {
            detector_scene_hide(&image, photo->faces, photo->n_faces, seed);
        }
        err = detector_run(detector, session, &image, &options, scratch, &seen[hidden], &n[hidden], note);
    }
    struct detector_trap *traps = err != ERR_NONE ? NULL : ARENA_ARRAY(kept, struct detector_trap, n[0] + n[1] + 1);
    if (traps == NULL) {
        return err != ERR_NONE ? err : arena_why(kept);
    }
    for (int hidden = 0; hidden < 2; hidden++) {
        for (int i = 0; i < n[hidden]; i++) {
            const struct face *face = &seen[hidden][i];
            if (hidden == 1 || !labelled(photo, face->box)) {
                traps[count].hidden = hidden == 1;
                memcpy(traps[count++].box, face->box, sizeof face->box);
            }
        }
    }
    photo->traps = traps;
    photo->n_traps = count;
    return ERR_NONE;
}
