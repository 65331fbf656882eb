/* What libFuzzer (clang -fsanitize=fuzzer) calls with bytes that it makes: operation, size and numbers, which may be
 * any. No operation may make a fault, and each gives the same by all sets of loops. */

#include "images.h"

enum { LARGEST = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

typedef struct {
    uint8_t operation, height, width, kind;
    double numbers[MOST_NUMBERS];
} Input;

/* Numbers as they come, or small ones, and matrices of one direction, which have loops of their own. */
static void make_usual(Input *input)
{
    if (input->kind & 1)
        for (int i = 0; i < MOST_NUMBERS; i++) {
            int8_t part;
            memcpy(&part, input->numbers + i, sizeof part);
            input->numbers[i] = part / (input->kind & 8 ? 4.0 : 32.0);
        }
    if (input->kind & 6) {
        input->numbers[0] = input->numbers[4] = 1;
        input->numbers[input->kind & 2 ? 3 : 1] = 0;
        input->numbers[input->kind & 2 ? 5 : 2] = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    Input input;
    if (count < sizeof input)
        return 0;
    memcpy(&input, bytes, sizeof input);
    make_usual(&input);
    int operations = 0;
    while (augment_operations[operations].name)
        operations++;
    const Operation *operation = &augment_operations[input.operation % operations];
    if (augment_fault(operation, input.numbers))
        return 0;
    long height = 1 + input.height % LARGEST, width = 1 + input.width % LARGEST;
    Image first = {make_image(input.kind, height, width), height, width};
    if (augment_use_loops("plain") || !first.pixels || operation->change(&first, input.numbers))
        abort();
    for (const char *const *name = augment_loop_names(); *name; name++) {
        Image other = {make_image(input.kind, height, width), height, width};
        if (augment_use_loops(*name) || !other.pixels || operation->change(&other, input.numbers) ||
            memcmp(first.pixels, other.pixels, (size_t)(height * width * CHANNELS)))
            abort();
        free(other.pixels);
    }
    free(first.pixels);
    return 0;
}
