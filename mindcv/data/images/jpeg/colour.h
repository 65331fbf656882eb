/* Pixels of samples. */

#ifndef MINDCV_JPEG_COLOUR_H
#define MINDCV_JPEG_COLOUR_H

#include "picture.h"

/* Room for what a row of pixels is made of. */
typedef struct {
    uint16_t *sums;
    uint8_t *blue, *red;
} Scratch;

/* Writes a row of a box as RGB; the rings of the components have its samples. */
void jpeg_write_pixels(const Picture *picture, long y, JpegBox box, const Scratch *scratch, uint8_t *out);

#endif
