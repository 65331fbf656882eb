/* Operations of augmentation: each changes an image in its place. */

#ifndef MINDCV_AUGMENT_H
#define MINDCV_AUGMENT_H

#include <stdint.h>

#include "../common/compiler.h"

enum { CHANNELS = 3, LEVELS = 256 };

/* Bytes (height, width, 3), RGB. */
typedef struct {
    uint8_t *pixels;
    long height, width;
} Image;

INLINE long clamp(long value, long least, long most)
{
    return value < least ? least : value > most ? most : value;
}

/* A share to blend by. Beyond a million the ends of the range are reached all the same, and sums stay whole numbers. */
INLINE float share_of(double number)
{
    return (float)(number < -1e6 ? -1e6 : number > 1e6 ? 1e6 : number);
}

/* From one value to another by a share, cut off at the ends of the range; what is behind the point is dropped. */
INLINE uint8_t blend(int from, int to, float share)
{
    int value = (int)((float)from + share * (float)(to - from));
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Does an operation with its numbers; -1 when there is no memory. */
typedef int Change(const Image *image, const double *numbers);

enum { MOST_NUMBERS = 10 };

typedef struct {
    const char *name;
    int count; /* of its numbers */
    Change *change;
} Operation;

/* Code of the loops that most of the time goes into, for the processor at hand: the names of what it can run, plain C
 * first, and what is used from now on (NULL: the fastest); -1: it has none of that name. */
const char *const *augment_loop_names(void);
int augment_use_loops(const char *name);

/* operations.c: all of them, up to one without a name, and what is wrong with an operation's numbers; NULL: nothing. */
extern const Operation augment_operations[];
const char *augment_fault(const Operation *operation, const double *numbers);

/* colours.c */
Change auto_contrast, equalize, invert, solarize, posterize, brightness, contrast, saturation, hue;
/* geometry.c: a, b, c, d, e, f: the point (x, y), from the upper left corner, comes from (ax + by + c, dx + ey + f);
 * whether values between pixels are cubic, not linear; the colour of what comes from outside. */
Change affine;
/* smoothing.c */
Change sharpness, gaussian_blur;

#endif
