/* Rows between two others, and rows in new widths. In the sets of loops.
 *
 * Values of pixels between two others have 7 bits behind the point, and weights 15. A pixel is handled in four lanes;
 * what is read and written behind the last one has room.
 */

/* difference x weight, rounded; compilers know this form and have an instruction for it. */
#define PART_OF(difference, weight) ((int16_t)((((int32_t)(difference) * (weight) >> (WEIGHT_BITS - 1)) + 1) >> 1))

/* A row between two others. */
INLINE void mix_rows(const uint8_t *restrict near, const uint8_t *restrict far, int16_t weight, size_t values,
                     int16_t *restrict out)
{
    for (size_t i = 0; i < values; i++) {
        int16_t difference = (int16_t)((far[i] - near[i]) * (1 << VALUE_BITS));
        out[i] = (int16_t)((near[i] << VALUE_BITS) + PART_OF(difference, weight));
    }
}

typedef int16_t Pixels __attribute__((vector_size(2 * LANES * sizeof(int16_t))));
typedef uint8_t Bytes __attribute__((vector_size(sizeof(Pixels))));

/* A row in new width, from one of its pixels on. Two are made at once; 5 values behind the last of `row` are read, and
 * 2 bytes behind the last of `out` are written. */
INLINE void stretch_from(long x, const int16_t *restrict row, const Stretch *stretch, uint8_t *restrict out)
{
    for (; x < stretch->width; x += 2) {
        /* A pixel and its right neighbour. */
        Pixels one, other;
        memcpy(&one, row + stretch->near[x], sizeof one);
        memcpy(&other, row + stretch->near[x + 1], sizeof other);
        Pixels near = SHUFFLE(Pixels, one, other, 0, 1, 2, 3, 8, 9, 10, 11);
        Pixels far = SHUFFLE(Pixels, one, other, 3, 4, 5, 6, 11, 12, 13, 14);
        union {
            Pixels lanes;
            int16_t values[2 * LANES];
        } difference = {far - near}, part;
        for (int i = 0; i < 2 * LANES; i++)
            part.values[i] = PART_OF(difference.values[i], stretch->weights[LANES * x + i]);
        Bytes rounded = (Bytes)((near + part.lanes + (1 << (VALUE_BITS - 1))) >> VALUE_BITS);
        rounded = SHUFFLE(Bytes, rounded, rounded, 0, 2, 4, 8, 10, 12, 6, 14, 0, 2, 4, 8, 10, 12, 6, 14);
        memcpy(out + JPEG_CHANNELS * x, &rounded, 2 * LANES);
    }
}

INLINE void stretch_row(const int16_t *restrict row, const Stretch *stretch, uint8_t *restrict out)
{
    stretch_from(0, row, stretch, out);
}
