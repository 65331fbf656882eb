/* Does all operations with images of many sizes and prints a hash of what each gives: the same on all processors.
 *
 * driver names     the sets of loops that there are: one
 * driver all       operation, size, numbers and hash of each
 */

#include <stdio.h>

#include "operations.h"

static const char *const NAMES[OPERATIONS] = {"look_up", "count_levels", "sum_grey",   "saturate", "blend_level",
                                              "sharpen", "warp_linear",  "warp_cubic", "blur"};
static const long SIZES[][2] = {{1, 1}, {1, 2}, {2, 1}, {1, 40}, {37, 1}, {2, 2}, {3, 5}, {7, 7}, {16, 33}, {61, 48}};
static const double FACTORS[] = {-0.9, 0, 0.1, 0.5, 0.999, 1, 1.3, 1.9, 4, 100};
/* Rotations, shears and translations of all lengths, scales, and what is no matrix of augmentation. */
static const double MATRICES[][NUMBERS] = {
    {1, 0, 0, 0, 1, 0},         {1, 0, 3.25, 0, 1, 0},     {1, 0, -700, 0, 1, 0},  {1, 0.3, 0, 0, 1, 0},
    {1, -0.99, 5.5, 0, 1, 0},   {1, 0, 0, 0, 1, -2.75},    {1, 0, 0, 0.3, 1, 0},   {1, 0, 0, -0.99, 1, 4},
    {0.866, -0.5, 4, 0.5, 0.866, -3}, {0.5, 0, 0, 0, 0.5, 0}, {2.5, 0.1, -9, 0.2, 3.5, -7}, {-1, 0, 20, 0, -1, 20},
    {0, 0, 1.5, 0, 0, 1.5},     {1, 1e9, 0, 0, 1, 0},      {1e300, 0, 0, 0, 1, 1}, {1, 0, 1e300, 0, 1, 0},
};

static void hash(int operation, long height, long width, const double *numbers)
{
    const size_t size = (size_t)(height * width * CHANNELS), count = bytes_of(operation, height, width);
    uint8_t *source = malloc(size), *out = calloc(count, 1);
    if (!source || !out)
        exit(2);
    make_bytes(16, source, size);
    int failed = apply(operation, source, height, width, numbers, out);
    uint64_t sum = 0xCBF29CE484222325; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ out[i]) * 0x100000001B3;
    printf("%s %ldx%ld %g %g %g %d %016llx\n", NAMES[operation], height, width, numbers[0], numbers[1], numbers[2], failed,
           (unsigned long long)sum);
    free(source);
    free(out);
}

int main(int count, char **names)
{
    if (count == 2 && !strcmp(names[1], "names"))
        return puts("all") < 0;
    for (int operation = 0; operation < OPERATIONS; operation++)
        for (size_t size = 0; size < sizeof SIZES / sizeof *SIZES; size++)
            if (operation == WARP_LINEAR || operation == WARP_CUBIC) {
                for (size_t i = 0; i < sizeof MATRICES / sizeof *MATRICES; i++)
                    hash(operation, SIZES[size][0], SIZES[size][1], MATRICES[i]);
            } else {
                for (size_t i = 0; i < sizeof FACTORS / sizeof *FACTORS; i++)
                    hash(operation, SIZES[size][0], SIZES[size][1], (double[NUMBERS]){FACTORS[i]});
            }
    return 0;
}
