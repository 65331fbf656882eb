/* Loops of geometry. The file that includes this has `load_pair`, which loads two neighbours (and two bytes behind
 * them), and `last_of`, which gives the second of them. */

#include "loops.h"
#include "vectors.h"

INLINE Pixel first_of(Pair pair)
{
    return (Pixel){pair[0], pair[1], pair[2], pair[3]};
}

INLINE Whole cut_off(Whole values)
{
    values &= values >= 0;
    return values | (values > 255);
}

/* Drops what is behind the point. */
INLINE Whole whole_levels(Pixel values)
{
    return __builtin_convertvector(values, Whole);
}

/* Writes a pixel and, where `wide`, a byte of the next one. */
INLINE void store(Whole levels, int wide, uint8_t *out)
{
    Bytes bytes = SHUFFLE(Bytes, (Bytes)levels, (Bytes)levels, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    int32_t values = ((Whole)bytes)[0];
    memcpy(out, &values, wide ? 4 : 2);
    if (!wide)
        out[2] = (uint8_t)(values >> 16);
}

#define LINEAR(one, two, part) ((one) + ((two) - (one)) * (part))
/* Between `two` and `three` of four values, by the cubic polynomial whose slopes there are theirs; its weights. */
typedef struct {
    float one, three, four;
} Weights;

INLINE Weights weights_of(float part)
{
    float square = part * part, cube = square * part;
    return (Weights){2 * square - part - cube, part + square - cube, cube - square};
}

#define CUBIC(v1, v2, v3, v4, weights) \
    ((v2) + (((v1) - (v2)) * (weights).one + ((v3) - (v2)) * (weights).three + ((v4) - (v2)) * (weights).four))

/* Points of a row that are found at once: the pixel before each, by its distance from the first of the image, and how
 * much of the way to the next ones each lies. */
enum { POINTS = 32, LANES = 8 };

typedef struct {
    int32_t offsets[POINTS];
    float across[POINTS], down[POINTS];
} Points;

/* Whole pixels and parts of LANES coordinates, which go on by LANES at once. Those behind the row may be anything. */
typedef struct {
    uint32_t whole[LANES], part[LANES], whole_step, part_step;
} Positions;

INLINE Positions positions_of(Steps steps)
{
    uint64_t all = (uint64_t)steps.step * LANES;
    Positions positions = {.whole_step = (uint32_t)(all >> PART_BITS), .part_step = (uint32_t)all};
    for (int i = 0; i < LANES; i++) {
        uint64_t position = (uint64_t)steps.position + (uint64_t)steps.step * (uint64_t)i;
        positions.whole[i] = (uint32_t)(position >> PART_BITS);
        positions.part[i] = (uint32_t)position;
    }
    return positions;
}

INLINE void move_on(Positions *positions)
{
    for (int i = 0; i < LANES; i++) {
        positions->part[i] += positions->part_step;
        positions->whole[i] += positions->whole_step + (positions->part[i] < positions->part_step);
    }
}

INLINE void find_points(uint32_t stride, Positions *x, Positions *y, Points *points)
{
    for (int i = 0; i < POINTS; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            points->offsets[i + j] = (int32_t)(y->whole[j] * stride + x->whole[j] * CHANNELS);
            points->across[i + j] = part_of(x->part[j]);
            points->down[i + j] = part_of(y->part[j]);
        }
        move_on(x);
        move_on(y);
    }
}

INLINE Whole between_linear(const uint8_t *near, long stride, float across, float down)
{
    Pair mixed = LINEAR(load_pair(near), load_pair(near + stride), down);
    return whole_levels(LINEAR(first_of(mixed), last_of(mixed), across));
}

INLINE Whole between_cubic(const uint8_t *near, long stride, float across, float down)
{
    const uint8_t *from = near - stride - CHANNELS;
    Weights along = weights_of(across), by_row = weights_of(down);
    Pair pairs[2];
    for (int i = 0; i < 2; i++, from += 2 * CHANNELS)
        pairs[i] = CUBIC(load_pair(from), load_pair(from + stride), load_pair(from + 2 * stride),
                         load_pair(from + 3 * stride), by_row);
    return cut_off(
        whole_levels(CUBIC(first_of(pairs[0]), last_of(pairs[0]), first_of(pairs[1]), last_of(pairs[1]), along)));
}

/* All but the last pixel of what is found at once are written with a byte of the next one. */
#define WARP_ROW(between)                                                                                            \
    const uint8_t *first = source->first;                                                                            \
    long stride = source->stride;                                                                                    \
    Positions across = positions_of(x), down = positions_of(y);                                                      \
    Points points;                                                                                                   \
    for (; count > 0; count -= POINTS) {                                                                             \
        long last = (count < POINTS ? count : POINTS) - 1;                                                           \
        find_points((uint32_t)stride, &across, &down, &points);                                                      \
        for (long i = 0; i < last; i++, out += CHANNELS)                                                             \
            store(between(first + points.offsets[i], stride, points.across[i], points.down[i]), 1, out);             \
        store(between(first + points.offsets[last], stride, points.across[last], points.down[last]), 0, out);        \
        out += CHANNELS;                                                                                             \
    }

static void warp_row_linear(const Bordered *source, Steps x, Steps y, long count, uint8_t *out)
{
    WARP_ROW(between_linear)
}

static void warp_row_cubic(const Bordered *source, Steps x, Steps y, long count, uint8_t *out)
{
    WARP_ROW(between_cubic)
}

static void mix_linear(const uint8_t *restrict values, long apart, float part, long count, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        float near = values[i], far = values[i + apart];
        out[i] = (uint8_t)(int)LINEAR(near, far, part);
    }
}

static void mix_cubic(const uint8_t *restrict values, long apart, float part, long count, uint8_t *restrict out)
{
    Weights weights = weights_of(part);
    for (long i = 0; i < count; i++) {
        float one = values[i - apart], two = values[i], three = values[i + apart], four = values[i + 2 * apart];
        int value = (int)CUBIC(one, two, three, four, weights);
        out[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}
