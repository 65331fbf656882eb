/* The loops that most of the time goes into, once for each kind of processor; all give the same to the bit. */

#ifndef MINDCV_JPEG_LOOPS_H
#define MINDCV_JPEG_LOOPS_H

#include <string.h>

#include "cubic.h"
#include "entropy.h"
#include "picture.h"
#include "resize.h"

typedef struct {
    const char *name;
    /* Read the blocks of an MCU, or pass them; -1 when one is damaged. `kinds`: a BlockKind of each. */
    int (*read_blocks)(Stream *stream, const Component *components, int component_count, Block *blocks, int *kinds);
    int (*pass_blocks)(Stream *stream, const Component *components, int component_count);
    /* Reads those of an MCU of each of two streams. */
    int (*read_block_pairs)(Stream *streams, const Component *components, int component_count,
                            Block blocks[2][MOST_BLOCKS], int kinds[2][MOST_BLOCKS]);
    /* Writes the 8 x 8 samples of a block. */
    void (*inverse_transform)(const Block *block, const Block *quantisation, uint8_t *out, size_t stride);
    void (*inverse_transform_corner)(const Block *block, const Block *quantisation, uint8_t *out, size_t stride);
    /* Interpolation of colours: a row of samples, or 3 parts of one and 1 of another; and two pixels for each. */
    void (*widen_row)(const uint8_t *row, long count, uint16_t *out);
    void (*weigh_rows)(const uint8_t *near, const uint8_t *far, long count, uint16_t *out);
    void (*spread_samples)(const uint16_t *row, long count, uint8_t *out);
    void (*spread_sums)(const uint16_t *row, long count, uint8_t *out);
    void (*round_sums)(const uint16_t *row, long count, uint16_t round, uint8_t *out);
    void (*convert_row)(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, long count, uint8_t *out);
    /* Resizing. */
    void (*mix_rows)(const uint8_t *near, const uint8_t *far, int16_t weight, size_t values, int16_t *out);
    void (*stretch_row)(const int16_t *row, const Stretch *stretch, uint8_t *out);
    void (*convert_to_floats)(const uint8_t *row, size_t values, float *out);
    void (*add_row)(const uint8_t *row, float weight, size_t values, float *sums);
    void (*round_row)(const float *sums, size_t values, uint8_t *out);
    void (*filter_row)(const float *row, const Filter *filter, uint8_t *out);
} JpegLoops;

extern const JpegLoops *jpeg_loops; /* those in use */

extern const JpegLoops jpeg_loops_plain;
#if defined(__x86_64__)
extern const JpegLoops jpeg_loops_sse4, jpeg_loops_avx2;
#elif defined(__aarch64__)
extern const JpegLoops jpeg_loops_neon;
#endif

#endif
