/* Coefficients and samples as vectors. */

#ifndef MINDCV_JPEG_VECTORS_H
#define MINDCV_JPEG_VECTORS_H

#include <stdint.h>

#include "../common/compiler.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this is for little-endian processors"
#endif

typedef int16_t Short8 __attribute__((vector_size(16)));
typedef int32_t Int8 __attribute__((vector_size(32)));

#endif
