/* Values of pixels as vectors. */

#ifndef MINDCV_AUGMENT_VECTORS_H
#define MINDCV_AUGMENT_VECTORS_H

#include <stdint.h>
#include <string.h>

#include "../common/compiler.h"

/* Values of a pixel, in four lanes of which the last is not used, and of two neighbours, in eight. */
typedef float Pixel __attribute__((vector_size(16)));
typedef float Pair __attribute__((vector_size(32)));
typedef int32_t Whole __attribute__((vector_size(16)));
typedef int32_t WholePair __attribute__((vector_size(32)));
typedef int16_t ShortPair __attribute__((vector_size(16)));
typedef int64_t Long __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

#endif
