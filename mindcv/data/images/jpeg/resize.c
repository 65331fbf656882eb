/* Resizes rows of pixels as they come, and keeps rows as they are. */

#include "resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jpeg.h"
#include "loops.h"

enum { CHANNELS = JPEG_CHANNELS };

typedef struct {
    long near, far; /* indices of the two pixels that a new one lies between */
    int16_t weight; /* of the far one */
} Tap;

/* Pixel centres are matched: the middle of the first new pixel is half a new pixel from the edge. */
static Tap find_tap(long index, long from, long to)
{
    double middle = ((double)index + 0.5) * (double)from / (double)to - 0.5;
    if (middle < 0)
        middle = 0;
    long near = (long)middle < from - 1 ? (long)middle : from - 1;
    long weight = lround((middle - (double)near) * (1 << WEIGHT_BITS));
    return (Tap){near, near + 1 < from ? near + 1 : near, (int16_t)(weight < INT16_MAX ? weight : INT16_MAX)};
}

/* Rows that are resized as they come, each from the last two. */
typedef struct {
    JpegRows rows;
    long height, width, out_height, done;
    Tap next; /* where row `done` of the result comes from */
    size_t pitch, out_pitch;
    uint8_t *out, *last_two, *stretched;
    int16_t *mixed;
    Stretch stretch;
} Resizer;

static uint8_t *resizer_room(JpegRows *rows, long y)
{
    Resizer *resizer = (Resizer *)rows;
    return resizer->last_two + (size_t)(y % 2) * resizer->pitch;
}

static void write_row(Resizer *resizer, const uint8_t *near, const uint8_t *far)
{
    uint8_t *out = resizer->out + (size_t)resizer->done * resizer->out_pitch;
    int is_apart = resizer->done == resizer->out_height - 1 || resizer->out_pitch < SPARE;
    jpeg_loops->mix_rows(near, far, resizer->next.weight, resizer->pitch, resizer->mixed);
    /* What is written behind the end of a row is where the next one comes, if that has room for it. */
    jpeg_loops->stretch_row(resizer->mixed, &resizer->stretch, is_apart ? resizer->stretched : out);
    if (is_apart)
        memcpy(out, resizer->stretched, resizer->out_pitch);
    resizer->next = find_tap(++resizer->done, resizer->height, resizer->out_height);
}

static void resizer_filled(JpegRows *rows, long y)
{
    Resizer *resizer = (Resizer *)rows;
    while (resizer->done < resizer->out_height && resizer->next.far <= y)
        write_row(resizer, resizer_room(rows, resizer->next.near), resizer_room(rows, resizer->next.far));
}

/* The caller frees `stretch.near`; -1 when there is no memory. */
static int start_resizer(Resizer *resizer, long height, long width, uint8_t *out, long out_height, long out_width,
                         int flip)
{
    Stretch stretch = {.width = out_width + out_width % 2};
    size_t count = (size_t)stretch.width, pitch = (size_t)width * CHANNELS;
    stretch.near = malloc(count * (sizeof(int32_t) + LANES * sizeof(int16_t)) + (pitch + SPARE) * sizeof(int16_t) +
                          count * CHANNELS + SPARE + 2 * pitch);
    if (!stretch.near)
        return -1;
    stretch.weights = (int16_t *)(stretch.near + count);
    int16_t *mixed = stretch.weights + LANES * count;
    memset(mixed + pitch, 0, SPARE * sizeof *mixed);
    for (long x = 0; x < stretch.width; x++) {
        long index = x < out_width ? x : out_width - 1;
        Tap tap = find_tap(flip ? out_width - 1 - index : index, width, out_width);
        stretch.near[x] = (int32_t)(tap.near * CHANNELS);
        for (int i = 0; i < LANES; i++)
            stretch.weights[LANES * x + i] = tap.far > tap.near ? tap.weight : 0;
    }
    uint8_t *stretched = (uint8_t *)(mixed + pitch + SPARE);
    *resizer = (Resizer){
        .rows = {resizer_room, resizer_filled},
        .height = height,
        .width = width,
        .out_height = out_height,
        .next = find_tap(0, height, out_height),
        .pitch = pitch,
        .out_pitch = (size_t)out_width * CHANNELS,
        .out = out,
        .mixed = mixed,
        .stretched = stretched,
        .last_two = stretched + count * CHANNELS + SPARE,
        .stretch = stretch,
    };
    return 0;
}

int jpeg_resize(const uint8_t *pixels, long height, long width, uint8_t *out, long out_height, long out_width, int flip)
{
    Resizer resizer;
    if (start_resizer(&resizer, height, width, out, out_height, out_width, flip))
        return -1;
    while (resizer.done < out_height)
        write_row(&resizer, pixels + (size_t)resizer.next.near * resizer.pitch,
                  pixels + (size_t)resizer.next.far * resizer.pitch);
    free(resizer.stretch.near);
    return 0;
}

/* Rows that are kept as they are. */
typedef struct {
    JpegRows rows;
    uint8_t *out;
    size_t pitch;
} Keeper;

static uint8_t *keeper_room(JpegRows *rows, long y)
{
    Keeper *keeper = (Keeper *)rows;
    return keeper->out + (size_t)y * keeper->pitch;
}

static void keeper_filled(JpegRows *rows, long y)
{
    (void)rows, (void)y;
}

JpegResult jpeg_decode(const uint8_t *data, size_t size, JpegBox box, int reduction, uint8_t *out)
{
    Keeper keeper = {{keeper_room, keeper_filled}, out, (size_t)box.width * CHANNELS};
    return jpeg_decode_box(data, size, box, reduction, &keeper.rows);
}

JpegResult jpeg_crop(const uint8_t *data, size_t size, JpegBox box, int reduction, uint8_t *out, long out_height,
                     long out_width, int flip)
{
    Resizer resizer;
    if (start_resizer(&resizer, box.height, box.width, out, out_height, out_width, flip))
        return JPEG_NO_MEMORY;
    JpegResult result = jpeg_decode_box(data, size, box, reduction, &resizer.rows);
    free(resizer.stretch.near);
    return result;
}
