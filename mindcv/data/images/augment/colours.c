/* Colours: Pillow's, bit for bit. Its formulas are followed in the same order and precision, which is why the compiler
 * may not contract multiplications and additions. */

#include <math.h>
#include <string.h>

#include "loops.h"

static long count_of(const Image *image)
{
    return image->height * image->width * CHANNELS;
}

/* Stretches the values of each channel over 0 to 255. */
int auto_contrast(const Image *image, const double *numbers)
{
    (void)numbers;
    uint8_t least[CHANNELS], greatest[CHANNELS], table[CHANNELS * LEVELS];
    augment_loops->find_range(image->pixels, count_of(image), least, greatest);
    for (int channel = 0; channel < CHANNELS; channel++) {
        int range = greatest[channel] - least[channel];
        double scale = range ? 255.0 / range : 1.0, offset = range ? -least[channel] * scale : 0.0;
        for (int level = 0; level < LEVELS; level++)
            table[channel * LEVELS + level] = (uint8_t)clamp((long)(level * scale + offset), 0, 255);
    }
    augment_loops->look_up(image->pixels, count_of(image), table);
    return 0;
}

/* How often each value occurs in each channel. Neighbours are counted apart: a count that has just been written is slow
 * to read. */
static void count_levels(const Image *image, int32_t (*counts)[LEVELS])
{
    enum { APART = 2 };
    int32_t apart[APART][CHANNELS][LEVELS];
    memset(apart, 0, sizeof apart);
    const uint8_t *pixel = image->pixels;
    long pixels = image->height * image->width;
    for (long i = 0; i < pixels; i++, pixel += CHANNELS)
        for (int channel = 0; channel < CHANNELS; channel++)
            apart[i % APART][channel][pixel[channel]]++;
    for (int channel = 0; channel < CHANNELS; channel++)
        for (int level = 0; level < LEVELS; level++)
            counts[channel][level] = apart[0][channel][level] + apart[1][channel][level];
}

/* Makes all values of a channel about equally frequent. */
int equalize(const Image *image, const double *numbers)
{
    (void)numbers;
    int32_t counts[CHANNELS][LEVELS];
    uint8_t table[CHANNELS * LEVELS];
    count_levels(image, counts);
    for (int channel = 0; channel < CHANNELS; channel++) {
        int greatest = LEVELS - 1;
        while (!counts[channel][greatest])
            greatest--;
        long pixels = image->height * image->width, step = (pixels - counts[channel][greatest]) / 255, below = 0;
        for (int level = 0; level < LEVELS; level++) {
            table[channel * LEVELS + level] = (uint8_t)(step ? clamp((step / 2 + below) / step, 0, 255) : level);
            below += counts[channel][level];
        }
    }
    augment_loops->look_up(image->pixels, count_of(image), table);
    return 0;
}

int invert(const Image *image, const double *numbers)
{
    (void)numbers;
    uint8_t *values = image->pixels;
    for (long i = 0, count = count_of(image); i < count; i++)
        values[i] = (uint8_t)~values[i];
    return 0;
}

/* Inverts values from a threshold on. */
int solarize(const Image *image, const double *numbers)
{
    if (numbers[0] > 255)
        return 0;
    uint8_t threshold = (uint8_t)(numbers[0] > 0 ? ceil(numbers[0]) : 0);
    uint8_t *values = image->pixels;
    for (long i = 0, count = count_of(image); i < count; i++)
        values[i] ^= values[i] >= threshold ? 255 : 0;
    return 0;
}

/* Keeps the upper bits of each value. */
int posterize(const Image *image, const double *numbers)
{
    uint8_t kept = (uint8_t)(255 << (8 - clamp((long)numbers[0], 0, 8)));
    uint8_t *values = image->pixels;
    for (long i = 0, count = count_of(image); i < count; i++)
        values[i] &= kept;
    return 0;
}

/* All values by a share of the way from a level. */
static void blend_level(const Image *image, int level, float factor)
{
    uint8_t table[CHANNELS * LEVELS];
    for (int i = 0; i < CHANNELS * LEVELS; i++)
        table[i] = blend(level, i % LEVELS, factor);
    augment_loops->look_up(image->pixels, count_of(image), table);
}

int brightness(const Image *image, const double *numbers)
{
    blend_level(image, 0, share_of(numbers[0]));
    return 0;
}

/* Brings values closer to the mean luma, or further from it. */
int contrast(const Image *image, const double *numbers)
{
    long pixels = image->height * image->width;
    int mean = (int)((double)augment_loops->sum_grey(image->pixels, pixels) / (double)pixels + 0.5);
    blend_level(image, mean, share_of(numbers[0]));
    return 0;
}

/* Brings colours closer to grey, or further from it. */
int saturation(const Image *image, const double *numbers)
{
    augment_loops->blend_grey(image->pixels, share_of(numbers[0]), image->height * image->width);
    return 0;
}

typedef struct {
    uint8_t hue, saturation, value;
} Hsv;

/* The hue, a circle of six parts that begin with red, yellow, green, cyan, blue and magenta, goes up to 255. */
static Hsv hsv_of(const uint8_t *pixel)
{
    int red = pixel[0], green = pixel[1], blue = pixel[2];
    int greatest = red > green ? red : green, least = red < green ? red : green;
    greatest = blue > greatest ? blue : greatest;
    least = blue < least ? blue : least;
    if (least == greatest)
        return (Hsv){0, 0, (uint8_t)greatest};
    float range = (float)(greatest - least);
    float from_red = (float)(greatest - red) / range, from_green = (float)(greatest - green) / range,
          from_blue = (float)(greatest - blue) / range;
    float hue;
    if (red == greatest)
        hue = from_blue - from_green;
    else if (green == greatest)
        hue = (float)(2.0 + from_red - from_blue);
    else
        hue = (float)(4.0 + from_green - from_red);
    hue = (float)fmod(hue / 6.0 + 1.0, 1.0);
    return (Hsv){(uint8_t)(hue * 255.0), (uint8_t)(range / (float)greatest * 255.0), (uint8_t)greatest};
}

static void store_rgb(Hsv hsv, uint8_t *pixel)
{
    /* For each part of the circle: which of the four levels below red, green and blue have. */
    static const uint8_t levels_of[6][CHANNELS] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3}, {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    int part = (int)floor((float)hsv.hue * 6.0 / 255.0);
    float within = (float)((float)hsv.hue * 6.0 / 255.0 - (float)part), share = (float)(hsv.saturation / 255.0);
    float value = hsv.value;
    uint8_t levels[] = {
        hsv.value,
        (uint8_t)round(value * (1.0 - share)),
        (uint8_t)round(value * (1.0 - share * within)),
        (uint8_t)round(value * (1.0 - share * (1.0 - within))),
    };
    for (int channel = 0; channel < CHANNELS; channel++)
        pixel[channel] = hsv.saturation ? levels[levels_of[part % 6][channel]] : hsv.value;
}

/* Turns the hue by so many of 256 parts of the circle. */
int hue(const Image *image, const double *numbers)
{
    int by = (int)clamp((long)numbers[0], 0, 255);
    uint8_t *end = image->pixels + count_of(image);
    for (uint8_t *pixel = image->pixels; pixel < end; pixel += CHANNELS) {
        Hsv hsv = hsv_of(pixel);
        hsv.hue = (uint8_t)(hsv.hue + by);
        store_rgb(hsv, pixel);
    }
    return 0;
}
