/* For processors with AVX2 and BMI2: what the loops do, in these instructions where compilers find slower ones. */

#include "loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi2")
#endif

#include "colour_loops.h"
#include "entropy_loops.h"
#include "resize_loops.h"
#include "cubic_loops.h"

#define TRANSPOSE transpose_wide
#include "transform_loops.h"

enum { STEP = 16, STRETCH_STEP = 4 }; /* pixels at once */

INLINE __m128i upper(__m256i both)
{
    return _mm256_extracti128_si256(both, 1);
}

/* The halves of two vectors, the lower ones, and the upper ones. */
#define LOWER(one, other) _mm256_permute2x128_si256(one, other, 0x20)
#define UPPER(one, other) _mm256_permute2x128_si256(one, other, 0x31)

/* Two factors for each pair of coefficients, of which products are added. */
INLINE __m256i weigh(__m256i pairs, int one, int other)
{
    return _mm256_madd_epi16(pairs, _mm256_set1_epi32((int)((unsigned)one & 0xFFFF) | other * 65536));
}

/* The sums and differences of the even and odd parts, shifted. */
INLINE void join_parts(const __m256i *even, const __m256i *odd, int shift, __m256i *x)
{
    for (int i = 0; i < SIDE / 2; i++) {
        x[i] = _mm256_srai_epi32(_mm256_add_epi32(even[i], odd[i]), shift);
        x[SIDE - 1 - i] = _mm256_srai_epi32(_mm256_sub_epi32(even[i], odd[i]), shift);
    }
}

/* `transform`, its products summed up for each coefficient: the i-th of four vectors has coefficients i and i + 4 of
 * eight rows or columns, of 16 bits each. `round` is added to all. */
INLINE void transform_pairs(const __m256i *pairs, int round, int shift, __m256i *x)
{
    const __m256i rounding = _mm256_set1_epi32(round);
    __m256i sum = _mm256_add_epi32(weigh(pairs[0], 8192, 8192), rounding);
    __m256i difference = _mm256_add_epi32(weigh(pairs[0], 8192, -8192), rounding);
    __m256i low = weigh(pairs[2], 10703, 4433), high = weigh(pairs[2], 4433, -10704);
    const __m256i even[4] = {_mm256_add_epi32(sum, low), _mm256_add_epi32(difference, high),
                             _mm256_sub_epi32(difference, high), _mm256_sub_epi32(sum, low)};
    const __m256i odd[4] = {
        _mm256_add_epi32(weigh(pairs[1], 11363, 6437), weigh(pairs[3], 9633, 2260)),
        _mm256_add_epi32(weigh(pairs[1], 9633, -11362), weigh(pairs[3], -2259, -6436)),
        _mm256_add_epi32(weigh(pairs[1], 6437, 2261), weigh(pairs[3], -11362, 9633)),
        _mm256_add_epi32(weigh(pairs[1], 2260, 9633), weigh(pairs[3], -6436, -11363)),
    };
    join_parts(even, odd, shift, x);
}

/* The same for coefficients 0 to 3 alone: 0 and 2, 1 and 3. */
INLINE void transform_corner_pairs(const __m256i *pairs, int round, int shift, __m256i *x)
{
    const __m256i rounding = _mm256_set1_epi32(round);
    const __m256i even[4] = {
        _mm256_add_epi32(weigh(pairs[0], 8192, 10703), rounding),
        _mm256_add_epi32(weigh(pairs[0], 8192, 4433), rounding),
        _mm256_add_epi32(weigh(pairs[0], 8192, -4433), rounding),
        _mm256_add_epi32(weigh(pairs[0], 8192, -10703), rounding),
    };
    const __m256i odd[4] = {weigh(pairs[1], 11363, 9633), weigh(pairs[1], 9633, -2259), weigh(pairs[1], 6437, -11362),
                            weigh(pairs[1], 2260, -6436)};
    join_parts(even, odd, shift, x);
}

/* Two rows of coefficients, brought to their size. */
INLINE __m256i load_rows(const Block *block, const Block *quantisation, int row)
{
    return _mm256_mullo_epi16(_mm256_loadu_si256((const __m256i *)(block->rows + row)),
                              _mm256_loadu_si256((const __m256i *)(quantisation->rows + row)));
}

/* Pairs of rows of coefficients: those of columns 0 to 3 in lower halves. */
INLINE void pair_rows(__m256i one, __m256i other, __m256i *first, __m256i *second)
{
    __m256i low = _mm256_unpacklo_epi16(one, other), high = _mm256_unpackhi_epi16(one, other);
    *first = LOWER(low, high);
    *second = UPPER(low, high);
}

