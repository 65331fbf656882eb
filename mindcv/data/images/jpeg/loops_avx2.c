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

INLINE void write_samples_avx2(const Int8 *x, uint8_t *out, size_t stride)
{
    __m256i columns[SIDE], quarters[2];
    for (int i = 0; i < SIDE; i++)
        columns[i] = _mm256_add_epi32((__m256i)x[i], _mm256_set1_epi32(128));
    const __m256i turn = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2,
                                          6, 10, 14, 3, 7, 11, 15);
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

static void inverse_transform_avx2(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    Int8 x[SIDE];
    transform_columns(block, quantisation, SIDE, x);
    write_samples_avx2(x, out, stride);
}

static void inverse_transform_corner_avx2(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    Int8 x[SIDE];
    transform_columns(block, quantisation, CORNER, x);
    write_samples_avx2(x, out, stride);
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
    const __m256i half = _mm256_set1_epi16(1 << (VALUE_BITS - 1));
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
        __m256i bytes = _mm256_srai_epi16(_mm256_add_epi16(_mm256_add_epi16(near, part), half), VALUE_BITS);
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
