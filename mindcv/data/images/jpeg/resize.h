/* Resizing, bilinear between the two nearest pixels. */

#ifndef MINDCV_JPEG_RESIZE_H
#define MINDCV_JPEG_RESIZE_H

#include <stdint.h>

enum { VALUE_BITS = 7, WEIGHT_BITS = 15, LANES = 4, SPARE = 8 };

/* Where each pixel of a new row comes from: the index of the near one, and the far one's weight for each value. The
 * width is even. */
typedef struct {
    long width;
    int32_t *near;
    int16_t *weights;
} Stretch;

#endif
