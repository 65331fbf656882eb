/* Which loops are in use. The file that includes this has SETS, from the one that runs everywhere to the fastest, and
 * `can_run` for them. LOOPS_IN_USE is the pointer to set, LOOP_NAMES and USE_LOOPS are what the functions are
 * called. */

#include <string.h>

enum { SET_COUNT = sizeof SETS / sizeof *SETS };

const char *const *LOOP_NAMES(void)
{
    static const char *names[SET_COUNT + 1];
    int count = 0;
    for (int i = 0; i < SET_COUNT; i++)
        if (can_run(SETS[i]))
            names[count++] = SETS[i]->name;
    return names;
}

int USE_LOOPS(const char *name)
{
    for (int i = SET_COUNT - 1; i >= 0; i--)
        if (can_run(SETS[i]) && (!name || !strcmp(name, SETS[i]->name))) {
            LOOPS_IN_USE = SETS[i];
            return 0;
        }
    return -1;
}
