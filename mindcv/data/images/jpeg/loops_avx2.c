/* For processors with AVX2 and BMI2. */

#include "loops.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi2")
#endif

#define TRANSPOSE transpose_wide
#include "loops_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const JpegLoops jpeg_loops_avx2 = LOOPS_SET("avx2");

#endif
