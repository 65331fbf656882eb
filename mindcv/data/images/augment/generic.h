/* Pairs of pixels, for any processor. */

#include "vectors.h"

/* By way of 16 bits, for which compilers have better code than for eight bytes at once. */
INLINE Pair load_pair(const uint8_t *pixels)
{
    int64_t values;
    memcpy(&values, pixels, sizeof values);
    Bytes bytes = (Bytes)(Long){values, 0};
    ShortPair shorts =
        (ShortPair)SHUFFLE(Bytes, bytes, (Bytes){0}, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return __builtin_convertvector(__builtin_convertvector(shorts, WholePair), Pair);
}

INLINE Pixel last_of(Pair pair)
{
    return (Pixel){pair[3], pair[4], pair[5], pair[6]};
}
