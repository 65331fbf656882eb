/* Resizes rows of pixels as they come by Pillow's bicubic filter, which widens with the picture where that shrinks, so
 * that all pixels count. First along rows, then along columns, with whole levels in between, as Pillow does it. */

#include "cubic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jpeg.h"
#include "loops.h"

enum { CHANNELS = JPEG_CHANNELS };

/* R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, with a = -0.5. */
static double cubic(double distance)
{
    double x = fabs(distance);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((2.5 - 0.5 * x) * x - 4) * x + 2 : 0;
}

/* How much larger a pixel of the result is, at least 1, and how many pixels it can come from. */
static double width_of(long from, long to)
{
    return from > to ? (double)from / (double)to : 1;
}

static long most_taps(long from, long to)
{
    return 2 * (long)ceil(2 * width_of(from, to)) + 1;
}

/* The pixels that one of the result comes from: writes their weights, up to `most_taps`, and returns the first. */
static long find_taps(long position, long from, long to, long *count, double *weights)
{
    double middle = ((double)position + 0.5) * (double)from / (double)to, width = width_of(from, to), sum = 0;
    long first = (long)(middle - 2 * width + 0.5), last = (long)(middle + 2 * width + 0.5);
    first = middle - 2 * width + 0.5 > 0 ? first : 0;
    last = last < from ? last : from;
    *count = last - first;
    for (long i = 0; i < *count; i++)
        sum += weights[i] = cubic(((double)(first + i) - middle + 0.5) / width);
    for (long i = 0; i < *count; i++)
        weights[i] /= sum;
    return first;
}

/* Rows that are resized as they come. The last ones in their new width, as many as a row of the result may come from,
 * are kept. */
typedef struct {
    JpegRows rows;
    long height, out_height, done, kept;
    size_t pitch, out_pitch, kept_pitch;
    uint8_t *out, *row, *last_rows;
    float *values, *sums;
    double *weights;
    Filter filter;
} Resizer;

static uint8_t *kept_row(const Resizer *resizer, long y)
{
    return resizer->last_rows + (size_t)(y % resizer->kept) * resizer->kept_pitch;
}

static uint8_t *resizer_room(JpegRows *rows, long y)
{
    (void)y;
    return ((Resizer *)rows)->row;
}

static void take_row(Resizer *resizer, const uint8_t *row, long y)
{
    jpeg_loops->convert_to_floats(row, resizer->pitch, resizer->values);
    jpeg_loops->filter_row(resizer->values, &resizer->filter, kept_row(resizer, y));
    for (; resizer->done < resizer->out_height; resizer->done++) {
        long count, first = find_taps(resizer->done, resizer->height, resizer->out_height, &count, resizer->weights);
        if (first + count - 1 > y)
            return;
        memset(resizer->sums, 0, resizer->out_pitch * sizeof *resizer->sums);
        for (long i = 0; i < count; i++)
            jpeg_loops->add_row(kept_row(resizer, first + i), (float)resizer->weights[i], resizer->out_pitch,
                                resizer->sums);
        jpeg_loops->round_row(resizer->sums, resizer->out_pitch,
                              resizer->out + (size_t)resizer->done * resizer->out_pitch);
    }
}

static void resizer_filled(JpegRows *rows, long y)
{
    Resizer *resizer = (Resizer *)rows;
    take_row(resizer, resizer->row, y);
}

static void stop_resizer(Resizer *resizer)
{
    free(resizer->row);
    free(resizer->last_rows);
    free(resizer->values);
    free(resizer->sums);
    free(resizer->weights);
    free(resizer->filter.first);
    free(resizer->filter.weights);
}

static void make_filter(Resizer *resizer, long width, int flip)
{
    Filter *filter = &resizer->filter;
    for (long x = 0; x < filter->width; x++) {
        long count, first = find_taps(flip ? filter->width - 1 - x : x, width, filter->width, &count, resizer->weights);
        float *weights = filter->weights + x * filter->pairs * PAIR_LANES;
        filter->first[x] = (int32_t)(first * CHANNELS);
        for (long i = 0; i < count; i++)
            for (int channel = 0; channel < CHANNELS; channel++)
                weights[i / 2 * PAIR_LANES + i % 2 * CHANNELS + channel] = (float)resizer->weights[i];
    }
}

/* -1 when there is no memory. */
static int start_resizer(Resizer *resizer, long height, long width, uint8_t *out, long out_height, long out_width,
                         int flip)
{
    long across = most_taps(width, out_width), down = most_taps(height, out_height);
    size_t pitch = (size_t)width * CHANNELS, out_pitch = (size_t)out_width * CHANNELS, pairs = (size_t)(across + 1) / 2;
    *resizer = (Resizer){
        .rows = {resizer_room, resizer_filled},
        .height = height,
        .out_height = out_height,
        .kept = down,
        .pitch = pitch,
        .out_pitch = out_pitch,
        .kept_pitch = out_pitch + SPARE,
        .out = out,
        .row = malloc(pitch),
        .last_rows = malloc((size_t)down * (out_pitch + SPARE)),
        /* Taps of no weight may lie behind the row. */
        .values = calloc(pitch + 2 * pairs * CHANNELS + SPARE, sizeof(float)),
        .sums = malloc(out_pitch * sizeof(float)),
        .weights = malloc((size_t)(across > down ? across : down) * sizeof(double)),
        .filter = {.width = out_width,
                   .pairs = (long)pairs,
                   .first = malloc((size_t)out_width * sizeof(int32_t)),
                   .weights = calloc((size_t)out_width * pairs * PAIR_LANES, sizeof(float))},
    };
    if (!resizer->row || !resizer->last_rows || !resizer->values || !resizer->sums || !resizer->weights ||
        !resizer->filter.first || !resizer->filter.weights) {
        stop_resizer(resizer);
        return -1;
    }
    make_filter(resizer, width, flip);
    return 0;
}

int jpeg_resize_cubic(const uint8_t *pixels, long height, long width, uint8_t *out, long out_height, long out_width,
                      int flip)
{
    Resizer resizer;
    if (start_resizer(&resizer, height, width, out, out_height, out_width, flip))
        return -1;
    for (long y = 0; y < height; y++)
        take_row(&resizer, pixels + (size_t)y * resizer.pitch, y);
    stop_resizer(&resizer);
    return 0;
}

JpegResult jpeg_crop_cubic(const uint8_t *data, size_t size, JpegBox box, int reduction, uint8_t *out, long out_height,
                           long out_width, int flip)
{
    Resizer resizer;
    if (start_resizer(&resizer, box.height, box.width, out, out_height, out_width, flip))
        return JPEG_NO_MEMORY;
    JpegResult result = jpeg_decode_box(data, size, box, reduction, &resizer.rows);
    stop_resizer(&resizer);
    return result;
}
