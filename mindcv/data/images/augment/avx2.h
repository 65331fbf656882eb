/* Pairs of pixels, with AVX2; behind <immintrin.h>. */

#include "vectors.h"

INLINE Pair load_pair(const uint8_t *pixels)
{
    return (Pair)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)pixels)));
}

INLINE Pixel last_of(Pair pair)
{
    __m128i first = _mm256_castsi256_si128((__m256i)pair), rest = _mm256_extracti128_si256((__m256i)pair, 1);
    return (Pixel)_mm_alignr_epi8(rest, first, 12);
}
