/* Decodes a box of a baseline JPEG file (ITU-T T.81) without decoding the rest of it. */

#ifndef MINDCV_JPEG_DECODER_H
#define MINDCV_JPEG_DECODER_H

#include <stddef.h>
#include <stdint.h>

enum { JPEG_CHANNELS = 3, JPEG_LARGEST_SIDE = 65535 };

typedef enum {
    JPEG_DONE,
    JPEG_OTHER,   /* of a kind that is left to others: progressive, CMYK, unusual sampling, damaged, cut off, turned */
    JPEG_OUTSIDE, /* the box is not in the picture */
    JPEG_NO_MEMORY,
} JpegResult;

/* In pixels of the picture with its sides divided by a reduction and rounded up. */
typedef struct {
    long top, left, height, width;
} JpegBox;

/* Height and width as the header has them. Looks for what makes a file another kind, but for damage to the picture. */
JpegResult jpeg_size(const uint8_t *data, size_t size, long *height, long *width);

/* What takes the rows of a box, from the first to the last: gives room for one, and learns that it is filled with RGB. */
typedef struct JpegRows JpegRows;
struct JpegRows {
    uint8_t *(*room)(JpegRows *rows, long y);
    void (*filled)(JpegRows *rows, long y);
};

/* `reduction` is 1, 2, 4 or 8; a pixel is then the mean of so many in each direction. */
JpegResult jpeg_decode_box(const uint8_t *data, size_t size, JpegBox box, int reduction, JpegRows *rows);

#endif
