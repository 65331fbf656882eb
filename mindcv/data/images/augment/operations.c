/* Which operations there are. */

#include "augment.h"

#include <stddef.h>

enum { LARGEST_RADIUS = 1000 };

const Operation augment_operations[] = {
    {"auto_contrast", 0, auto_contrast},
    {"equalize", 0, equalize},
    {"invert", 0, invert},
    {"solarize", 1, solarize},
    {"posterize", 1, posterize},
    {"brightness", 1, brightness},
    {"contrast", 1, contrast},
    {"saturation", 1, saturation},
    {"hue", 1, hue},
    {"sharpness", 1, sharpness},
    {"gaussian_blur", 1, gaussian_blur},
    {"affine", MOST_NUMBERS, affine},
    {NULL, 0, NULL},
};

const char *augment_fault(const Operation *operation, const double *numbers)
{
    for (int i = 0; i < operation->count; i++)
        if (!(numbers[i] > -1e9 && numbers[i] < 1e9))
            return "numbers must lie between -1e9 and 1e9";
    if (operation->change == gaussian_blur && !(numbers[0] > 0 && numbers[0] <= LARGEST_RADIUS))
        return "the blur's radius must be above 0 and at most 1000";
    return NULL;
}
