/* For any processor: what the compiler makes of the loops with what all of its kind have (on x86-64 SSE2). */

#include "loops.h"

#include "generic.h"
#include "loops_set.h"

const AugmentLoops augment_loops_plain = LOOPS_SET("plain", look_up);
