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
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

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

const char *const *jpeg_loop_names(void)
{
    static const char *names[SET_COUNT + 1];
    int count = 0;
    for (int i = 0; i < SET_COUNT; i++)
        if (can_run(SETS[i]))
            names[count++] = SETS[i]->name;
    return names;
}

int jpeg_use_loops(const char *name)
{
    for (int i = SET_COUNT - 1; i >= 0; i--)
        if (can_run(SETS[i]) && (!name || !strcmp(name, SETS[i]->name))) {
            jpeg_loops = SETS[i];
            return 0;
        }
    return -1;
}
