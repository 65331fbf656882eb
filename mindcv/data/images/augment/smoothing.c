/* Sharpness and blur: Pillow's, bit for bit. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augment.h"

/* A row, away from the mean of 3 x 3 pixels whose middle counts five times, or towards it. */
FOR_PROCESSORS_WITH("avx2")
static void sharpen_row(const uint8_t *restrict above, const uint8_t *restrict row, const uint8_t *restrict below,
                        long values, float factor, uint8_t *restrict out)
{
    for (long i = CHANNELS; i < values - CHANNELS; i++) {
        int sum = above[i - CHANNELS] + above[i] + above[i + CHANNELS] + row[i - CHANNELS] + 5 * row[i] +
                  row[i + CHANNELS] + below[i - CHANNELS] + below[i] + below[i + CHANNELS];
        out[i] = blend((2 * sum + 13) / 26, row[i], factor);
    }
}

/* The border of one pixel stays as it is. */
int sharpness(const Image *image, const double *numbers)
{
    long stride = image->width * CHANNELS;
    uint8_t *copies = malloc((size_t)(2 * stride)), *row = image->pixels;
    if (!copies)
        return -1;
    /* The last two rows as they were. */
    uint8_t *above = copies, *middle = copies + stride;
    memcpy(middle, row, (size_t)stride);
    for (long y = 1; y < image->height - 1; y++) {
        uint8_t *last = above;
        above = middle, middle = last;
        row += stride;
        memcpy(middle, row, (size_t)stride);
        sharpen_row(above, middle, row + stride, stride, (float)numbers[0], row);
    }
    free(copies);
    return 0;
}

/* Blur: three means over boxes stand for a normal distribution. */

enum { PASSES = 3, BOX_BITS = 24 };

/* A box: pixels within `radius` count `inner`, the next ones on both sides `outer`, in parts of 1 << BOX_BITS. */
typedef struct {
    long radius;
    uint32_t inner, outer;
} Box;

/* The box whose three-fold mean has the standard deviation `sigma`: Gwosdek, Grewenig, Bruhn, Weickert, "Theoretical
 * Foundations of Gaussian Convolution by Extended Box Filtering", 2011. */
static Box box_of(float sigma)
{
    float variance = sigma * sigma / PASSES;
    float length = (float)sqrt(12.0 * variance + 1.0);
    float whole = (float)floor((length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    float radius = whole + part;
    Box box = {(long)radius, (uint32_t)((float)(1 << BOX_BITS) / (radius * 2 + 1)), 0};
    box.outer = ((1u << BOX_BITS) - (uint32_t)(2 * box.radius + 1) * box.inner) / 2;
    return box;
}

/* Adds lines; `step` is how far neighbours are apart, and there are radius + 1 of them on either side. */
FOR_PROCESSORS_WITH("avx2")
static void mean_of_box(const uint8_t *const *lines, Box box, long values, uint32_t *restrict sums,
                        uint8_t *restrict out)
{
    const uint8_t *first = lines[0], *last = lines[2 * box.radius + 2];
    for (long i = 0; i < values; i++)
        sums[i] = 0;
    for (long line = 1; line <= 2 * box.radius + 1; line++) {
        const uint8_t *restrict values_of = lines[line];
        for (long i = 0; i < values; i++)
            sums[i] += values_of[i];
    }
    for (long i = 0; i < values; i++)
        out[i] = (uint8_t)((sums[i] * box.inner + (uint32_t)(first[i] + last[i]) * box.outer +
                            (1u << (BOX_BITS - 1))) >> BOX_BITS);
}

/* What a blur needs besides its images. */
typedef struct {
    const uint8_t **lines;
    uint8_t *padded, *image;
    uint32_t *sums;
} Room;

static void blur_along_rows(uint8_t *image, long height, long width, Box box, const Room *room)
{
    long border = box.radius + 1;
    for (long i = 0; i < 2 * border + 1; i++)
        room->lines[i] = room->padded + i * CHANNELS;
    for (long row = 0; row < height; row++, image += width * CHANNELS)
        for (int pass = 0; pass < PASSES; pass++) {
            for (long i = 0; i < border; i++) {
                memcpy(room->padded + i * CHANNELS, image, CHANNELS);
                memcpy(room->padded + (border + width + i) * CHANNELS, image + (width - 1) * CHANNELS, CHANNELS);
            }
            memcpy(room->padded + border * CHANNELS, image, (size_t)(width * CHANNELS));
            mean_of_box(room->lines, box, width * CHANNELS, room->sums, image);
        }
}

static void blur_along_columns(uint8_t *image, long height, long width, Box box, const Room *room)
{
    long border = box.radius + 1, stride = width * CHANNELS;
    for (int pass = 0; pass < PASSES; pass++) {
        memcpy(room->image, image, (size_t)(height * stride));
        for (long row = 0; row < height; row++) {
            for (long i = 0; i < 2 * border + 1; i++)
                room->lines[i] = room->image + clamp(row - border + i, 0, height - 1) * stride;
            mean_of_box(room->lines, box, stride, room->sums, image + row * stride);
        }
    }
}

int gaussian_blur(const Image *image, const double *numbers)
{
    Box box = box_of((float)numbers[0]);
    long height = image->height, width = image->width;
    Room room = {
        malloc((size_t)(2 * box.radius + 3) * sizeof(uint8_t *)),
        malloc((size_t)((width + 2 * (box.radius + 1)) * CHANNELS)),
        malloc((size_t)(height * width * CHANNELS)),
        malloc((size_t)(width * CHANNELS) * sizeof(uint32_t)),
    };
    int failed = !room.lines || !room.padded || !room.image || !room.sums;
    if (!failed) {
        blur_along_rows(image->pixels, height, width, box, &room);
        blur_along_columns(image->pixels, height, width, box, &room);
    }
    free(room.lines);
    free(room.padded);
    free(room.image);
    free(room.sums);
    return failed ? -1 : 0;
}
