/* For any processor: what the compiler makes of the loops with what all of its kind have (on x86-64 SSE2). */

#include "loops.h"

#define TRANSPOSE transpose_narrow
#include "loops_set.h"

const JpegLoops jpeg_loops_plain = LOOPS_SET("plain");
