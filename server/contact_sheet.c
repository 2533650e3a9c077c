/* contact_sheet.c: where the cells are. */
#include "server/contact_sheet.h"

#include <string.h>

#define GAP 2
#define GROUP_GAP 8
#define GREY 96

static int left_of(int cell, int per_group, int side)
{
    return GAP + cell * (side + GAP) + cell / per_group * (GROUP_GAP - GAP);
}

enum err contact_sheet(int rows, int cells, int per_group, int side, struct arena *mem, struct image *ret)
{
    struct image sheet;
    enum err err = image_new(left_of(cells, per_group, side), GAP + rows * (side + GAP), mem, &sheet);

    if (err == ERR_NONE) {
        memset(sheet.rgb, GREY, (size_t)3 * (size_t)sheet.width * (size_t)sheet.height);
        *ret = sheet;
    }
    return err;
}

void contact_sheet_put(struct image *sheet, int row, int cell, int per_group, const struct image *picture)
{
    int side = picture->width;
    int top = GAP + row * (side + GAP);
    int left = left_of(cell, per_group, side);

    for (int y = 0; picture->rgb != NULL && y < side; y++) {
        memcpy(sheet->rgb + 3 * ((size_t)(top + y) * (size_t)sheet->width + (size_t)left),
               picture->rgb + 3 * (size_t)y * (size_t)side, 3 * (size_t)side);
    }
}
