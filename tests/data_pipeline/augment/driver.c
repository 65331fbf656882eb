/* Does all operations with images of many sizes by one set of loops, and prints a hash of what each gives: the same on
 * all processors.
 *
 * driver names     the sets that this processor can run
 * driver SET       operation, size, numbers and hash of each; "plain" is the set that all have
 */

#include <stdio.h>

#include "images.h"

static const long SIZES[][2] = {{1, 1}, {1, 2}, {2, 1}, {1, 40}, {37, 1}, {2, 2}, {3, 5}, {7, 7}, {16, 33}, {61, 48}};
static const double FACTORS[] = {-0.9, 0, 0.1, 0.5, 0.999, 1, 1.3, 1.9, 4, 100};
/* Rotations, shears and translations of all lengths, scales, and what is no matrix of augmentation. */
static const double MATRICES[][6] = {
    {1, 0, 0, 0, 1, 0},         {1, 0, 3.25, 0, 1, 0},     {1, 0, -700, 0, 1, 0},  {1, 0.3, 0, 0, 1, 0},
    {1, -0.99, 5.5, 0, 1, 0},   {1, 0, 0, 0, 1, -2.75},    {1, 0, 0, 0.3, 1, 0},   {1, 0, 0, -0.99, 1, 4},
    {0.866, -0.5, 4, 0.5, 0.866, -3}, {0.5, 0, 0, 0, 0.5, 0}, {2.5, 0.1, -9, 0.2, 3.5, -7}, {-1, 0, 20, 0, -1, 20},
    {0, 0, 1.5, 0, 0, 1.5},     {1, 9e8, 0, 0, 1, 0},      {9e8, 0, 0, 0, 1, 1},   {1, 0, 9e8, 0, 1, 0},
};

static void hash(const Operation *operation, long height, long width, const double *numbers)
{
    if (augment_fault(operation, numbers))
        return;
    Image image = {make_image(16, height, width), height, width};
    if (!image.pixels || operation->change(&image, numbers))
        exit(2);
    uint64_t sum = 0xCBF29CE484222325; /* FNV-1a */
    for (long i = 0; i < height * width * CHANNELS; i++)
        sum = (sum ^ image.pixels[i]) * 0x100000001B3;
    printf("%s %ldx%ld %g %g %g %g %016llx\n", operation->name, height, width, numbers[0], numbers[1], numbers[2],
           numbers[6], (unsigned long long)sum);
    free(image.pixels);
}

static void hash_matrices(const Operation *operation, long height, long width)
{
    for (size_t i = 0; i < sizeof MATRICES / sizeof *MATRICES; i++)
        for (int is_cubic = 0; is_cubic < 2; is_cubic++) {
            double numbers[MOST_NUMBERS] = {[6] = is_cubic, 124, 116, 104};
            memcpy(numbers, MATRICES[i], sizeof MATRICES[i]);
            hash(operation, height, width, numbers);
        }
}

int main(int count, char **names)
{
    if (count == 2 && !strcmp(names[1], "names")) {
        for (const char *const *name = augment_loop_names(); *name; name++)
            puts(*name);
        return 0;
    }
    if (count < 2 || augment_use_loops(names[1])) {
        fprintf(stderr, "driver names, or driver SET\n");
        return 2;
    }
    for (const Operation *operation = augment_operations; operation->name; operation++)
        for (size_t size = 0; size < sizeof SIZES / sizeof *SIZES; size++) {
            if (operation->change == affine)
                hash_matrices(operation, SIZES[size][0], SIZES[size][1]);
            for (size_t i = 0; operation->change != affine && i < sizeof FACTORS / sizeof *FACTORS; i++)
                hash(operation, SIZES[size][0], SIZES[size][1], (double[MOST_NUMBERS]){FACTORS[i]});
        }
    return 0;
}
