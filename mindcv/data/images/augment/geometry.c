/* Geometry, as Pillow does it but in single precision where Pillow has double, so that a value in some hundred is a
 * grey level off. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loops.h"

/* A copy of an image with its border repeated: all neighbours of a point in the image can be read without a look at
 * where it lies, and behind the last ones SPARE bytes. */
enum { BORDER = 2, SIDE = BORDER * CHANNELS, SPARE = 8 };

static void copy_row(const Image *image, long y, uint8_t *out)
{
    long width = image->width * CHANNELS;
    const uint8_t *row = image->pixels + clamp(y, 0, image->height - 1) * width;
    memcpy(out + SIDE, row, (size_t)width);
    for (long i = 0; i < SIDE; i += CHANNELS) {
        memcpy(out + i, row, CHANNELS);
        memcpy(out + SIDE + width + i, row + width - CHANNELS, CHANNELS);
    }
}

/* Room for copies of so many rows. */
static int make_room(Bordered *bordered, const Image *image, long rows)
{
    long stride = image->width * CHANNELS + 2 * SIDE;
    uint8_t *memory = malloc((size_t)(rows * stride) + SPARE);
    if (!memory)
        return -1;
    memset(memory + rows * stride, 0, SPARE);
    *bordered = (Bordered){memory, memory, stride};
    return 0;
}

static int add_border(Bordered *bordered, const Image *image)
{
    if (make_room(bordered, image, image->height + 2 * BORDER))
        return -1;
    uint8_t *row = bordered->memory;
    for (long y = -BORDER; y < image->height + BORDER; y++, row += bordered->stride)
        copy_row(image, y, row);
    bordered->first += BORDER * bordered->stride + SIDE;
    return 0;
}

/* Of an image whose rows stay where they are, each is copied when its turn comes: all rows are that one. */
static int add_border_to_row(Bordered *bordered, const Image *image)
{
    if (make_room(bordered, image, 1))
        return -1;
    bordered->first += SIDE;
    bordered->stride = 0;
    return 0;
}

/* A row of one colour; NULL: there is no memory. */
static uint8_t *make_filling(const Image *image, const double *colour)
{
    long width = image->width * CHANNELS;
    uint8_t *row = malloc((size_t)width);
    for (long x = 0; row && x < width; x++)
        row[x] = (uint8_t)clamp((long)colour[x % CHANNELS], 0, 255);
    return row;
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
    /* Else it is the same for all columns, or nearly so. */
    if (line.step != 0 && fabs(one) < 1e9 && fabs(other) < 1e9) {
        span.first = clamp((long)fmin(one, other) - 2, span.first, span.last);
        span.last = clamp((long)fmax(one, other) + 3, span.first, span.last);
    }
    while (span.first < span.last && !(at(line, span.first) >= 0 && at(line, span.first) < end))
        span.first++;
    while (span.last > span.first && !(at(line, span.last - 1) >= 0 && at(line, span.last - 1) < end))
        span.last--;
    return span;
}

static Steps steps_along(Line line, long column)
{
    const double parts = (double)(INT64_C(1) << PART_BITS);
    return (Steps){(int64_t)floor(at(line, column) * parts + 0.5), (int64_t)floor(line.step * parts + 0.5)};
}

/* Whether a line goes through the middles of pixels, at all columns. */
static int is_level(Line line)
{
    return line.step == 0 && line.start == floor(line.start);
}

/* A row of the result, or what of it comes from inside. x and y are taken from the middle of the first pixel. */
static void warp_row(const Bordered *source, Span span, Line x, Line y, int is_cubic, uint8_t *out)
{
    const AugmentLoops *loops = augment_loops;
    void (*mix)(const uint8_t *, long, float, long, uint8_t *) = is_cubic ? loops->mix_cubic : loops->mix_linear;
    void (*warp)(const Bordered *, Steps, Steps, long, uint8_t *) =
        is_cubic ? loops->warp_row_cubic : loops->warp_row_linear;
    long count = span.last - span.first;
    Steps from_x = steps_along(x, span.first), from_y = steps_along(y, span.first);
    const uint8_t *near =
        source->first + (from_y.position >> PART_BITS) * source->stride + (from_x.position >> PART_BITS) * CHANNELS;
    out += span.first * CHANNELS;
    if (x.step == 1 && is_level(y)) /* moved along rows */
        mix(near, CHANNELS, part_of((uint32_t)from_x.position), count * CHANNELS, out);
    else if (x.step == 1 && is_level((Line){x.start, 0}) && y.step == 0) /* moved along columns */
        mix(near, source->stride, part_of((uint32_t)from_y.position), count * CHANNELS, out);
    else
        warp(source, from_x, from_y, count, out);
}

static void change_rows(const Image *image, const double *matrix, int is_cubic, const Bordered *source,
                        const uint8_t *filling)
{
    uint8_t *out = image->pixels;
    for (long row = 0; row < image->height; row++, out += image->width * CHANNELS) {
        double middle = (double)row + 0.5;
        Line x = {matrix[0] * 0.5 + matrix[1] * middle + matrix[2], matrix[0]};
        Line y = {matrix[3] * 0.5 + matrix[4] * middle + matrix[5], matrix[3]};
        Span span = inside((Span){0, image->width}, x, (double)image->width);
        span = inside(span, y, (double)image->height);
        x.start -= 0.5, y.start -= 0.5;
        if (source->stride == 0)
            copy_row(image, row, source->memory);
        memcpy(out, filling, (size_t)(span.first * CHANNELS));
        memcpy(out + span.last * CHANNELS, filling, (size_t)((image->width - span.last) * CHANNELS));
        if (span.first < span.last)
            warp_row(source, span, x, y, is_cubic, out);
    }
}

int affine(const Image *image, const double *numbers)
{
    const double *matrix = numbers, *colour = numbers + 7;
    int is_cubic = numbers[6] != 0, rows_stay = matrix[3] == 0 && matrix[4] == 1 && matrix[5] == 0;
    Bordered source = {0};
    uint8_t *filling = make_filling(image, colour);
    int failed = !filling || (rows_stay ? add_border_to_row : add_border)(&source, image);
    if (!failed)
        change_rows(image, matrix, is_cubic, &source, filling);
    free(filling);
    free(source.memory);
    return failed ? -1 : 0;
}
