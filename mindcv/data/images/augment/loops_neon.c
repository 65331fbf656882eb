/* For 64-bit ARM: look-ups in NEON's instructions; the other loops are what the compiler makes of them. */

#include "loops.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include "generic.h"
#include "loops_set.h"

enum { STEP = 16, PART = 64 };

/* What a table of 256 has for each of 16 values: a look-up of 64 leaves those alone that lie behind it. */
static uint8x16_t look_up_vector(const uint8_t *table, uint8x16_t values)
{
    uint8x16_t found = vqtbl4q_u8(vld1q_u8_x4(table), values);
    for (int i = PART; i < LEVELS; i += PART)
        found = vqtbx4q_u8(found, vld1q_u8_x4(table + i), vsubq_u8(values, vdupq_n_u8((uint8_t)i)));
    return found;
}

static void look_up_neon(uint8_t *values, long count, const uint8_t *tables)
{
    for (; count >= STEP * CHANNELS; values += STEP * CHANNELS, count -= STEP * CHANNELS) {
        uint8x16x3_t pixels = vld3q_u8(values);
        for (int channel = 0; channel < CHANNELS; channel++)
            pixels.val[channel] = look_up_vector(tables + channel * LEVELS, pixels.val[channel]);
        vst3q_u8(values, pixels);
    }
    look_up(values, count, tables);
}

const AugmentLoops augment_loops_neon = LOOPS_SET("neon", look_up_neon);

#endif
