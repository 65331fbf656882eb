/* The inverse transform of blocks, T.81 A.3.3, rounded as libjpeg's accurate integer mode. In the sets of loops. */

/* By operations of 32 bytes, which only some processors have; put together from others they take very long. */
INLINE void transpose_wide(Int8 *x)
{
    Int8 pairs[SIDE], fours[SIDE];
    for (int i = 0; i < SIDE; i += 2) {
        pairs[i] = SHUFFLE(Int8, x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        pairs[i + 1] = SHUFFLE(Int8, x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < SIDE; i += 4)
        for (int j = 0; j < 2; j++) {
            fours[i + 2 * j] = SHUFFLE(Int8, pairs[i + j], pairs[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            fours[i + 2 * j + 1] = SHUFFLE(Int8, pairs[i + j], pairs[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < SIDE / 2; i++) {
        x[i] = SHUFFLE(Int8, fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = SHUFFLE(Int8, fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* By operations of 16 bytes: each quarter of the block in turn. */
INLINE void transpose_narrow(Int8 *x)
{
    typedef int32_t Int4 __attribute__((vector_size(16)));
    Int4 from[SIDE][2], to[SIDE][2];
    memcpy(from, x, sizeof from);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            Int4 *rows[4] = {&from[4 * i][j], &from[4 * i + 1][j], &from[4 * i + 2][j], &from[4 * i + 3][j]};
            Int4 a = SHUFFLE(Int4, *rows[0], *rows[2], 0, 4, 1, 5), b = SHUFFLE(Int4, *rows[0], *rows[2], 2, 6, 3, 7);
            Int4 c = SHUFFLE(Int4, *rows[1], *rows[3], 0, 4, 1, 5), d = SHUFFLE(Int4, *rows[1], *rows[3], 2, 6, 3, 7);
            to[4 * j][i] = SHUFFLE(Int4, a, c, 0, 4, 1, 5);
            to[4 * j + 1][i] = SHUFFLE(Int4, a, c, 2, 6, 3, 7);
            to[4 * j + 2][i] = SHUFFLE(Int4, b, d, 0, 4, 1, 5);
            to[4 * j + 3][i] = SHUFFLE(Int4, b, d, 2, 6, 3, 7);
        }
    memcpy(x, to, sizeof to);
}

enum { FRACTION_BITS = 13, FIRST_PASS_BITS = 2 };

/* One pass, for eight rows or columns at once: the flow graph of Loeffler, Ligtenberg and Moschytz (ICASSP 1989), with
 * factors in 13 bits. */
INLINE void transform(Int8 *x, int shift)
{
    Int8 turned = (x[2] + x[6]) * 4433;
    Int8 low = turned + x[2] * 6270, high = turned - x[6] * 15137;
    /* What is rounded is added once, to the two terms that all results have. */
    Int8 sum = ((x[0] + x[4]) << FRACTION_BITS) + (1 << (shift - 1));
    Int8 difference = ((x[0] - x[4]) << FRACTION_BITS) + (1 << (shift - 1));
    Int8 even[4] = {sum + low, difference + high, difference - high, sum - low};

    Int8 of_37 = x[3] + x[7], of_15 = x[1] + x[5], both = (of_37 + of_15) * 9633;
    Int8 of_17 = (x[1] + x[7]) * 7373, of_35 = (x[3] + x[5]) * 20995;
    of_37 = both - of_37 * 16069;
    of_15 = both - of_15 * 3196;
    Int8 odd[4] = {x[1] * 12299 - of_17 + of_15, x[3] * 25172 - of_35 + of_37, x[5] * 16819 - of_35 + of_15,
                   x[7] * 2446 - of_17 + of_37};

    for (int i = 0; i < SIDE / 2; i++) {
        x[i] = (even[i] + odd[i]) >> shift;
        x[SIDE - 1 - i] = (even[i] - odd[i]) >> shift;
    }
}

INLINE Int8 to_byte_range(Int8 values)
{
    values += 128;
    values &= ~(values >> 31);
    return (values | (values > 255)) & 255;
}

/* To 16 bits, which only a damaged file's values do not have between the passes. */
INLINE Int8 to_word_range(Int8 values)
{
    Int8 is_above = values > INT16_MAX, is_below = values < INT16_MIN;
    return (values & ~(is_above | is_below)) | (is_above & INT16_MAX) | (is_below & INT16_MIN);
}

/* Both passes, for coefficients in the first `reach` rows and columns; compilers leave out what zeros have no part in.
 * `x` is the columns of samples, less 128, not brought to a byte yet. */
INLINE void transform_columns(const Block *block, const Block *quantisation, int reach, Int8 *x)
{
    for (int i = 0; i < SIDE; i++)
        x[i] = i < reach ? __builtin_convertvector(block->rows[i] * quantisation->rows[i], Int8) : (Int8){0};
    transform(x, FRACTION_BITS - FIRST_PASS_BITS);
    for (int i = 0; i < SIDE; i++)
        x[i] = to_word_range(x[i]);
    TRANSPOSE(x);
    for (int i = reach; i < SIDE; i++)
        x[i] = (Int8){0};
    transform(x, FRACTION_BITS + FIRST_PASS_BITS + 3);
}

INLINE void write_samples(Int8 *x, uint8_t *out, size_t stride)
{
    /* Columns are joined to rows byte by byte. */
    for (int i = 0; i < SIDE; i++)
        x[i] = to_byte_range(x[i]);
    Int8 left = x[0] | x[1] << 8 | x[2] << 16 | x[3] << 24, right = x[4] | x[5] << 8 | x[6] << 16 | x[7] << 24;
    for (int i = 0; i < SIDE; i++) {
        int32_t row[2] = {left[i], right[i]};
        memcpy(out + (size_t)i * stride, row, sizeof row);
    }
}

/* Writes the 8 x 8 samples of a block. */
INLINE void inverse_transform(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    Int8 x[SIDE];
    transform_columns(block, quantisation, SIDE, x);
    write_samples(x, out, stride);
}

/* The same of a CORNERED block. */
INLINE void inverse_transform_corner(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    Int8 x[SIDE];
    transform_columns(block, quantisation, CORNER, x);
    write_samples(x, out, stride);
}
