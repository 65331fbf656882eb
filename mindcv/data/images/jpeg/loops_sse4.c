/* For processors with SSE 4.1. */

#include "loops.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sse4.1"))), apply_to = function)
#else
#pragma GCC target("sse4.1")
#endif

#define TRANSPOSE transpose_narrow
#include "loops_set.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const JpegLoops jpeg_loops_sse4 = LOOPS_SET("sse4");

#endif