/* What the first pass has made of rows to pairs of columns: i and i + 4. */
INLINE void turn_to_pairs(const __m256i *x, __m256i *pairs)
{
    __m256i rows[4], fours[4]; /* two rows each: j and j + 4 */
    for (int i = 0; i < 2; i++) {
        __m256i near = _mm256_packs_epi32(x[2 * i], x[2 * i + 1]), far = _mm256_packs_epi32(x[2 * i + 4], x[2 * i + 5]);
        __m256i left = LOWER(near, far), right = UPPER(near, far);
        rows[2 * i] = _mm256_unpacklo_epi16(left, right);
        rows[2 * i + 1] = _mm256_unpackhi_epi16(left, right);
    }
    for (int i = 0; i < 2; i++) {
        fours[i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        fours[i + 2] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        pairs[2 * i] = _mm256_unpacklo_epi64(fours[2 * i], fours[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_epi64(fours[2 * i], fours[2 * i + 1]);
    }
}

/* The same of columns 0 to 3: 0 and 2, 1 and 3. */
INLINE void turn_to_corner_pairs(const __m256i *x, __m256i *pairs)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    __m256 rows[2];
    for (int i = 0; i < 2; i++) {
        __m256i near = _mm256_packs_epi32(x[2 * i], x[2 * i + 1]), far = _mm256_packs_epi32(x[2 * i + 4], x[2 * i + 5]);
        rows[i] = _mm256_castsi256_ps(_mm256_shuffle_epi8(LOWER(near, far), order));
    }
    pairs[0] = _mm256_castps_si256(_mm256_shuffle_ps(rows[0], rows[1], _MM_SHUFFLE(2, 0, 2, 0)));
    pairs[1] = _mm256_castps_si256(_mm256_shuffle_ps(rows[0], rows[1], _MM_SHUFFLE(3, 1, 3, 1)));
}

/* Columns of samples to rows of bytes. */
INLINE void write_columns(const __m256i *columns, uint8_t *out, size_t stride)
{
    const __m256i turn = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m256i quarters[2];
    /* Of four rows, four bytes of a column, and then of a row. */
    for (int i = 0; i < 2; i++)
        quarters[i] = _mm256_shuffle_epi8(
            _mm256_packus_epi16(_mm256_packs_epi32(columns[4 * i], columns[4 * i + 1]),
                                _mm256_packs_epi32(columns[4 * i + 2], columns[4 * i + 3])),
            turn);
    for (int i = 0; i < 2; i++) {
        __m256i rows = i ? _mm256_unpackhi_epi32(quarters[0], quarters[1])
                         : _mm256_unpacklo_epi32(quarters[0], quarters[1]);
        const __m128i halves[2] = {_mm256_castsi256_si128(rows), upper(rows)};
        for (int half = 0; half < 2; half++) {
            uint8_t *row = out + (size_t)(4 * half + 2 * i) * stride;
            _mm_storel_epi64((__m128i *)row, halves[half]);
            _mm_storeh_pd((double *)(row + stride), _mm_castsi128_pd(halves[half]));
        }
    }
}

enum {
    FIRST_SHIFT_BITS = FRACTION_BITS - FIRST_PASS_BITS,
    LAST_SHIFT_BITS = FRACTION_BITS + FIRST_PASS_BITS + 3,
    FIRST_ROUND = 1 << (FIRST_SHIFT_BITS - 1),
    LAST_ROUND = (1 << (LAST_SHIFT_BITS - 1)) + (128 << LAST_SHIFT_BITS), /* A.3.1: samples are 128 more */
};

static void inverse_transform_avx2(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    __m256i pairs[4], x[SIDE];
    for (int i = 0; i < 4; i += 2)
        pair_rows(load_rows(block, quantisation, i), load_rows(block, quantisation, i + 4), pairs + i, pairs + i + 1);
    transform_pairs(pairs, FIRST_ROUND, FIRST_SHIFT_BITS, x);
    turn_to_pairs(x, pairs);
    transform_pairs(pairs, LAST_ROUND, LAST_SHIFT_BITS, x);
    write_columns(x, out, stride);
}

static void inverse_transform_corner_avx2(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    __m256i pairs[2], x[SIDE];
    pair_rows(load_rows(block, quantisation, 0), load_rows(block, quantisation, 2), pairs, pairs + 1);
    transform_corner_pairs(pairs, FIRST_ROUND, FIRST_SHIFT_BITS, x);
    turn_to_corner_pairs(x, pairs);
    transform_corner_pairs(pairs, LAST_ROUND, LAST_SHIFT_BITS, x);
    write_columns(x, out, stride);
}

INLINE __m256i load_words(const uint8_t *bytes)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)bytes));
}

/* `scale` */
INLINE __m256i scale_avx2(__m256i values, int16_t factor)
{
    __m256i high = _mm256_mulhi_epi16(_mm256_add_epi16(values, values), _mm256_set1_epi16(factor));
    return _mm256_srai_epi16(_mm256_add_epi16(high, _mm256_set1_epi16(1)), 1);
}

