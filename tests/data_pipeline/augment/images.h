/* Images for the programs here. */

#include <stdlib.h>
#include <string.h>

#include "augment.h"

/* Bytes that look random, the same for a seed; NULL: there is no memory. They end where the image does, so that a look
 * behind it is seen. */
static uint8_t *make_image(uint32_t seed, long height, long width)
{
    const size_t count = (size_t)(height * width * CHANNELS);
    uint8_t *bytes = malloc(count);
    for (size_t i = 0; bytes && i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    return bytes;
}
