/* Chooses the loops that fit the processor, at run time. */

#include "loops.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

const AugmentLoops *augment_loops = &augment_loops_plain;

/* From the one that runs everywhere to the fastest. */
static const AugmentLoops *const SETS[] = {
    &augment_loops_plain,
#if defined(__x86_64__)
    &augment_loops_avx2,
    &augment_loops_avx512,
#elif defined(__aarch64__)
    &augment_loops_neon,
#endif
};

static int can_run(const AugmentLoops *loops)
{
#if defined(__x86_64__)
    if (loops == &augment_loops_avx2)
        return __builtin_cpu_supports("avx2") != 0;
    if (loops == &augment_loops_avx512)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vbmi");
#elif defined(__aarch64__) && defined(__linux__)
    if (loops == &augment_loops_neon)
        return (getauxval(AT_HWCAP) & 1 << 1) != 0; /* HWCAP_ASIMD */
#endif
    return loops == &augment_loops_plain;
}

#define LOOPS_IN_USE augment_loops
#define LOOP_NAMES augment_loop_names
#define USE_LOOPS augment_use_loops
#include "../common/choose_loops.h"
