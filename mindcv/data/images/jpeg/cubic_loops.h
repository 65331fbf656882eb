/* Filtering rows and columns. In the sets of loops. */

typedef float PairValues __attribute__((vector_size(PAIR_LANES * sizeof(float))));
typedef float PixelValues __attribute__((vector_size(4 * sizeof(float))));
typedef int32_t PixelLevels __attribute__((vector_size(4 * sizeof(int32_t))));
typedef uint8_t PixelBytes __attribute__((vector_size(sizeof(PixelLevels))));

INLINE void convert_to_floats(const uint8_t *restrict row, size_t values, float *restrict out)
{
    for (size_t i = 0; i < values; i++)
        out[i] = row[i];
}

INLINE void add_row(const uint8_t *restrict row, float weight, size_t values, float *restrict sums)
{
    for (size_t i = 0; i < values; i++)
        sums[i] += weight * row[i];
}

INLINE void round_row(const float *restrict sums, size_t values, uint8_t *restrict out)
{
    for (size_t i = 0; i < values; i++) {
        int32_t level = (int32_t)(sums[i] + 0.5f);
        out[i] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
    }
}

/* A row in new width. What lies in the last lanes of the last pair of `row` may be read, and a byte behind the last of
 * `out` is written. */
INLINE void filter_row(const float *restrict row, const Filter *filter, uint8_t *restrict out)
{
    const float *weights = filter->weights;
    for (long x = 0; x < filter->width; x++) {
        const float *from = row + filter->first[x];
        PairValues sum = {0};
        for (long pair = 0; pair < filter->pairs; pair++, from += 2 * JPEG_CHANNELS, weights += PAIR_LANES) {
            PairValues values, shares;
            memcpy(&values, from, sizeof values);
            memcpy(&shares, weights, sizeof shares);
            sum += values * shares;
        }
        PixelValues one = {sum[0], sum[1], sum[2], sum[3]}, other = {sum[3], sum[4], sum[5], sum[6]};
        PixelLevels levels = __builtin_convertvector(one + other + 0.5f, PixelLevels);
        levels &= levels >= 0;
        levels |= levels > 255;
        PixelBytes bytes = SHUFFLE(PixelBytes, (PixelBytes)levels, (PixelBytes)levels, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4,
                                   8, 12, 0, 4, 8, 12);
        memcpy(out + JPEG_CHANNELS * x, &bytes, JPEG_CHANNELS + 1);
    }
}
