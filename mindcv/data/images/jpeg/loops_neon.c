/* For 64-bit ARM: what the loops do in NEON's instructions. What is left at the end of a row is done in plain C. */

#include "loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include "colour_loops.h"
#include "entropy_loops.h"
#include "resize_loops.h"
#include "cubic_loops.h"

#define TRANSPOSE transpose_narrow
#include "transform_loops.h"

enum { STEP = 8 };

/* Turns 8 x 8 bytes. */
static void transpose_bytes(uint8x8_t *x)
{
    for (int i = 0; i < SIDE; i += 2) {
        uint8x8x2_t pair = vtrn_u8(x[i], x[i + 1]);
        x[i] = pair.val[0], x[i + 1] = pair.val[1];
    }
    for (int i = 0; i < SIDE; i += 1 + i % 2 * 2) {
        uint16x4x2_t pair = vtrn_u16(vreinterpret_u16_u8(x[i]), vreinterpret_u16_u8(x[i + 2]));
        x[i] = vreinterpret_u8_u16(pair.val[0]), x[i + 2] = vreinterpret_u8_u16(pair.val[1]);
    }
    for (int i = 0; i < SIDE / 2; i++) {
        uint32x2x2_t pair = vtrn_u32(vreinterpret_u32_u8(x[i]), vreinterpret_u32_u8(x[i + 4]));
        x[i] = vreinterpret_u8_u32(pair.val[0]), x[i + 4] = vreinterpret_u8_u32(pair.val[1]);
    }
}

/* 128 is added and the sum brought to a byte, both as `to_byte_range` does. */
static uint8x8_t to_bytes(Int8 values)
{
    int32x4_t halves[2];
    memcpy(halves, &values, sizeof halves);
    uint16x4_t low = vqmovun_s32(vaddq_s32(halves[0], vdupq_n_s32(128)));
    uint16x4_t high = vqmovun_s32(vaddq_s32(halves[1], vdupq_n_s32(128)));
    return vqmovn_u16(vcombine_u16(low, high));
}

static void write_samples_neon(const Int8 *x, uint8_t *out, size_t stride)
{
    uint8x8_t bytes[SIDE];
    for (int i = 0; i < SIDE; i++)
        bytes[i] = to_bytes(x[i]);
    transpose_bytes(bytes);
    for (int i = 0; i < SIDE; i++)
        vst1_u8(out + (size_t)i * stride, bytes[i]);
}

static void inverse_transform_neon(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    Int8 x[SIDE];
    transform_columns(block, quantisation, SIDE, x);
    write_samples_neon(x, out, stride);
}

static void inverse_transform_corner_neon(const Block *block, const Block *quantisation, uint8_t *out, size_t stride)
{
    Int8 x[SIDE];
    transform_columns(block, quantisation, CORNER, x);
    write_samples_neon(x, out, stride);
}

static void widen_row_neon(const uint8_t *restrict row, long count, uint16_t *restrict out)
{
    long i = 0;
    for (; i + STEP <= count; i += STEP)
        vst1q_u16(out + i, vmovl_u8(vld1_u8(row + i)));
    widen_row(row + i, count - i, out + i);
}

static void weigh_rows_neon(const uint8_t *restrict near, const uint8_t *restrict far, long count,
                            uint16_t *restrict out)
{
    long i = 0;
    for (; i + STEP <= count; i += STEP)
        vst1q_u16(out + i, vmlal_u8(vmovl_u8(vld1_u8(far + i)), vld1_u8(near + i), vdup_n_u8(3)));
    weigh_rows(near + i, far + i, count - i, out + i);
}

/* Two pixels for each sample, eight samples at once: 3 parts of it, 1 of a neighbour's, and what rounds. */
#define SPREAD(row, out, round_left, round_right, shift)                                                             \
    do {                                                                                                             \
        uint16x8_t whole = vld1q_u16(row);                                                                           \
        uint16x8_t left = vmlaq_n_u16(vaddq_u16(vld1q_u16((row) - 1), vdupq_n_u16(round_left)), whole, 3);           \
        uint16x8_t right = vmlaq_n_u16(vaddq_u16(vld1q_u16((row) + 1), vdupq_n_u16(round_right)), whole, 3);         \
        vst2_u8(out, ((uint8x8x2_t){{vshrn_n_u16(left, shift), vshrn_n_u16(right, shift)}}));                        \
    } while (0)

static void spread_samples_neon(const uint16_t *restrict row, long count, uint8_t *restrict out)
{
    long i = 0;
    for (; i + STEP <= count; i += STEP)
        SPREAD(row + i, out + 2 * i, 1, 2, 2);
    spread_samples(row + i, count - i, out + 2 * i);
}

static void spread_sums_neon(const uint16_t *restrict row, long count, uint8_t *restrict out)
{
    long i = 0;
    for (; i + STEP <= count; i += STEP)
        SPREAD(row + i, out + 2 * i, 8, 7, 4);
    spread_sums(row + i, count - i, out + 2 * i);
}