static void convert_row_avx2(const uint8_t *restrict luma, const uint8_t *restrict blue, const uint8_t *restrict red,
                             long count, uint8_t *restrict out)
{
    const __m256i middle = _mm256_set1_epi16(128), half = _mm256_set1_epi32(1 << 15);
    const __m256i factors = _mm256_set1_epi32((int)(18734 | (unsigned)-22554 << 16));
    /* Of 8 pixels, first R and G, then B twice; 16 bytes of their 24, and 8 more. */
    const __m256i first_rg = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 8, -1, 1, 9, -1, 2, 10, -1, 3, 11, -1, 4, 12, -1, 5));
    const __m256i first_b = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1));
    const __m256i last_rg = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(13, -1, 6, 14, -1, 7, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m256i last_b = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, -1, -1, -1, -1, -1, -1));
    long i = 0;
    for (; i + STEP <= count; i += STEP) {
        __m256i y = load_words(luma + i), cb = _mm256_sub_epi16(load_words(blue + i), middle);
        __m256i cr = _mm256_sub_epi16(load_words(red + i), middle);
        __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(cr, cb), factors);
        __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(cr, cb), factors);
        low = _mm256_srai_epi32(_mm256_add_epi32(low, half), 16);
        high = _mm256_srai_epi32(_mm256_add_epi32(high, half), 16);
        __m256i r = _mm256_add_epi16(_mm256_add_epi16(y, cr), scale_avx2(cr, 26345));
        __m256i g = _mm256_add_epi16(_mm256_sub_epi16(y, cr), _mm256_packs_epi32(low, high));
        __m256i b = _mm256_add_epi16(_mm256_add_epi16(y, _mm256_add_epi16(cb, cb)), scale_avx2(cb, -14942));
        __m256i rg = _mm256_packus_epi16(r, g), bb = _mm256_packus_epi16(b, b);
        __m256i first = _mm256_or_si256(_mm256_shuffle_epi8(rg, first_rg), _mm256_shuffle_epi8(bb, first_b));
        __m256i last = _mm256_or_si256(_mm256_shuffle_epi8(rg, last_rg), _mm256_shuffle_epi8(bb, last_b));
        uint8_t *pixels = out + JPEG_CHANNELS * i;
        _mm_storeu_si128((__m128i *)pixels, _mm256_castsi256_si128(first));
        _mm_storel_epi64((__m128i *)(pixels + 16), _mm256_castsi256_si128(last));
        _mm_storeu_si128((__m128i *)(pixels + 24), upper(first));
        _mm_storel_epi64((__m128i *)(pixels + 40), upper(last));
    }
    convert_row(luma + i, blue + i, red + i, count - i, out + JPEG_CHANNELS * i);
}

/* Two pixels with their right neighbours, each in a half. */
INLINE __m256i load_pair(const int16_t *one, const int16_t *other)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)one)),
                                   _mm_loadu_si128((const __m128i *)other), 1);
}

static void stretch_row_avx2(const int16_t *restrict row, const Stretch *stretch, uint8_t *restrict out)
{
    const __m256i rounded_shift = _mm256_set1_epi16(1 << (WEIGHT_BITS - VALUE_BITS)); /* as a factor */
    const __m256i low_bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 8, 10, 12, 6, 14, 0, 2, 4, 8, 10, 12, 6, 14));
    long x = 0;
    for (; x + STRETCH_STEP <= stretch->width; x += STRETCH_STEP) {
        const int32_t *from = stretch->near + x;
        __m256i even = load_pair(row + from[0], row + from[2]), odd = load_pair(row + from[1], row + from[3]);
        __m256i near = _mm256_unpacklo_epi64(even, odd);
        __m256i far = _mm256_unpacklo_epi64(_mm256_srli_si256(even, 6), _mm256_srli_si256(odd, 6));
        __m256i weights = _mm256_loadu_si256((const __m256i *)(stretch->weights + LANES * x));
        __m256i part = _mm256_mulhrs_epi16(_mm256_sub_epi16(far, near), weights);
        __m256i bytes = _mm256_mulhrs_epi16(_mm256_add_epi16(near, part), rounded_shift);
        bytes = _mm256_shuffle_epi8(bytes, low_bytes);
        _mm_storel_epi64((__m128i *)(out + JPEG_CHANNELS * x), _mm256_castsi256_si128(bytes));
        _mm_storel_epi64((__m128i *)(out + JPEG_CHANNELS * (x + 2)), upper(bytes));
    }
    stretch_from(x, row, stretch, out);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

const JpegLoops jpeg_loops_avx2 = {
    .name = "avx2",
    .read_blocks = read_blocks,
    .pass_blocks = pass_blocks,
    .read_block_pairs = read_block_pairs,
    .inverse_transform = inverse_transform_avx2,
    .inverse_transform_corner = inverse_transform_corner_avx2,
    .widen_row = widen_row,
    .weigh_rows = weigh_rows,
    .spread_samples = spread_samples,
    .spread_sums = spread_sums,
    .round_sums = round_sums,
    .convert_row = convert_row_avx2,
    .mix_rows = mix_rows,
    .stretch_row = stretch_row_avx2,
    .convert_to_floats = convert_to_floats,
    .add_row = add_row,
    .round_row = round_row,
    .filter_row = filter_row,
};

#endif
