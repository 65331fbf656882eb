/* What compilers offer for vectors, under one name. */

#ifndef MINDCV_JPEG_VECTORS_H
#define MINDCV_JPEG_VECTORS_H

/* Code for the processor at hand is chosen when the module is loaded, where the compiler can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_X86
#define FOR_PROCESSORS_WITH(feature) __attribute__((target_clones(feature, "default")))
#else
#define FOR_PROCESSORS_WITH(feature)
#endif

/* Lanes of two vectors, by number. */
#if defined(__clang__)
#define SHUFFLE(Vector, one, other, ...) __builtin_shufflevector(one, other, __VA_ARGS__)
#else
#define SHUFFLE(Vector, one, other, ...) __builtin_shuffle(one, other, (Vector){__VA_ARGS__})
#endif

#endif
