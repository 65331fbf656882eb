/* What libFuzzer (clang -fsanitize=fuzzer) calls with files that it makes: none may make a fault, and all sets of loops
 * must agree. The first two bytes say the reduction and the box. */

#include <stdlib.h>
#include <string.h>

#include "jpeg.h"

enum { MOST_PIXELS = 1 << 18, OUT_SIDE = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void try_box(const uint8_t *data, size_t size, JpegBox box, int reduction, int flip)
{
    const size_t room = (size_t)box.height * (size_t)box.width * JPEG_CHANNELS;
    uint8_t *first = calloc(room, 1), *pixels = malloc(room);
    uint8_t resized[OUT_SIDE * OUT_SIDE * JPEG_CHANNELS];
    JpegResult expected = JPEG_DONE;
    for (const char *const *name = jpeg_loop_names(); first && pixels && *name; name++) {
        int is_first = !strcmp(*name, "plain");
        uint8_t *out = is_first ? first : pixels;
        if (jpeg_use_loops(*name))
            abort();
        memset(out, 0, room);
        JpegResult result = jpeg_decode(data, size, box, reduction, out);
        if (is_first)
            expected = result;
        if (result != expected || memcmp(out, first, room))
            abort();
        jpeg_crop(data, size, box, reduction, resized, OUT_SIDE, OUT_SIDE, flip);
        jpeg_crop_cubic(data, size, box, reduction, resized, OUT_SIDE, OUT_SIDE, flip);
    }
    free(first);
    free(pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < 2)
        return 0;
    int reduction = 1 << (bytes[0] & 3), quarter = bytes[0] >> 2 & 3, flip = bytes[1] & 1;
    /* A copy that ends where the file does, so a look behind it is seen. */
    size_t size = count - 2;
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        return 0;
    memcpy(data, bytes + 2, size);
    long height = 0, width = 0;
    jpeg_check(data, size);
    if (jpeg_size(data, size, &height, &width) != JPEG_DONE) {
        height = bytes[1];
        width = 64;
    }
    height = (height + reduction - 1) / reduction, width = (width + reduction - 1) / reduction;
    if (height * width <= MOST_PIXELS && height > 0) {
        JpegBox box = {quarter * height / 4, quarter * width / 4, height - quarter * height / 4,
                       width - quarter * width / 4};
        try_box(data, size, box, reduction, flip);
    }
    free(data);
    return 0;
}
