/* Resizing by the bicubic filter. */

#ifndef MINDCV_JPEG_CUBIC_H
#define MINDCV_JPEG_CUBIC_H

#include <stdint.h>

enum { PAIR_LANES = 8 };

/* Where each pixel of a new row comes from: the offset of the first value, and weights for `pairs` times two
 * neighbouring pixels of three values, in eight lanes. */
typedef struct {
    long width, pairs;
    int32_t *first;
    float *weights;
} Filter;

#endif
