/* Sharpness and blur: Pillow's, bit for bit. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loops.h"

/* The border of one pixel stays as it is. */
int sharpness(const Image *image, const double *numbers)
{
    long stride = image->width * CHANNELS;
    float factor = share_of(numbers[0]);
    uint8_t *copies = malloc((size_t)(2 * stride)), *row = image->pixels;
    uint16_t *columns = calloc((size_t)(stride + 2 * CHANNELS), sizeof *columns);
    int failed = !copies || !columns;
    /* The last two rows as they were. */
    uint8_t *above = copies, *middle = copies + stride;
    for (long y = 0; !failed && y < image->height - 1; y++, row += stride) {
        uint8_t *last = above;
        above = middle, middle = last;
        memcpy(middle, row, (size_t)stride);
        if (y == 0)
            continue;
        augment_loops->sharpen_row(above, middle, row + stride, stride, factor, columns, row);
        memcpy(row, middle, CHANNELS);
        memcpy(row + stride - CHANNELS, middle + stride - CHANNELS, CHANNELS);
    }
    free(copies);
    free(columns);
    return failed ? -1 : 0;
}

/* Blur: three means over boxes stand for a normal distribution. */

enum { PASSES = 3 };

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
            augment_loops->mean_of_box(room->lines, box, width * CHANNELS, room->sums, image);
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
            augment_loops->mean_of_box(room->lines, box, stride, room->sums, image + row * stride);
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
