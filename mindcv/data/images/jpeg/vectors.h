/* What compilers offer for vectors, under one name. */

#ifndef MINDCV_JPEG_VECTORS_H
#define MINDCV_JPEG_VECTORS_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this is for little-endian processors"
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* Lanes of two vectors, by number. */
#if defined(__clang__)
#define SHUFFLE(Vector, one, other, ...) __builtin_shufflevector(one, other, __VA_ARGS__)
#else
#define SHUFFLE(Vector, one, other, ...) __builtin_shuffle(one, other, (Vector){__VA_ARGS__})
#endif

typedef int16_t Short8 __attribute__((vector_size(16)));
typedef int32_t Int8 __attribute__((vector_size(32)));

#endif
