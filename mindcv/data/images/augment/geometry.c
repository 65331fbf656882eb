/* Geometry, as Pillow does it but in single precision where Pillow has double, so that a value in some hundred is a grey
 * level off. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment.h"

/* A copy of an image with its border repeated: all neighbours of a point in the image can be read without a look at
 * where it lies, and behind the last ones SPARE bytes. */
enum { BORDER = 2, SPARE = 8 };

typedef struct {
    uint8_t *memory;
    const uint8_t *first; /* the image's pixel in the upper left corner */
    long stride;
} Bordered;

static int add_border(Bordered *bordered, const Image *image)
{
    long width = image->width * CHANNELS, side = BORDER * CHANNELS, stride = width + 2 * side;
    uint8_t *memory = malloc((size_t)((image->height + 2 * BORDER) * stride) + SPARE);
    if (!memory)
        return -1;
    uint8_t *row = memory;
    for (long y = -BORDER; y < image->height + BORDER; y++, row += stride) {
        const uint8_t *source = image->pixels + clamp(y, 0, image->height - 1) * width;
        memcpy(row + side, source, (size_t)width);
        for (long i = 0; i < BORDER; i++) {
            memcpy(row + i * CHANNELS, source, CHANNELS);
            memcpy(row + side + width + i * CHANNELS, source + width - CHANNELS, CHANNELS);
        }
    }
    memset(row, 0, SPARE);
    *bordered = (Bordered){memory, memory + BORDER * stride + side, stride};
    return 0;
}

static void fill(const Image *image, const double *colour)
{
    long width = image->width * CHANNELS;
    for (long x = 0; x < width; x++)
        image->pixels[x] = (uint8_t)clamp((long)colour[x % CHANNELS], 0, 255);
    for (long y = 1; y < image->height; y++)
        memcpy(image->pixels + y * width, image->pixels, (size_t)width);
}

/* Along a row of the result, a coordinate of where its pixels come from: start + step x column. */
typedef struct {
    double start, step;
} Line;

static inline double at(Line line, long column)
{
    return line.start + line.step * (double)column;
}

/* Columns from `first` to before `last`. */
typedef struct {
    long first, last;
} Span;

/* The part of a span in which a coordinate is from 0 to before `end`. */
static Span inside(Span span, Line line, double end)
{
    double one = -line.start / line.step, other = (end - line.start) / line.step;
    if (line.step != 0 && fabs(one) < 1e9 && fabs(other) < 1e9) { /* else it is the same for all columns, or nearly so */
        span.first = clamp((long)fmin(one, other) - 2, span.first, span.last);
        span.last = clamp((long)fmax(one, other) + 3, span.first, span.last);
    }
    while (span.first < span.last && !(at(line, span.first) >= 0 && at(line, span.first) < end))
        span.first++;
    while (span.last > span.first && !(at(line, span.last - 1) >= 0 && at(line, span.last - 1) < end))
        span.last--;
    return span;
}

/* Points along a row in parts of 1 << 32, which is quick to add up and to take apart. */
typedef struct {
    int64_t position, step;
} Steps;

enum { PART_BITS = 32 };

static Steps steps_along(Line line, long column)
{
    const double parts = (double)(INT64_C(1) << PART_BITS);
    return (Steps){(int64_t)floor(at(line, column) * parts + 0.5), (int64_t)floor(line.step * parts + 0.5)};
}

static inline long whole_of(Steps steps)
{
    return (long)(steps.position >> PART_BITS);
}

static inline float part_of(Steps steps)
{
    return (float)(int32_t)((steps.position >> 8) & 0xffffff) * (1.0f / (1 << 24));
}

/* Values of a pixel, in four lanes of which the last is not used, and of two neighbours, in eight. */
typedef float Pixel __attribute__((vector_size(16)));
typedef float Pair __attribute__((vector_size(32)));
typedef int32_t Whole __attribute__((vector_size(16)));
typedef int32_t WholePair __attribute__((vector_size(32)));
typedef int16_t ShortPair __attribute__((vector_size(16)));
typedef int64_t Long __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

