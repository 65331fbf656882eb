/* All operations of _augment.c under one name, for the programs here. */

#define WITHOUT_PYTHON
#include "_augment.c"

enum { LOOK_UP, COUNT_LEVELS, SUM_GREY, SATURATE, BLEND_LEVEL, SHARPEN, WARP_LINEAR, WARP_CUBIC, BLUR, OPERATIONS };
enum { NUMBERS = 6, MOST_BYTES = CHANNELS * LEVELS * sizeof(int32_t) };

/* Bytes that look random, the same for a seed. */
static void make_bytes(uint32_t seed, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

/* How many bytes an operation gives. */
static size_t bytes_of(int operation, long height, long width)
{
    if (operation == COUNT_LEVELS)
        return MOST_BYTES;
    return operation == SUM_GREY ? sizeof(int64_t) : (size_t)(height * width * CHANNELS);
}

/* Does an operation with its numbers, within the limits that the module holds. */
static int apply(int operation, const uint8_t *source, long height, long width, const double *numbers, uint8_t *out)
{
    static const uint8_t FILLING[CHANNELS] = {124, 116, 104};
    const long pixels = height * width;
    const float factor = (float)numbers[0];
    uint8_t table[CHANNELS * LEVELS];
    int64_t sum;
    switch (operation) {
    case LOOK_UP:
        make_bytes(1, table, sizeof table);
        look_up(source, table, pixels, out);
        return 0;
    case COUNT_LEVELS:
        count_levels(source, pixels, (int32_t *)out);
        return 0;
    case SUM_GREY:
        sum = sum_grey(source, pixels);
        memcpy(out, &sum, sizeof sum);
        return 0;
    case SATURATE:
        saturate(source, factor, pixels, out);
        return 0;
    case BLEND_LEVEL:
        blend_level(source, source[0], factor, pixels * CHANNELS, out);
        return 0;
    case SHARPEN:
        sharpen(source, height, width, factor, out);
        return 0;
    case BLUR:
        return blur(source, height, width, factor > 0 && factor <= 1000 ? factor : 1, out);
    default:
        return warp(source, height, width, numbers, operation == WARP_CUBIC, FILLING, out);
    }
}
