/* For processors with AVX-512 and its permutations of bytes (VBMI). */

#include "loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi"))), apply_to = function)
#else
#pragma GCC target("avx2,avx512f,avx512bw,avx512vl,avx512vbmi")
#endif

#include "avx2.h"
#include "loops_set.h"

enum { WIDTH = 64, PARTS = LEVELS / WIDTH };

/* What a table of 256 has for each of 64 values. */
INLINE __m512i look_up_vector(const __m512i *table, __m512i values)
{
    __m512i lower = _mm512_permutex2var_epi8(table[0], values, table[1]);
    __m512i upper = _mm512_permutex2var_epi8(table[2], values, table[3]);
    return _mm512_mask_mov_epi8(lower, _mm512_movepi8_mask(values), upper);
}

/* Of every three values, the first, second and third. */
#define FIRST UINT64_C(0x9249249249249249)
#define SECOND UINT64_C(0x2492492492492492)
#define THIRD UINT64_C(0x4924924924924924)

static void look_up_avx512(uint8_t *values, long count, const uint8_t *tables)
{
    /* Which values are green and blue in the first of three vectors, the second and the third. */
    static const __mmask64 green[] = {SECOND, FIRST, THIRD}, blue[] = {THIRD, SECOND, FIRST};
    __m512i parts[CHANNELS][PARTS];
    for (int i = 0; i < CHANNELS * PARTS; i++)
        parts[i / PARTS][i % PARTS] = _mm512_loadu_si512(tables + i * WIDTH);
    for (int turn = 0; count > 0; turn = (turn + 1) % CHANNELS, values += WIDTH, count -= WIDTH) {
        __mmask64 there = count < WIDTH ? ~(~UINT64_C(0) << count) : ~UINT64_C(0);
        __m512i from = count < WIDTH ? _mm512_maskz_loadu_epi8(there, values) : _mm512_loadu_si512(values);
        __m512i to = look_up_vector(parts[0], from);
        to = _mm512_mask_mov_epi8(to, green[turn], look_up_vector(parts[1], from));
        to = _mm512_mask_mov_epi8(to, blue[turn], look_up_vector(parts[2], from));
        if (count < WIDTH)
            _mm512_mask_storeu_epi8(values, there, to);
        else
            _mm512_storeu_si512(values, to);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

const AugmentLoops augment_loops_avx512 = LOOPS_SET("avx512", look_up_avx512);

#endif
