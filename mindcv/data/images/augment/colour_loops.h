/* Loops of colours, for the file that includes this. */

#include <string.h>

#include "loops.h"

static inline void look_up(uint8_t *restrict values, long count, const uint8_t *restrict tables)
{
    const uint8_t *red = tables, *green = tables + LEVELS, *blue = tables + 2 * LEVELS;
    uint8_t *pixel = values, *end = values + count;
    for (; pixel < end; pixel += CHANNELS) {
        pixel[0] = red[pixel[0]];
        pixel[1] = green[pixel[1]];
        pixel[2] = blue[pixel[2]];
    }
}

/* Values that are looked at at once, in whole vectors. */
enum { AT_ONCE = 16 * CHANNELS };

static void find_range(const uint8_t *values, long count, uint8_t *least, uint8_t *greatest)
{
    uint8_t low[AT_ONCE], high[AT_ONCE];
    memset(low, 255, sizeof low);
    memset(high, 0, sizeof high);
    long i = 0;
    for (; i + AT_ONCE <= count; i += AT_ONCE)
        for (int j = 0; j < AT_ONCE; j++) {
            low[j] = values[i + j] < low[j] ? values[i + j] : low[j];
            high[j] = values[i + j] > high[j] ? values[i + j] : high[j];
        }
    for (int j = 0; i < count; i++, j++) {
        low[j] = values[i] < low[j] ? values[i] : low[j];
        high[j] = values[i] > high[j] ? values[i] : high[j];
    }
    memset(least, 255, CHANNELS);
    memset(greatest, 0, CHANNELS);
    for (int j = 0; j < AT_ONCE; j++) {
        int channel = j % CHANNELS;
        least[channel] = low[j] < least[channel] ? low[j] : least[channel];
        greatest[channel] = high[j] > greatest[channel] ? high[j] : greatest[channel];
    }
}

/* Luma of ITU-R BT.601, in parts of 65536, rounded. */
INLINE int grey_of(const uint8_t *pixel)
{
    return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16;
}

static int64_t sum_grey(const uint8_t *pixel, long pixels)
{
    int64_t sum = 0;
    for (long i = 0; i < pixels; i++)
        sum += grey_of(pixel + i * CHANNELS);
    return sum;
}

static void blend_grey(uint8_t *pixel, float factor, long pixels)
{
    enum { CHUNK = 64 };
    uint8_t greys[CHUNK * CHANNELS];
    for (; pixels > 0; pixels -= CHUNK, pixel += CHUNK * CHANNELS) {
        long count = pixels < CHUNK ? pixels : CHUNK;
        for (long i = 0; i < count; i++)
            greys[i * CHANNELS] = greys[i * CHANNELS + 1] = greys[i * CHANNELS + 2] =
                (uint8_t)grey_of(pixel + i * CHANNELS);
        for (long i = 0; i < count * CHANNELS; i++)
            pixel[i] = blend(greys[i], pixel[i], factor);
    }
}