/* By way of 16 bits, for which compilers have better code than for eight bytes at once. */
INLINE Pair load(const uint8_t *pixels)
{
    int64_t values;
    memcpy(&values, pixels, sizeof values);
    Bytes bytes = (Bytes)(Long){values, 0};
    ShortPair shorts = (ShortPair)SHUFFLE(Bytes, bytes, (Bytes){0}, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return __builtin_convertvector(__builtin_convertvector(shorts, WholePair), Pair);
}

INLINE Pixel first_of(Pair pair)
{
    return (Pixel){pair[0], pair[1], pair[2], pair[3]};
}

INLINE Pixel second_of(Pair pair)
{
    return (Pixel){pair[3], pair[4], pair[5], pair[6]};
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

INLINE void store(Whole levels, uint8_t *out)
{
    Bytes bytes = SHUFFLE(Bytes, (Bytes)levels, (Bytes)levels, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    uint32_t values = (uint32_t)((Whole)bytes)[0];
    uint16_t two = (uint16_t)values;
    memcpy(out, &two, sizeof two);
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

FOR_PROCESSORS_WITH("avx2")
static void warp_row_linear(const Bordered *source, Steps x, Steps y, long count, uint8_t *out)
{
    for (; count--; x.position += x.step, y.position += y.step, out += CHANNELS) {
        const uint8_t *near = source->first + whole_of(y) * source->stride + whole_of(x) * CHANNELS;
        Pair upper = load(near), lower = load(near + source->stride);
        Pair mixed = LINEAR(upper, lower, part_of(y));
        Pixel left = first_of(mixed), right = second_of(mixed);
        store(whole_levels(LINEAR(left, right, part_of(x))), out);
    }
}

FOR_PROCESSORS_WITH("avx2")
static void warp_row_cubic(const Bordered *source, Steps x, Steps y, long count, uint8_t *out)
{
    long stride = source->stride;
    for (; count--; x.position += x.step, y.position += y.step, out += CHANNELS) {
        const uint8_t *from = source->first + (whole_of(y) - 1) * stride + (whole_of(x) - 1) * CHANNELS;
        Weights down = weights_of(part_of(y)), across = weights_of(part_of(x));
        Pair pairs[2];
        for (int i = 0; i < 2; i++, from += 2 * CHANNELS) {
            Pair one = load(from), two = load(from + stride), three = load(from + 2 * stride), four = load(from + 3 * stride);
            pairs[i] = CUBIC(one, two, three, four, down);
        }
        Pixel one = first_of(pairs[0]), two = second_of(pairs[0]), three = first_of(pairs[1]), four = second_of(pairs[1]);
        store(cut_off(whole_levels(CUBIC(one, two, three, four, across))), out);
    }
}

/* Values that lie between neighbours `apart` from each other, at the same part of the way for all of them; the pixel before
 * the point is at `values`. */
FOR_PROCESSORS_WITH("avx2")
static void mix_linear(const uint8_t *restrict values, long apart, float part, long count, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        float near = values[i], far = values[i + apart];
        out[i] = (uint8_t)(int)LINEAR(near, far, part);
    }
}

FOR_PROCESSORS_WITH("avx2")
static void mix_cubic(const uint8_t *restrict values, long apart, float part, long count, uint8_t *restrict out)
{
    Weights weights = weights_of(part);
    for (long i = 0; i < count; i++) {
        float one = values[i - apart], two = values[i], three = values[i + apart], four = values[i + 2 * apart];
        int value = (int)CUBIC(one, two, three, four, weights);
        out[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* Whether a line goes through the middles of pixels, at all columns. */
static int is_level(Line line)
{
    return line.step == 0 && line.start == floor(line.start);
}

/* A row of the result, or what of it comes from inside. x and y are taken from the middle of the first pixel. */
static void warp_row(const Bordered *source, Span span, Line x, Line y, int is_cubic, uint8_t *out)
{
    long count = span.last - span.first;
    Steps from_x = steps_along(x, span.first), from_y = steps_along(y, span.first);
    const uint8_t *near = source->first + whole_of(from_y) * source->stride + whole_of(from_x) * CHANNELS;
    out += span.first * CHANNELS;
    if (x.step == 1 && is_level(y)) /* moved along rows */
        (is_cubic ? mix_cubic : mix_linear)(near, CHANNELS, part_of(from_x), count * CHANNELS, out);
    else if (x.step == 1 && is_level((Line){x.start, 0}) && y.step == 0) /* moved along columns */
        (is_cubic ? mix_cubic : mix_linear)(near, source->stride, part_of(from_y), count * CHANNELS, out);
    else
        (is_cubic ? warp_row_cubic : warp_row_linear)(source, from_x, from_y, count, out);
}

int affine(const Image *image, const double *numbers)
{
    const double *matrix = numbers, *colour = numbers + 7;
    int is_cubic = numbers[6] != 0;
    Bordered source;
    if (add_border(&source, image))
        return -1;
    fill(image, colour);
    for (long row = 0; row < image->height; row++) {
        double middle = (double)row + 0.5;
        Line x = {matrix[0] * 0.5 + matrix[1] * middle + matrix[2], matrix[0]};
        Line y = {matrix[3] * 0.5 + matrix[4] * middle + matrix[5], matrix[3]};
        Span span = inside((Span){0, image->width}, x, (double)image->width);
        span = inside(span, y, (double)image->height);
        x.start -= 0.5, y.start -= 0.5;
        if (span.first < span.last)
            warp_row(&source, span, x, y, is_cubic, image->pixels + row * image->width * CHANNELS);
    }
    free(source.memory);
    return 0;
}
