/* Loops of sharpness and blur, for the file that includes this. */

#include "loops.h"

static void sharpen_row(const uint8_t *restrict above, const uint8_t *restrict row, const uint8_t *restrict below,
                        long values, float factor, uint16_t *restrict columns, uint8_t *restrict out)
{
    for (long i = 0; i < values; i++)
        columns[i + CHANNELS] = (uint16_t)(above[i] + row[i] + below[i]);
    for (long i = 0; i < values; i++) {
        uint16_t sum = (uint16_t)(columns[i] + columns[i + CHANNELS] + columns[i + 2 * CHANNELS] + 4 * row[i]);
        /* sum / 13, rounded: of all sums that there are, 13 x 255 the greatest, this is the quotient. */
        uint16_t mean = (uint16_t)((uint32_t)(uint16_t)(sum + 6) * 5042 >> 16);
        out[i] = blend(mean, row[i], factor);
    }
}

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
