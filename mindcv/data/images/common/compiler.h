/* What compilers offer, under one name. */

#ifndef MINDCV_COMPILER_H
#define MINDCV_COMPILER_H

#define INLINE static inline __attribute__((always_inline))
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* Lanes of two vectors, by number. */
#if defined(__clang__)
#define SHUFFLE(Vector, one, other, ...) __builtin_shufflevector(one, other, __VA_ARGS__)
#else
#define SHUFFLE(Vector, one, other, ...) __builtin_shuffle(one, other, (Vector){__VA_ARGS__})
#endif

#endif
