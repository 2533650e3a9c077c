/*
 * contact_sheet.h: small pictures in rows on one large one, to be looked at.
 */
#ifndef SERVER_CONTACT_SHEET_H
#define SERVER_CONTACT_SHEET_H

#include "core/image/image.h"

/*
 * A sheet of rows of cells of side × side pixels on grey; between every per_group cells of a row is a wider gap.
 * Owns:   carved from mem.
 * Errors: ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err contact_sheet(int rows, int cells, int per_group, int side, struct arena *mem, struct image *ret);

/* Puts a picture of side × side into a cell; one without pixels leaves it grey. */
void contact_sheet_put(struct image *sheet, int row, int cell, int per_group, const struct image *picture);

#endif
