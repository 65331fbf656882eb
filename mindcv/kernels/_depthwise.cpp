#include "_depthwise.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <vector>

#include "_shared.h"
#endif

namespace mindcv {

#if defined(__x86_64__)
namespace {

constexpr long kVector = 16, kLargest = 7;

// Adds to `sums`, (side, side, 16), of 16 channels what row `oy` of an image's outputs gives to rows FIRST to FIRST +
// ROWS of the kernel. `lines`: the inputs' rows that these read; beyond the sides they are zeros.
template <int SIDE, int FIRST, int ROWS>
static inline __attribute__((always_inline, target("avx512f"))) void add_row(const Depthwise &p,
                                                                             const float *const *lines, const float *dy,
                                                                             float *sums) {
  __m512 totals[ROWS][SIDE];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
    for (int k = 0; k < SIDE; k++) totals[r][k] = _mm512_loadu_ps(sums + ((FIRST + r) * SIDE + k) * kVector);
  for (long ox = 0; ox < p.ow; ox++) {
    const __m512 d = _mm512_loadu_ps(dy + ox * p.channels);
    const long first = ox * p.stride - p.left;
#pragma GCC unroll 8
    for (int k = 0; k < SIDE; k++) {
      if (first + k < 0 || first + k >= p.iw) continue;
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++)
        totals[r][k] = _mm512_fmadd_ps(d, _mm512_loadu_ps(lines[FIRST + r] + (first + k) * p.channels), totals[r][k]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
    for (int k = 0; k < SIDE; k++) _mm512_storeu_ps(sums + ((FIRST + r) * SIDE + k) * kVector, totals[r][k]);
}

// As many sums at once as there are registers for.
template <int SIDE>
__attribute__((target("avx512f"))) void add_rows(const Depthwise &p, const float *const *lines, const float *dy,
                                                 float *sums) {
  if constexpr (SIDE < 7) {
    add_row<SIDE, 0, SIDE>(p, lines, dy, sums);
  } else {
    add_row<SIDE, 0, 3>(p, lines, dy, sums);
    add_row<SIDE, 3, 2>(p, lines, dy, sums);
    add_row<SIDE, 5, 2>(p, lines, dy, sums);
  }
}

}  // namespace

bool has_depthwise(const Depthwise &p) {
  static const bool is_wide = __builtin_cpu_supports("avx512f");
  return is_wide && (p.side == 5 || p.side == 7) && p.channels >= kVector;
}

void depthwise_backward_weights(const Depthwise &p, const float *x, const float *dy, float *dw) {
  const int threads = shared().pool.get_num_threads();
  const long taps = p.side * p.side, vectors = (p.channels + kVector - 1) / kVector, rows = p.n * p.oh;
  // The last vector ends with the last channel, so it may share channels with the one before.
  auto channel_of = [&](long vector) { return std::min(vector * kVector, p.channels - kVector); };
  auto *add = p.side == 5 ? add_rows<5> : add_rows<7>;
  const std::vector<float> zeros(p.iw * p.channels, 0.0f);
  std::vector<std::vector<double>> totals(threads, std::vector<double>(vectors * taps * kVector, 0.0));
  shared().pool.parallel_for(threads, [&](int t, int) {
    const long begin = rows * t / threads, end = rows * (t + 1) / threads;
    std::vector<float> sums(vectors * taps * kVector, 0.0f);  // of one image, in fp32
    for (long at = begin; at < end; at++) {
      const long n = at / p.oh, first = at % p.oh * p.stride - p.top;
      const float *lines[kLargest];
      for (long v = 0; v < vectors; v++) {
        const long c = channel_of(v);
        for (long r = 0; r < p.side; r++) {
          const bool is_inside = first + r >= 0 && first + r < p.ih;
          lines[r] = (is_inside ? x + (n * p.ih + first + r) * p.iw * p.channels : zeros.data()) + c;
        }
        add(p, lines, dy + at * p.ow * p.channels + c, &sums[v * taps * kVector]);
      }
      if (at + 1 < end && (at + 1) % p.oh != 0) continue;
      for (size_t i = 0; i < sums.size(); i++) totals[t][i] += double(sums[i]);
      std::fill(sums.begin(), sums.end(), 0.0f);
    }
  });
  for (long v = 0; v < vectors; v++)
    for (long tap = 0; tap < taps; tap++)
      for (long lane = 0; lane < kVector; lane++) {
        double total = 0;
        for (const auto &of_thread : totals) total += of_thread[(v * taps + tap) * kVector + lane];
        dw[(channel_of(v) + lane) * taps + tap] = float(total);
      }
}

#else

bool has_depthwise(const Depthwise &) { return false; }
void depthwise_backward_weights(const Depthwise &, const float *, const float *, float *) {}

#endif

}  // namespace mindcv
