/* What a header says of a picture, and what a decoder keeps of its components. */

#ifndef MINDCV_JPEG_PICTURE_H
#define MINDCV_JPEG_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "jpeg.h"
#include "vectors.h"

enum {
    SIDE = 8,  /* of a block */
    AREA = 64, /* of a block */
    CORNER = 4, CORNER_COEFFICIENTS = 10, /* so many of the first are in its first 4 rows and columns */
    MOST_COMPONENTS = 3,
    MOST_TABLES = 4,
    MOST_BLOCKS = 6, /* of an MCU, the smallest coded unit: with 4:2:0 four of Y and one of each colour */
    END_OF_BLOCK = 128, /* as a run of zeros: one that no others add up to */
    PLACES = AREA + 16 + END_OF_BLOCK + 1,
};

/* Coefficients, and room for those that would come behind the last. */
typedef union {
    int16_t values[AREA + SIDE];
    Short8 rows[SIDE + 1];
} Block;

struct HuffmanTable;

typedef struct {
    int identifier, across, down, quantisation; /* across, down: blocks in an MCU */
    int dc_table, ac_table;                     /* of `Picture.huffman` */
    const struct HuffmanTable *dc, *ac;
    int reduce_x, reduce_y; /* samples that are averaged */
    int spread_x, spread_y; /* pixels that share a sample afterwards */
    long rows, columns;     /* samples of the picture */
    long first_column;      /* sample that the rows of the ring begin with */
    long ring_rows;         /* those of two or three rows of MCUs */
    size_t stride;
    uint8_t *ring;
} Component;

typedef struct {
    const uint8_t *frame, *scan, *end; /* parameters of the components, coded bytes, the end of the file */
    long height, width;
    int component_count, restart_interval, is_jfif, adobe_transform;
    int most_across, most_down, blocks; /* in an MCU */
    int has_quantisation[MOST_TABLES];
    Block quantisation[MOST_TABLES];
    const uint8_t *huffman[2 * MOST_TABLES]; /* DC, then AC: the 16 counts, symbols behind them; NULL: not defined */
    Component components[MOST_COMPONENTS];

    JpegFault fault;
    int precision;
    int is_sequential;   /* it has a frame of a kind that is read here */
    int is_other;        /* it is left to others, though nothing is wrong */
    int is_turned;       /* by EXIF */
    int scan_components; /* of the first scan */
    int has_end;
} Picture;

/* Where the k-th coefficient is, row by row (T.81 figure A.6); what comes behind the last is put into a spare place. */
extern const uint8_t jpeg_zigzag[PLACES];

/* Reads the header segments, up to the first scan. */
void jpeg_read_header(Picture *picture, const uint8_t *data, size_t size);

#endif
