/* Interpolates colours and makes RGB, with libjpeg's rounding, so the pixels are the same. In the sets of loops. */

/* The row of samples, or of weighted sums of two, between which colours are interpolated. */
INLINE void weigh_rows(const uint8_t *restrict near, const uint8_t *restrict far, long count, uint16_t *restrict out)
{
    for (long i = 0; i < count; i++)
        out[i] = (uint16_t)(3 * near[i] + far[i]);
}

INLINE void widen_row(const uint8_t *restrict row, long count, uint16_t *restrict out)
{
    for (long i = 0; i < count; i++)
        out[i] = row[i];
}

/* Two pixels for each sample, 3 parts of it and 1 of the neighbour's; there is one value in front and behind. */
INLINE void spread(const uint16_t *restrict row, long count, int round_left, int round_right, int shift,
                   uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        uint16_t left = (uint16_t)(3 * row[i] + row[i - 1] + round_left);
        uint16_t right = (uint16_t)(3 * row[i] + row[i + 1] + round_right);
        out[2 * i] = (uint8_t)(left >> shift);
        out[2 * i + 1] = (uint8_t)(right >> shift);
    }
}

INLINE void spread_samples(const uint16_t *restrict row, long count, uint8_t *restrict out)
{
    spread(row, count, 1, 2, 2, out);
}

/* Sums of two rows are four times as large. */
INLINE void spread_sums(const uint16_t *restrict row, long count, uint8_t *restrict out)
{
    spread(row, count, 8, 7, 4, out);
}

INLINE void round_sums(const uint16_t *restrict row, long count, uint16_t round, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        uint16_t sum = (uint16_t)(row[i] + round);
        out[i] = (uint8_t)(sum >> 2);
    }
}

INLINE uint8_t to_byte(int16_t value)
{
    value = value < 0 ? 0 : value;
    value = value > 255 ? 255 : value;
    return (uint8_t)value;
}

/* value x factor / 65536, rounded, by 16-bit operations; |value| is at most 128. */
INLINE int16_t scale(int16_t value, int16_t factor)
{
    int16_t twice = (int16_t)(2 * value), high = (int16_t)((twice * factor) >> 16);
    high = (int16_t)(high + 1);
    return (int16_t)(high >> 1);
}

/* R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb (ITU-R BT.601 as JFIF has it), the factors in 16
 * bits, whole parts apart. */
INLINE void convert_row(const uint8_t *restrict luma, const uint8_t *restrict blue, const uint8_t *restrict red,
                        long count, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        int16_t y = luma[i], cb = (int16_t)(blue[i] - 128), cr = (int16_t)(red[i] - 128);
        int16_t green = (int16_t)((18734 * cr - 22554 * cb + (1 << 15)) >> 16);
        out[3 * i] = to_byte((int16_t)(y + cr + scale(cr, 26345)));
        out[3 * i + 1] = to_byte((int16_t)(y - cr + green));
        out[3 * i + 2] = to_byte((int16_t)(y + 2 * cb + scale(cb, -14942)));
    }
}
