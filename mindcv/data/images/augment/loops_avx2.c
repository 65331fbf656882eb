/* For processors with AVX2. */

#include "loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#include "avx2.h"
#include "loops_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const AugmentLoops augment_loops_avx2 = LOOPS_SET("avx2", look_up);

#endif
