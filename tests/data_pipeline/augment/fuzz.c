/* What libFuzzer (clang -fsanitize=fuzzer) calls with bytes that it makes: operation, size and numbers, which may be any.
 * No operation may make a fault, and none may leave a part of its result unwritten. */

#include "operations.h"

enum { LARGEST = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

typedef struct {
    uint8_t operation, height, width, kind;
    double numbers[NUMBERS];
} Input;

/* Numbers as they come, or small ones, and matrices of one direction, which have loops of their own. */
static void make_usual(Input *input)
{
    if (input->kind & 1)
        for (int i = 0; i < NUMBERS; i++) {
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
    int operation = input.operation % OPERATIONS;
    long height = 1 + input.height % LARGEST, width = 1 + input.width % LARGEST;
    size_t size = (size_t)(height * width * CHANNELS), result = bytes_of(operation, height, width);
    /* Each ends where its bytes do, so that a look behind them is seen. */
    uint8_t *source = malloc(size), *first = malloc(result), *second = malloc(result);
    if (source && first && second) {
        make_bytes(input.kind, source, size);
        memset(first, 0x55, result);
        memset(second, 0xAA, result);
        if (apply(operation, source, height, width, input.numbers, first) !=
                apply(operation, source, height, width, input.numbers, second) ||
            memcmp(first, second, result))
            abort();
    }
    free(source);
    free(first);
    free(second);
    return 0;
}
