/* The loops that most of the time goes into, once for each kind of processor; all give the same to the bit. */

#ifndef MINDCV_AUGMENT_LOOPS_H
#define MINDCV_AUGMENT_LOOPS_H

#include "augment.h"

/* A copy of an image with its border repeated; see geometry.c. */
typedef struct {
    uint8_t *memory;
    const uint8_t *first; /* the image's pixel in the upper left corner */
    long stride;
} Bordered;

/* Points along a row in parts of 1 << 32, which is quick to add up and to take apart. */
typedef struct {
    int64_t position, step;
} Steps;

enum { PART_BITS = 32 };

/* How much of a pixel a part is. */
INLINE float part_of(uint32_t part)
{
    return (float)(int32_t)(part >> 8) * (1.0f / (1 << 24));
}

/* Pixels of a blur's box: those within `radius` count `inner`, the next ones on both sides `outer`, in parts of
 * 1 << BOX_BITS. */
typedef struct {
    long radius;
    uint32_t inner, outer;
} Box;

enum { BOX_BITS = 24 };

typedef struct {
    const char *name;
    /* Replaces each value by the one that its channel's table has for it; the tables come one after another. */
    void (*look_up)(uint8_t *values, long count, const uint8_t *tables);
    /* Least and greatest value of each channel. */
    void (*find_range)(const uint8_t *values, long count, uint8_t *least, uint8_t *greatest);
    int64_t (*sum_grey)(const uint8_t *pixel, long pixels);
    void (*blend_grey)(uint8_t *pixel, float factor, long pixels);
    /* A row, away from the mean of 3 x 3 pixels whose middle counts five times, or towards it; what it makes of the
     * first and the last pixel is not theirs. `columns`: room for `values` and two pixels, of which the first and last
     * are 0. */
    void (*sharpen_row)(const uint8_t *above, const uint8_t *row, const uint8_t *below, long values, float factor,
                        uint16_t *columns, uint8_t *out);
    /* Adds lines, radius + 1 of them on either side of the middle one. */
    void (*mean_of_box)(const uint8_t *const *lines, Box box, long values, uint32_t *sums, uint8_t *out);
    /* A row of a picture that is turned or sheared: so many pixels from the points that two coordinates go through. */
    void (*warp_row_linear)(const Bordered *source, Steps x, Steps y, long count, uint8_t *out);
    void (*warp_row_cubic)(const Bordered *source, Steps x, Steps y, long count, uint8_t *out);
    /* Values that lie between neighbours `apart` from each other, at the same part of the way for all of them; the
     * pixel before the point is at `values`. */
    void (*mix_linear)(const uint8_t *values, long apart, float part, long count, uint8_t *out);
    void (*mix_cubic)(const uint8_t *values, long apart, float part, long count, uint8_t *out);
} AugmentLoops;

extern const AugmentLoops *augment_loops; /* those in use */

extern const AugmentLoops augment_loops_plain;
#if defined(__x86_64__)
extern const AugmentLoops augment_loops_avx2, augment_loops_avx512;
#elif defined(__aarch64__)
extern const AugmentLoops augment_loops_neon;
#endif

#endif
