/*
 * merge.h: two subjects who turn out to be one person become one, and two again if that was a mistake.
 *
 * Their faces keep their ids, so the index stays as it is: a search reads whose face it found from the rows.
 */
#ifndef SERVER_GALLERY_MERGE_H
#define SERVER_GALLERY_MERGE_H

#include "server/gallery/people.h"

/*
 * Gives all faces of a subject to another; *ret is the one that stays.
 * Errors: GALLERY_NO_SUCH_SUBJECT, GALLERY_OTHER_COLLECTION, GALLERY_BAD_OPTION (both are the same).
 */
MUST_CHECK enum err gallery_merge(struct gallery_worker *worker, const char *from_id, const char *into_id,
                                  struct subject_info *ret, struct gallery_fault *fault);

/*
 * Takes back the last merge into a subject, for as long as it is there; *ret is the one that came back.
 * Errors: GALLERY_NO_SUCH_SUBJECT, GALLERY_NOT_MERGED, GALLERY_NAME_TAKEN.
 */
MUST_CHECK enum err gallery_merge_undo(struct gallery_worker *worker, const char *into_id, struct subject_info *ret,
                                       struct gallery_fault *fault);

#endif
