/*
 * detector_loss.h: what a cell of a detector should have said, and the gradient of how far it was from that.
 *
 * A cell's row holds a score's logit, the distances to the four sides of a box, and five points, in strides from the cell's
 * corner.  The losses are those of the SCRFD family:
 *   score   quality focal loss (Li et al. 2020): |y − σ|² · cross entropy, where y is how well the cell's own box overlaps the
 *           face (no gradient through y), and 0 where there is none;
 *   box     1 − IoU + ρ²/c² (DIoU, Zheng et al. 2020);
 *   points  smooth L1 of the distance in 2.5 times that of the eyes, which is a side of a face seen from the front (in profile .4
 *           sides at least), weighed by the face's size.
 * Functions of their arguments; any thread.
 */
#ifndef CORE_TRAIN_DETECTOR_LOSS_H
#define CORE_TRAIN_DETECTOR_LOSS_H

/* A face as the picture has it, in pixels. */
struct detector_goal {
    float box[4];
    float point[10];
};

/*
 * Below beta the points' loss is a square.  Its weight beside the others; less where the face's side has
 * fewer than so many pixels: what is small cannot be told exactly, and of such faces there are many.
 */
#define DETECTOR_POINT_BETA 0.005F
#define DETECTOR_POINT_WEIGHT 4.0F
#define DETECTOR_POINT_CLEAR_PX 80.0F

struct detector_loss {
    float score, box, point;
    float overlap; /* of the cell's box with the face */
};

/* A cell without a face: adds to grad[0]. */
float detector_loss_none(const float *row, float factor, float *grad);

/*
 * A cell at (x, y) of a level with this stride, with a face.  Adds factor times the gradient to grad.
 * Shapes: row, grad [15].
 */
struct detector_loss detector_loss_face(const float *row, float x, float y, float stride,
                                        const struct detector_goal *goal, float factor, float *grad);

/* ---- Parts, for tests ----------------------------------------------------------------------------------------------- */

/* Loss of a logit that should be y; *ret_slope is its derivative with y held fast. */
float quality_focal(float logit, float y, float *ret_slope);

/* Loss of a box against a face's, both x0 y0 x1 y1; slope [4] is its derivative, *ret_overlap the intersection over union. */
float distance_iou(const float box[4], const float face[4], float slope[4], float *ret_overlap);

float smooth_l1(float error, float beta, float *ret_slope);

#endif
