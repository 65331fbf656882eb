/* Chooses the loops that fit the processor, at run time. */

#include "loops.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

const JpegLoops *jpeg_loops = &jpeg_loops_plain;

/* From the one that runs everywhere to the fastest. */
static const JpegLoops *const SETS[] = {
    &jpeg_loops_plain,
#if defined(__x86_64__)
    &jpeg_loops_sse4,
    &jpeg_loops_avx2,
#elif defined(__aarch64__)
    &jpeg_loops_neon,
#endif
};

static int can_run(const JpegLoops *loops)
{
#if defined(__x86_64__)
    if (loops == &jpeg_loops_sse4)
        return __builtin_cpu_supports("sse4.1") != 0;
    if (loops == &jpeg_loops_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
#elif defined(__aarch64__) && defined(__linux__)
    if (loops == &jpeg_loops_neon)
        return (getauxval(AT_HWCAP) & 1 << 1) != 0; /* HWCAP_ASIMD */
#endif
    return loops == &jpeg_loops_plain;
}

#define LOOPS_IN_USE jpeg_loops
#define LOOP_NAMES jpeg_loop_names
#define USE_LOOPS jpeg_use_loops
#include "../common/choose_loops.h"
