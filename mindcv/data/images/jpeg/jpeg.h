/* Reads baseline JPEG files (ITU-T T.81): what their headers say, and a box of the picture without decoding the rest.
 *
 * Nothing of Python is needed. header.c reads the header segments, entropy.c Huffman codes, decode.c the
 * rows of MCUs, colour.c makes pixels of samples, and resize.c and cubic.c other sizes; module.c gives it to Python.
 * The hot loops are in *_loops.h, compiled once for each kind of processor (loops_*.c).
 */

#ifndef MINDCV_JPEG_H
#define MINDCV_JPEG_H

#include <stddef.h>
#include <stdint.h>

enum { JPEG_CHANNELS = 3, JPEG_LARGEST_SIDE = 65535 };

typedef enum {
    JPEG_DONE,
    JPEG_OTHER,   /* of a kind that is left to others: progressive, CMYK, unusual sampling, damaged, cut off, turned */
    JPEG_OUTSIDE, /* the box is not in the picture */
    JPEG_NO_MEMORY,
} JpegResult;

/* What is wrong with a file as far as its header shows; the first fault counts. */
typedef enum {
    JPEG_NO_FAULT,
    JPEG_NO_PICTURE, /* it ends, or is damaged, before the picture begins */
    JPEG_BAD_QUANTISATION,
    JPEG_BAD_HUFFMAN,
    JPEG_BAD_FRAME,
    JPEG_BAD_COMPONENTS, /* their number, or the bits of their samples */
    JPEG_BAD_SCAN,
    JPEG_CUT_OFF,
} JpegFault;

typedef struct {
    JpegFault fault;
    int is_sequential; /* a baseline or extended sequential frame has been read; else there is no size */
    int is_plain;      /* every decoder shows it as it should: one scan, 1 or 3 components, upright */
    int precision, component_count;
    long height, width;
} JpegSummary;

/* Looks for all that the header shows, and for the end of the picture, but not for damage to the picture. */
JpegSummary jpeg_check(const uint8_t *data, size_t size);

/* Height and width of a file that `jpeg_decode_box` may try. */
JpegResult jpeg_size(const uint8_t *data, size_t size, long *height, long *width);

/* In pixels of the picture with its sides divided by a reduction and rounded up. */
typedef struct {
    long top, left, height, width;
} JpegBox;

/* What takes the rows of a box, from the first to the last: gives room for one, and learns that it is filled with
 * RGB. */
typedef struct JpegRows JpegRows;
struct JpegRows {
    uint8_t *(*room)(JpegRows *rows, long y);
    void (*filled)(JpegRows *rows, long y);
};

/* `reduction` is 1, 2, 4 or 8; a pixel is then the mean of so many in each direction. */
JpegResult jpeg_decode_box(const uint8_t *data, size_t size, JpegBox box, int reduction, JpegRows *rows);

/* Decodes a box into `out`, height x width x 3 bytes. */
JpegResult jpeg_decode(const uint8_t *data, size_t size, JpegBox box, int reduction, uint8_t *out);

/* Decodes a box and resizes it, as `jpeg_decode` and `jpeg_resize` or `jpeg_resize_cubic` do. */
JpegResult jpeg_crop(const uint8_t *data, size_t size, JpegBox box, int reduction, uint8_t *out, long out_height,
                     long out_width, int flip);
JpegResult jpeg_crop_cubic(const uint8_t *data, size_t size, JpegBox box, int reduction, uint8_t *out, long out_height,
                           long out_width, int flip);

/* Resizes pixels, bilinear between the two nearest; -1 when there is no memory. */
int jpeg_resize(const uint8_t *pixels, long height, long width, uint8_t *out, long out_height, long out_width,
                int flip);

/* Resizes pixels by Pillow's bicubic filter; -1 when there is no memory. */
int jpeg_resize_cubic(const uint8_t *pixels, long height, long width, uint8_t *out, long out_height, long out_width,
                      int flip);

/* Names of the sets of loops that this processor can run, the best one last and NULL behind it. */
const char *const *jpeg_loop_names(void);

/* Uses a set of loops from now on, before the first picture or between two; NULL: the best one. -1: there is none. */
int jpeg_use_loops(const char *name);

#endif
