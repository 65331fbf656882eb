/* Decodes and resizes JPEG files by one set of loops, and prints a hash of the pixels of each: the same on all
 * processors.
 *
 * driver names              the sets that this processor can run
 * driver SET FILE ...       name and hash of each file; "plain" is the set that all have
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jpeg.h"

enum { LARGEST_FILE = 1 << 22, OUT_HEIGHT = 31, OUT_WIDTH = 38 };

/* FNV-1a of 64 bits. */
static uint64_t hash_of(uint64_t hash, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * 0x100000001B3;
    return hash;
}

static size_t read_file(const char *name, uint8_t *data)
{
    FILE *file = fopen(name, "rb");
    if (!file) {
        fprintf(stderr, "%s cannot be opened\n", name);
        exit(2);
    }
    size_t size = fread(data, 1, LARGEST_FILE, file);
    fclose(file);
    return size;
}

/* The whole picture and a box of it, as they are and resized, at one reduction. */
static uint64_t hash_picture(uint64_t hash, const uint8_t *data, size_t size, long height, long width, int reduction)
{
    height = (height + reduction - 1) / reduction, width = (width + reduction - 1) / reduction;
    const JpegBox boxes[] = {{0, 0, height, width}, {height / 3, width / 4, (height + 1) / 2, (width + 1) / 2}};
    uint8_t *pixels = calloc((size_t)height * (size_t)width, JPEG_CHANNELS);
    if (!pixels)
        exit(2);
    for (int i = 0; i < 2; i++) {
        uint8_t resized[OUT_HEIGHT * OUT_WIDTH * JPEG_CHANNELS] = {0};
        uint8_t result = (uint8_t)jpeg_decode(data, size, boxes[i], reduction, pixels);
        hash = hash_of(hash, &result, 1);
        hash = hash_of(hash, pixels, (size_t)boxes[i].height * (size_t)boxes[i].width * JPEG_CHANNELS);
        result = (uint8_t)jpeg_crop(data, size, boxes[i], reduction, resized, OUT_HEIGHT, OUT_WIDTH, i);
        hash = hash_of(hash, &result, 1);
        hash = hash_of(hash, resized, sizeof resized);
        result = (uint8_t)jpeg_crop_cubic(data, size, boxes[i], reduction, resized, OUT_HEIGHT, OUT_WIDTH, i);
        hash = hash_of(hash, &result, 1);
        hash = hash_of(hash, resized, sizeof resized);
    }
    free(pixels);
    return hash;
}

int main(int count, char **names)
{
    if (count == 2 && !strcmp(names[1], "names")) {
        for (const char *const *name = jpeg_loop_names(); *name; name++)
            puts(*name);
        return 0;
    }
    if (count < 3 || jpeg_use_loops(names[1])) {
        fprintf(stderr, "driver names, or driver SET FILE ...\n");
        return 2;
    }
    uint8_t *data = malloc(LARGEST_FILE);
    for (int i = 2; data && i < count; i++) {
        size_t size = read_file(names[i], data);
        long height, width;
        uint64_t hash = 0xCBF29CE484222325;
        JpegSummary summary = jpeg_check(data, size);
        JpegResult result = jpeg_size(data, size, &height, &width);
        if (result == JPEG_DONE)
            for (int reduction = 1; reduction <= 8; reduction *= 2)
                hash = hash_picture(hash, data, size, height, width, reduction);
        const char *base = strrchr(names[i], '/');
        printf("%s %d %d %016llx\n", base ? base + 1 : names[i], (int)summary.fault, (int)result,
               (unsigned long long)hash);
    }
    free(data);
    return 0;
}
