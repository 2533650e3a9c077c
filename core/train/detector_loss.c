/* detector_loss.c: the losses of one cell.  Compiled a second time in double by its test. */
#include "core/train/detector_loss.h"

#include <math.h>

/* log(1 + e^x) without overflow */
static float softplus(float x)
{
    return x > 0 ? x + logf(1 + expf(-x)) : logf(1 + expf(x));
}

float quality_focal(float logit, float y, float *ret_slope)
{
    float p = logit >= 0 ? 1 / (1 + expf(-logit)) : expf(logit) / (1 + expf(logit));
    float cross = y * softplus(-logit) + (1 - y) * softplus(logit);
    float d = p - y;

    *ret_slope = 2 * d * p * (1 - p) * cross + d * d * d;
    return d * d * cross;
}

/* The derivative of min and max takes the box's side where both are equal. */
float distance_iou(const float box[4], const float face[4], float slope[4], float *ret_overlap)
{
    float common = 1;
    float hull = 0;
    float apart = 0;
    float inner[2];
    float outer[2];
    float gap[2];
    float sides[2];
    float face_area = (face[2] - face[0]) * (face[3] - face[1]);

    for (int k = 0; k < 2; k++) {
        sides[k] = box[k + 2] - box[k];
        inner[k] = fminf(box[k + 2], face[k + 2]) - fmaxf(box[k], face[k]);
        outer[k] = fmaxf(box[k + 2], face[k + 2]) - fminf(box[k], face[k]);
        gap[k] = (box[k] + box[k + 2] - face[k] - face[k + 2]) / 2;
        common *= inner[k] > 0 ? inner[k] : 0;
        hull += outer[k] * outer[k];
        apart += gap[k] * gap[k];
    }
    float area = sides[0] * sides[1];
    float both = area + face_area - common;
    float iou = sides[0] > 0 && sides[1] > 0 && both > 0 ? common / both : 0;
    for (int k = 0; k < 2; k++) {
        float other = inner[1 - k] > 0 && inner[k] > 0 ? inner[1 - k] : 0;
        /* of the intersection, the box's area and the hull's diagonal, along this axis' two sides */
        float common_low = box[k] >= face[k] ? -other : 0;
        float common_high = box[k + 2] <= face[k + 2] ? other : 0;
        float hull_low = box[k] <= face[k] ? -2 * outer[k] : 0;
        float hull_high = box[k + 2] >= face[k + 2] ? 2 * outer[k] : 0;
        const float common_of[2] = {common_low, common_high};
        const float hull_of[2] = {hull_low, hull_high};
        for (int end = 0; end < 2; end++) {
            float area_of = iou > 0 ? (end == 0 ? -sides[1 - k] : sides[1 - k]) : 0;
            float both_of = area_of - common_of[end];
            float iou_of = iou > 0 ? (common_of[end] - iou * both_of) / both : 0;
            slope[k + 2 * end] = -iou_of + gap[k] / hull - apart / (hull * hull) * hull_of[end];
        }
    }
    *ret_overlap = iou;
    return 1 - iou + apart / hull;
}

float smooth_l1(float error, float beta, float *ret_slope)
{
    float size = fabsf(error);

    *ret_slope = size < beta ? error / beta : error > 0 ? 1 : -1;
    return size < beta ? error * error / (2 * beta) : size - beta / 2;
}

float detector_loss_none(const float *row, float factor, float *grad)
{
    float slope;
    float loss = quality_focal(row[0], 0, &slope);

    grad[0] += factor * slope;
    return loss;
}

struct detector_loss detector_loss_face(const float *row, float x, float y, float stride,
                                        const struct detector_goal *goal, float factor, float *grad)
{
    const float box[4] = {x - row[1] * stride, y - row[2] * stride, x + row[3] * stride, y + row[4] * stride};
    float side = sqrtf((goal->box[2] - goal->box[0]) * (goal->box[3] - goal->box[1]));
    float eyes_x = goal->point[0] - goal->point[2];
    float eyes_y = goal->point[1] - goal->point[3];
    float unit = fmaxf(2.5F * sqrtf(eyes_x * eyes_x + eyes_y * eyes_y), .4F * side);
    float weight = DETECTOR_POINT_WEIGHT * fminf(1, side / DETECTOR_POINT_CLEAR_PX);
    struct detector_loss loss = {0};
    float slope[4];
    float one;

    loss.box = distance_iou(box, goal->box, slope, &loss.overlap);
    for (int k = 0; k < 4; k++) {
        grad[1 + k] += factor * slope[k] * (k < 2 ? -stride : stride);
    }
    loss.score = quality_focal(row[0], loss.overlap, &one);
    grad[0] += factor * one;
    for (int k = 0; k < 10; k++) {
        float error = ((k % 2 == 0 ? x : y) + row[5 + k] * stride - goal->point[k]) / unit;
        loss.point += weight * smooth_l1(error, DETECTOR_POINT_BETA, &one);
        grad[5 + k] += factor * weight * one * stride / unit;
    }
    return loss;
}
