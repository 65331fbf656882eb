// Vectors of 16 channels have 4 or 2 whole groups. Turned within its groups by r places, a vector of inputs has at each
// output of a group another of the group's inputs, so a product of all pairs takes as many turns as a group has
// channels.
#include "_grouped.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <vector>

#include "_shared.h"

#define WIDE __attribute__((target("avx512f")))
#define WIDE_INLINED static inline __attribute__((always_inline, target("avx512f")))
#endif

namespace mindcv {

#if defined(__x86_64__)
namespace {

constexpr long kRows = 8;      // whose values stay in the cache
constexpr int kPixels = 7;     // outputs that are summed at once
constexpr long kVector = 16;

// The forms with a mask, of all lanes: gcc warns of the others' own undefined vectors.
template <int WIDTH>
WIDE_INLINED __m512 turned(__m512 v, int r) {
  if (r == 0) return v;
  if (WIDTH == 4) {
    if (r == 1) return _mm512_maskz_permute_ps(0xffff, v, 0x39);
    return r == 2 ? _mm512_maskz_permute_ps(0xffff, v, 0x4e) : _mm512_maskz_permute_ps(0xffff, v, 0x93);
  }
  const int a = r & 7, b = (r + 1) & 7, c = (r + 2) & 7, d = (r + 3) & 7, e = a ^ 4, f = b ^ 4, g = c ^ 4, h = d ^ 4;
  const __m512i lanes =
      _mm512_setr_epi32(a, b, c, d, e, f, g, h, 8 | a, 8 | b, 8 | c, 8 | d, 8 | e, 8 | f, 8 | g, 8 | h);
  return _mm512_maskz_permutexvar_ps(0xffff, lanes, v);
}

// PIXELS outputs from (oy, ox) on, of 16 channels; `INSIDE`: they read no pixel beyond the sides.
template <int WIDTH, int STRIDE, int PIXELS, bool INSIDE>
WIDE_INLINED void outputs(const Grouped &p, const float *image, const float *w, float *y, long oy, long ox) {
  __m512 sums[PIXELS];
  for (int j = 0; j < PIXELS; j++) sums[j] = _mm512_setzero_ps();
  const long first = ox * STRIDE - p.left;
  for (long kh = 0; kh < 3; kh++) {
    const long iy = oy * STRIDE + kh - p.top;
    if (iy < 0 || iy >= p.ih) continue;
    const float *row = image + (iy * p.iw + first) * p.channels;
#pragma GCC unroll 8
    for (int r = 0; r < WIDTH; r++) {
      __m512 factors[3];
#pragma GCC unroll 3
      for (int kw = 0; kw < 3; kw++) factors[kw] = _mm512_loadu_ps(w + ((kh * 3 + kw) * WIDTH + r) * kVector);
#pragma GCC unroll 16
      for (int i = 0; i < (PIXELS - 1) * STRIDE + 3; i++) {
        if (!INSIDE && (first + i < 0 || first + i >= p.iw)) continue;
        const __m512 v = turned<WIDTH>(_mm512_loadu_ps(row + i * p.channels), r);
#pragma GCC unroll 3
        for (int kw = 0; kw < 3; kw++)
          if (i >= kw && (i - kw) % STRIDE == 0 && (i - kw) / STRIDE < PIXELS)
            sums[(i - kw) / STRIDE] = _mm512_fmadd_ps(factors[kw], v, sums[(i - kw) / STRIDE]);
      }
    }
  }
  for (int j = 0; j < PIXELS; j++) _mm512_storeu_ps(y + ((oy * p.ow + ox + j) * p.channels), sums[j]);
}

// Rows begin to end of all images' outputs.
template <int WIDTH, int STRIDE>
WIDE void forward_rows(const Grouped &p, const float *x, const float *w, float *y, long begin, long end) {
  for (long from = begin; from < end; from += kRows)
    for (long c = 0; c < p.channels; c += kVector)
      for (long at = from; at < end && at < from + kRows; at++) {
        const long n = at / p.oh, oy = at % p.oh;
        const float *image = x + n * p.ih * p.iw * p.channels + c, *factors = w + c * 9 * WIDTH;
        float *out = y + n * p.oh * p.ow * p.channels + c;
        long ox = 0;
        for (; ox + kPixels <= p.ow; ox += kPixels) {
          const long first = ox * STRIDE - p.left;
          if (first >= 0 && first + (kPixels - 1) * STRIDE + 3 <= p.iw)
            outputs<WIDTH, STRIDE, kPixels, true>(p, image, factors, out, oy, ox);
          else
            outputs<WIDTH, STRIDE, kPixels, false>(p, image, factors, out, oy, ox);
        }
        for (; ox < p.ow; ox++) outputs<WIDTH, STRIDE, 1, false>(p, image, factors, out, oy, ox);
      }
}

// Adds to `sums`, (3, 3, WIDTH, 16), of 16 channels what rows begin to end give.
template <int WIDTH, int STRIDE>
WIDE void weight_sums(const Grouped &p, const float *x, const float *dy, double *sums, long begin, long end) {
  for (long kh = 0; kh < 3; kh++) {
    __m512 totals[3][WIDTH];
    for (int kw = 0; kw < 3; kw++)
      for (int r = 0; r < WIDTH; r++) totals[kw][r] = _mm512_setzero_ps();
    for (long at = begin; at < end; at++) {
      const long n = at / p.oh, iy = at % p.oh * STRIDE + kh - p.top;
      if (iy < 0 || iy >= p.ih) continue;
      const float *from = x + (n * p.ih + iy) * p.iw * p.channels, *d = dy + at * p.ow * p.channels;
      for (long ix = 0; ix < p.iw; ix++) {
        const __m512 v = _mm512_loadu_ps(from + ix * p.channels);
        __m512 given[3];
        bool any = false;
#pragma GCC unroll 3
        for (int kw = 0; kw < 3; kw++) {
          const long place = ix + p.left - kw;
          const bool is_read = place >= 0 && place % STRIDE == 0 && place / STRIDE < p.ow;
          given[kw] = is_read ? _mm512_loadu_ps(d + place / STRIDE * p.channels) : _mm512_setzero_ps();
          any = any || is_read;
        }
        if (!any) continue;
#pragma GCC unroll 8
        for (int r = 0; r < WIDTH; r++) {
          const __m512 other = turned<WIDTH>(v, r);
#pragma GCC unroll 3
          for (int kw = 0; kw < 3; kw++) totals[kw][r] = _mm512_fmadd_ps(given[kw], other, totals[kw][r]);
        }
      }
    }
    for (int kw = 0; kw < 3; kw++)
      for (int r = 0; r < WIDTH; r++) {
        float values[kVector];
        _mm512_storeu_ps(values, totals[kw][r]);
        double *to = sums + ((kh * 3 + kw) * WIDTH + r) * kVector;
        for (int lane = 0; lane < kVector; lane++) to[lane] += double(values[lane]);
      }
  }
}

// Of vector c / 16, turned by r: lane's output o and input i stand in w (channels, width, 3, 3) at the place given to
// `each`.
template <class Each>
void for_weights(const Grouped &p, Each each) {
  for (long c = 0; c < p.channels; c++) {
    const long lane = c % kVector, group = c / p.width * p.width;
    for (long r = 0; r < p.width; r++)
      for (long tap = 0; tap < 9; tap++) {
        const long packed = (c - lane) * 9 * p.width + (tap * p.width + r) * kVector + lane;
        each(packed, c, group, (c - group + r) % p.width, tap);
      }
  }
}

template <int WIDTH, int STRIDE>
void run_forward(const Grouped &p, const float *x, const float *w, float *y) {
  const int threads = shared().pool.get_num_threads();
  const long rows = p.n * p.oh;
  shared().pool.parallel_for(threads, [&](int t, int) {
    forward_rows<WIDTH, STRIDE>(p, x, w, y, rows * t / threads, rows * (t + 1) / threads);
  });
}

void forward(const Grouped &p, const float *x, const float *w, float *y) {
  if (p.width == 4) (p.stride == 1 ? run_forward<4, 1> : run_forward<4, 2>)(p, x, w, y);
  else (p.stride == 1 ? run_forward<8, 1> : run_forward<8, 2>)(p, x, w, y);
}

}  // namespace

bool has_grouped(const Grouped &p) {
  static const bool is_wide = __builtin_cpu_supports("avx512f");
  return is_wide && (p.width == 4 || p.width == 8) && p.channels % kVector == 0 && (p.stride == 1 || p.stride == 2);
}

void grouped_forward(const Grouped &p, const float *x, const float *w, float *y) {
  std::vector<float> packed(p.channels * 9 * p.width);
  for_weights(p, [&](long at, long c, long, long i, long tap) { packed[at] = w[(c * p.width + i) * 9 + tap]; });
  forward(p, x, packed.data(), y);
}

void grouped_backward_data(const Grouped &p, const float *dy, const float *w, float *dx) {
  Grouped back = p;
  back.ih = p.oh;
  back.iw = p.ow;
  back.oh = p.ih;
  back.ow = p.iw;
  back.top = 2 - p.top;
  back.left = 2 - p.left;
  std::vector<float> packed(p.channels * 9 * p.width);
  for_weights(p, [&](long at, long c, long group, long i, long tap) {
    packed[at] = w[((group + i) * p.width + c - group) * 9 + 8 - tap];
  });
  forward(back, dy, packed.data(), dx);
}

void grouped_backward_weights(const Grouped &p, const float *x, const float *dy, float *dw) {
  const int threads = shared().pool.get_num_threads();
  const long values = p.channels * 9 * p.width, rows = p.n * p.oh;
  std::vector<std::vector<double>> sums(threads, std::vector<double>(values, 0.0));
  auto *add = p.width == 4 ? (p.stride == 1 ? weight_sums<4, 1> : weight_sums<4, 2>)
                           : (p.stride == 1 ? weight_sums<8, 1> : weight_sums<8, 2>);
  shared().pool.parallel_for(threads, [&](int t, int) {
    const long last = rows * (t + 1) / threads;
    for (long from = rows * t / threads; from < last; from += kRows)
      for (long c = 0; c < p.channels; c += kVector)
        add(p, x + c, dy + c, &sums[t][c * 9 * p.width], from, from + kRows < last ? from + kRows : last);
  });
  for_weights(p, [&](long at, long c, long, long i, long tap) {
    double total = 0;
    for (const auto &of_thread : sums) total += of_thread[at];
    dw[(c * p.width + i) * 9 + tap] = float(total);
  });
}

#else

bool has_grouped(const Grouped &) { return false; }
void grouped_forward(const Grouped &, const float *, const float *, float *) {}
void grouped_backward_data(const Grouped &, const float *, const float *, float *) {}
void grouped_backward_weights(const Grouped &, const float *, const float *, float *) {}

#endif

}  // namespace mindcv