static void round_sums_neon(const uint16_t *restrict row, long count, uint16_t round, uint8_t *restrict out)
{
    long i = 0;
    for (; i + STEP <= count; i += STEP)
        vst1_u8(out + i, vshrn_n_u16(vaddq_u16(vld1q_u16(row + i), vdupq_n_u16(round)), 2));
    round_sums(row + i, count - i, round, out + i);
}

/* A byte less 128. */
static int16x8_t centred(const uint8_t *bytes)
{
    return vreinterpretq_s16_u16(vsubl_u8(vld1_u8(bytes), vdup_n_u8(128)));
}

/* 18734 red - 22554 blue, rounded to its upper 16 bits. */
static int16x4_t green_of(int16x4_t blue, int16x4_t red)
{
    return vrshrn_n_s32(vmlal_n_s16(vmull_n_s16(red, 18734), blue, -22554), 16);
}

/* `scale`: vqdmulh is (2 value factor) >> 16. */
static int16x8_t scaled(int16x8_t value, int16_t factor)
{
    return vrshrq_n_s16(vqdmulhq_n_s16(value, factor), 1);
}

static void convert_row_neon(const uint8_t *restrict luma, const uint8_t *restrict blue, const uint8_t *restrict red,
                             long count, uint8_t *restrict out)
{
    long i = 0;
    for (; i + STEP <= count; i += STEP) {
        int16x8_t y = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(luma + i)));
        int16x8_t cb = centred(blue + i), cr = centred(red + i);
        int16x8_t green = vcombine_s16(green_of(vget_low_s16(cb), vget_low_s16(cr)),
                                       green_of(vget_high_s16(cb), vget_high_s16(cr)));
        uint8x8x3_t pixels = {{
            vqmovun_s16(vaddq_s16(vaddq_s16(y, cr), scaled(cr, 26345))),
            vqmovun_s16(vaddq_s16(vsubq_s16(y, cr), green)),
            vqmovun_s16(vaddq_s16(vaddq_s16(y, vaddq_s16(cb, cb)), scaled(cb, -14942))),
        }};
        vst3_u8(out + 3 * i, pixels);
    }
    convert_row(luma + i, blue + i, red + i, count - i, out + 3 * i);
}

/* vqrdmulh is PART_OF: (2 difference weight + 2^15) >> 16. */
static void mix_rows_neon(const uint8_t *restrict near, const uint8_t *restrict far, int16_t weight, size_t values,
                          int16_t *restrict out)
{
    size_t i = 0;
    for (; i + STEP <= values; i += STEP) {
        int16x8_t from = vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(near + i), VALUE_BITS));
        int16x8_t to = vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(far + i), VALUE_BITS));
        vst1q_s16(out + i, vaddq_s16(from, vqrdmulhq_n_s16(vsubq_s16(to, from), weight)));
    }
    mix_rows(near + i, far + i, weight, values - i, out + i);
}

static void stretch_row_neon(const int16_t *restrict row, const Stretch *stretch, uint8_t *restrict out)
{
    static const uint8_t ORDER[2 * LANES] = {0, 1, 2, 4, 5, 6, 3, 7};
    const uint8x8_t order = vld1_u8(ORDER);
    for (long x = 0; x < stretch->width; x += 2) {
        const int16_t *one = row + stretch->near[x], *other = row + stretch->near[x + 1];
        int16x8_t near = vcombine_s16(vld1_s16(one), vld1_s16(other));
        int16x8_t far = vcombine_s16(vld1_s16(one + JPEG_CHANNELS), vld1_s16(other + JPEG_CHANNELS));
        int16x8_t part = vqrdmulhq_s16(vsubq_s16(far, near), vld1q_s16(stretch->weights + LANES * x));
        uint8x8_t rounded = vmovn_u16(vreinterpretq_u16_s16(vrshrq_n_s16(vaddq_s16(near, part), VALUE_BITS)));
        vst1_u8(out + JPEG_CHANNELS * x, vtbl1_u8(rounded, order));
    }
}

const JpegLoops jpeg_loops_neon = {
    .name = "neon",
    .read_blocks = read_blocks,
    .pass_blocks = pass_blocks,
    .read_block_pairs = read_block_pairs,
    .inverse_transform = inverse_transform_neon,
    .inverse_transform_corner = inverse_transform_corner_neon,
    .widen_row = widen_row_neon,
    .weigh_rows = weigh_rows_neon,
    .spread_samples = spread_samples_neon,
    .spread_sums = spread_sums_neon,
    .round_sums = round_sums_neon,
    .convert_row = convert_row_neon,
    .mix_rows = mix_rows_neon,
    .stretch_row = stretch_row_neon,
    .convert_to_floats = convert_to_floats,
    .add_row = add_row,
    .round_row = round_row,
    .filter_row = filter_row,
};

#endif
