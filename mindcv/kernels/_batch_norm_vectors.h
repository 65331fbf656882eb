// BatchNorm with the activation and the sum behind it, on vectors of 16. _batch_norm.cpp takes this file once for each
// kind of processor, with MINDCV_ISA as the namespace; so it includes nothing.
//
// y is the convolution's output, (N, C, pixels) or (N, pixels, C) where `last`; all other maps are (N, C, pixels).

namespace mindcv {
namespace MINDCV_ISA {

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(64)));

static inline vec load(const float *p) { return *reinterpret_cast<const vec *>(p); }
static inline void store(float *p, vec v) { *reinterpret_cast<vec *>(p) = v; }
static inline vec all(float x) { return vec{} + x; }
static inline vec load_some(const float *p, long n) {
  vec v{};
  for (long i = 0; i < n; i++) v[i] = p[i];
  return v;
}
static inline void store_some(float *p, vec v, long n) {
  for (long i = 0; i < n; i++) p[i] = v[i];
}
static inline double sum(vec v) {
  double total = 0;
  for (int i = 0; i < 16; i++) total += v[i];
  return total;
}

// bfloat16 is the upper half of fp32's bits; it is rounded to the nearest, and to even between two.
struct half {
  unsigned short bits;
};
typedef unsigned short hvec __attribute__((vector_size(32), aligned(2), may_alias));
typedef unsigned uvec __attribute__((vector_size(64)));

static inline vec load(const half *p) {
  return (vec)(__builtin_convertvector(*reinterpret_cast<const hvec *>(p), uvec) << 16);
}
static inline hvec rounded(vec v) {
  const uvec bits = (uvec)v, up = (bits + (0x7fffu + ((bits >> 16) & 1u))) >> 16;
  return __builtin_convertvector(v == v ? up : (bits >> 16) | 0x40u, hvec);
}
static inline void store(half *p, vec v) { *reinterpret_cast<hvec *>(p) = rounded(v); }
static inline vec load_some(const half *p, long n) {
  uvec v{};
  for (long i = 0; i < n; i++) v[i] = unsigned(p[i].bits) << 16;
  return (vec)v;
}
static inline void store_some(half *p, vec v, long n) {
  const hvec bits = rounded(v);
  for (long i = 0; i < n; i++) p[i].bits = bits[i];
}
static inline vec load_some_of(const void *map, bool is_half, long offset, long n) {
  return is_half ? load_some(static_cast<const half *>(map) + offset, n)
                 : load_some(static_cast<const float *>(map) + offset, n);
}

// e^x to 2 units of the last digit, between -87 and 87; as `exponential` of _vectors.h.
static inline vec exponential(vec x) {
  x = x < all(-87) ? all(-87) : x;
  x = x > all(87) ? all(87) : x;
  const vec magic = all(12582912.0f), rounded = x * all(1.44269504f) + magic, n = rounded - magic;
  const vec r = (x - n * all(0.693359375f)) + n * all(2.12194440e-4f);
  vec p = all(1.0f / 5040);
  p = p * r + all(1.0f / 720);
  p = p * r + all(1.0f / 120);
  p = p * r + all(1.0f / 24);
  p = p * r + all(1.0f / 6);
  p = p * r + all(0.5f);
  p = p * r + all(1.0f);
  p = p * r + all(1.0f);
  return p * (vec)(((uvec)rounded << 23) + 0x3f800000u);
}

template <int ACT>
static inline vec activate(vec z) {
  const vec zero{};
  if (ACT == RELU) return z > zero ? z : zero;
  if (ACT == RELU6) {
    z = z > zero ? z : zero;
    return z < all(6) ? z : all(6);
  }
  if (ACT == HSWISH) {
    vec t = z + all(3);
    t = t > zero ? t : zero;
    t = t < all(6) ? t : all(6);
    return z * t * all(1.0f / 6.0f);
  }
  if (ACT == SILU) return z / (all(1) + exponential(-z));
  return z;
}

// dout times the activation's slope at z
template <int ACT>
static inline vec slope(vec z, vec dout) {
  const vec zero{};
  if (ACT == RELU) return z > zero ? dout : zero;
  if (ACT == RELU6) return z > zero ? (z < all(6) ? dout : zero) : zero;
  if (ACT == HSWISH) {
    const vec inside = (z + z + all(3)) * all(1.0f / 6.0f) * dout;
    return z > all(-3) ? (z < all(3) ? inside : dout) : zero;
  }
  if (ACT == SILU) {
    const vec s = all(1) / (all(1) + exponential(-z));
    return dout * s * (all(1) + z * (all(1) - s));
  }
  return dout;
}

// Lanes of two vectors, by number
#ifdef __clang__
#define MINDCV_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MINDCV_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

// In registers: rows of channels at 16 pixels to rows of pixels of 16 channels, and back.
static inline void transpose(vec *r) {
  vec t[16];
#define MINDCV_LOW(a, b) MINDCV_SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define MINDCV_HIGH(a, b) MINDCV_SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define MINDCV_LOW2(a, b) MINDCV_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define MINDCV_HIGH2(a, b) MINDCV_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define MINDCV_LANES(a, b, i, j)                                                                                   \
  MINDCV_SHUFFLE(a, b, 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * j, 4 * j + 1, 4 * j + 2, 4 * j + 3,             \
                 16 + 4 * i, 17 + 4 * i, 18 + 4 * i, 19 + 4 * i, 16 + 4 * j, 17 + 4 * j, 18 + 4 * j, 19 + 4 * j)
  for (int i = 0; i < 8; i++) {
    t[2 * i] = MINDCV_LOW(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = MINDCV_HIGH(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    r[4 * i] = MINDCV_LOW2(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = MINDCV_HIGH2(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = MINDCV_LOW2(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = MINDCV_HIGH2(t[4 * i + 1], t[4 * i + 3]);
  }
  // r[4g + k] has column k of each 4x4 block: lane l of it is column 4l + k, rows 4g to 4g + 3.
  for (int k = 0; k < 4; k++) {
    const vec a = MINDCV_LANES(r[k], r[4 + k], 0, 2), b = MINDCV_LANES(r[8 + k], r[12 + k], 0, 2);
    const vec c = MINDCV_LANES(r[k], r[4 + k], 1, 3), d = MINDCV_LANES(r[8 + k], r[12 + k], 1, 3);
    // a: lanes (g0 l0) (g0 l2) (g1 l0) (g1 l2); b the same of g2 and g3
    t[k] = MINDCV_LANES(a, b, 0, 2);
    t[8 + k] = MINDCV_LANES(a, b, 1, 3);
    t[4 + k] = MINDCV_LANES(c, d, 0, 2);
    t[12 + k] = MINDCV_LANES(c, d, 1, 3);
  }
  for (int i = 0; i < 16; i++) r[i] = t[i];
#undef MINDCV_LOW
#undef MINDCV_HIGH
#undef MINDCV_LOW2
#undef MINDCV_HIGH2
#undef MINDCV_LANES
#undef MINDCV_SHUFFLE
}

// ---- (N, C, pixels): channel after channel, whose second pass finds it in the cache

static void moments_of_channel(const Norm &p, long c, double &mean, double &variance) {
  const long pixels = p.pixels;
  const float *first = p.y + c * pixels;
  const long probe = pixels < 64 ? pixels : 64;
  float origin = 0;
  for (long i = 0; i < probe; i++) origin += first[i];
  origin /= probe;  // near the mean, so that little is lost where it is large
  const vec o = all(origin);
  double total = 0, squares = 0;
  for (long n = 0; n < p.images; n++) {
    const float *y = p.y + (n * p.channels + c) * pixels;
    vec s0{}, s1{}, q0{}, q1{};
    long i = 0;
    for (; i + 32 <= pixels; i += 32) {
      const vec a = load(y + i) - o, b = load(y + i + 16) - o;
      s0 += a;
      q0 += a * a;
      s1 += b;
      q1 += b * b;
    }
    double s = 0, q = 0;
    for (; i < pixels; i++) {
      const float a = y[i] - origin;
      s += a;
      q += double(a) * a;
    }
    total += sum(s0 + s1) + s;
    squares += sum(q0 + q1) + q;
  }
  const double count = double(p.images) * pixels, shift = total / count;
  mean = origin + shift;
  variance = squares / count - shift * shift;
  if (variance < 0) variance = 0;
}

template <int ACT, bool ADDS>
static void forward_channels(const Norm &p, long begin, long end) {
  for (long c = begin; c < end; c++) {
    if (p.training) {
      double mean, variance;
      moments_of_channel(p, c, mean, variance);
      p.set_statistics(c, mean, variance);
    }
    const float scale = p.scales[c], shift = p.shifts[c];
    const vec a = all(scale), b = all(shift);
    for (long n = 0; n < p.images; n++) {
      const long offset = (n * p.channels + c) * p.pixels;
      const float *y = p.y + offset, *other = p.residual + offset;
      float *out = p.out + offset;
      long i = 0;
      for (; i + 16 <= p.pixels; i += 16) {
        vec z = load(y + i) * a + b;
        if (ADDS) z += load(other + i);
        store(out + i, activate<ACT>(z));
      }
      if (i < p.pixels) {
        const long rest = p.pixels - i;
        vec z = load_some(y + i, rest) * a + b;
        if (ADDS) z += load_some(other + i, rest);
        store_some(out + i, activate<ACT>(z), rest);
      }
    }
  }
}

// With a sum behind the norm, only ReLU (or nothing) follows, whose slope the output tells.
template <int ACT, bool ADDS>
static inline vec before_activation(const vec y, const vec out, const vec a, const vec b) {
  return ADDS ? out : y * a + b;
}

template <int ACT, bool ADDS>
static void backward_channels(const Norm &p, long begin, long end) {
  for (long c = begin; c < end; c++) {
    const vec a = all(p.scales[c]), b = all(p.shifts[c]), m = all(p.mean[c]);
    double total = 0, products = 0;
    for (long n = 0; n < p.images; n++) {
      const long offset = (n * p.channels + c) * p.pixels;
      const float *y = p.y + offset, *dout = p.dout + offset, *out = p.out + offset;
      vec s0{}, s1{}, q0{}, q1{};
      long i = 0;
      for (; i + 32 <= p.pixels; i += 32) {
        const vec y0 = load(y + i), y1 = load(y + i + 16);
        const vec o0 = ADDS ? load(out + i) : y0, o1 = ADDS ? load(out + i + 16) : y1;
        const vec d0 = slope<ACT>(before_activation<ACT, ADDS>(y0, o0, a, b), load(dout + i));
        const vec d1 = slope<ACT>(before_activation<ACT, ADDS>(y1, o1, a, b), load(dout + i + 16));
        s0 += d0;
        s1 += d1;
        q0 += d0 * (y0 - m);
        q1 += d1 * (y1 - m);
      }
      for (; i < p.pixels; i += 16) {
        const long rest = p.pixels - i < 16 ? p.pixels - i : 16;
        const vec y0 = load_some(y + i, rest), o0 = ADDS ? load_some(out + i, rest) : y0;
        const vec d0 = slope<ACT>(before_activation<ACT, ADDS>(y0, o0, a, b), load_some(dout + i, rest));
        s0 += d0;  // beyond the end dout is 0
        q0 += d0 * (y0 - m);
      }
      total += sum(s0 + s1);
      products += sum(q0 + q1);
    }
    const double inverse = p.inverses[c], count = double(p.images) * p.pixels;
    p.dbeta[c] = float(total);
    p.dgamma[c] = float(products * inverse);
    // dy = a (dz - mean(dz) - (y - mean) mean(dz (y - mean)) / variance)
    const vec k = all(p.training ? float(-p.scales[c] * products * inverse * inverse / count) : 0.0f);
    const vec l = all(p.training ? float(-p.scales[c] * total / count) : 0.0f);
    for (long n = 0; n < p.images; n++) {
      const long offset = (n * p.channels + c) * p.pixels;
      const float *y = p.y + offset, *dout = p.dout + offset, *out = p.out + offset;
      float *dy = p.dy + offset, *dother = p.dresidual + offset;
      long i = 0;
      for (; i + 16 <= p.pixels; i += 16) {
        const vec y0 = load(y + i), o0 = ADDS ? load(out + i) : y0;
        const vec d0 = slope<ACT>(before_activation<ACT, ADDS>(y0, o0, a, b), load(dout + i));
        if (ADDS) store(dother + i, d0);
        store(dy + i, a * d0 + (k * (y0 - m) + l));
      }
      if (i < p.pixels) {
        const long rest = p.pixels - i;
        const vec y0 = load_some(y + i, rest), o0 = ADDS ? load_some(out + i, rest) : y0;
        const vec d0 = slope<ACT>(before_activation<ACT, ADDS>(y0, o0, a, b), load_some(dout + i, rest));
        if (ADDS) store_some(dother + i, d0, rest);
        store_some(dy + i, a * d0 + (k * (y0 - m) + l), rest);
      }
    }
  }
}

// ---- (N, pixels, C): rows of channels; what comes out is turned to (N, C, pixels) on the way

// First channels of up to `most` vectors from `group` on. The last one of all ends with the last channel, so it may
// have channels of the one before; of less than 16 channels there is one, with fewer lanes.
static inline long vectors_of(long channels, long group, long most, long *first) {
  long count = 0;
  for (long c = group; c < channels && count < most; c += 16)
    first[count++] = c + 16 <= channels || channels < 16 ? c : channels - 16;
  return count;
}

// Adds the vectors' lanes to the channels' sums, each channel's once.
static inline void add_lanes(const vec *values, const long *first, long channels, long group, long count,
                             double *sums) {
  for (long c = group; c < channels && c < group + 16 * count; c++) {
    const long k = (c - group) / 16;
    sums[c] += values[k][c - first[k]];
  }
}

// Adds rows begin to end, less `origin`, and their squares to the sums of this part.
template <class T>
static void moments_of_rows(const Norm &p, long begin, long end, const float *origin, double *total, double *squares) {
  const long channels = p.channels;
  for (long from = begin; from < end; from += 256) {
    const long to = from + 256 < end ? from + 256 : end;
    for (long group = 0; group < channels; group += 64) {
      const T *y = reinterpret_cast<const T *>(p.y) + from * channels + group;
      vec s[4]{}, q[4]{};
      long first[4];
      const long count = vectors_of(channels, group, 4, first);
      if (count == 4 && first[3] == group + 48) {
        vec o[4];
        for (int k = 0; k < 4; k++) o[k] = load(origin + group + 16 * k);
        for (long row = from; row < to; row++, y += channels)
          for (int k = 0; k < 4; k++) {
            const vec a = load(y + 16 * k) - o[k];
            s[k] += a;
            q[k] += a * a;
          }
      } else if (channels >= 16) {
        y -= group;
        for (long row = from; row < to; row++, y += channels)
          for (long k = 0; k < count; k++) {
            const vec a = load(y + first[k]) - load(origin + first[k]);
            s[k] += a;
            q[k] += a * a;
          }
      } else {
        const vec o = load_some(origin, channels);
        for (long row = from; row < to; row++, y += channels) {
          const vec a = load_some(y, channels) - o;
          s[0] += a;
          q[0] += a * a;
        }
      }
      add_lanes(s, first, channels, group, count, total);
      add_lanes(q, first, channels, group, count, squares);
    }
  }
}

// ---- (N, pixels, C) in and out

template <class T, int ACT, bool ADDS>
static void forward_rows(const Norm &p, long begin, long end) {
  const long channels = p.channels;
  for (long row = begin; row < end; row++) {
    const T *y = reinterpret_cast<const T *>(p.y) + row * channels;
    const T *other = reinterpret_cast<const T *>(p.residual) + row * channels;
    T *out = reinterpret_cast<T *>(p.out) + row * channels;
    long c = 0;
    for (; c + 16 <= channels; c += 16) {
      vec z = load(y + c) * load(p.scales + c) + load(p.shifts + c);
      if (ADDS) z += load(other + c);
      store(out + c, activate<ACT>(z));
    }
    if (c < channels && channels >= 16) {  // once more up to the last channel
      c = channels - 16;
      vec z = load(y + c) * load(p.scales + c) + load(p.shifts + c);
      if (ADDS) z += load(other + c);
      store(out + c, activate<ACT>(z));
    } else if (c < channels) {
      const long rest = channels - c;
      vec z = load_some(y + c, rest) * load_some(p.scales + c, rest) + load_some(p.shifts + c, rest);
      if (ADDS) z += load_some(other + c, rest);
      store_some(out + c, activate<ACT>(z), rest);
    }
  }
}

// dz of 16 channels, or of the first `rest`, at an offset
template <class T, int ACT, bool ADDS>
static inline vec dz_of(const Norm &p, long offset, vec y, vec a, vec b, long rest) {
  const T *dout = reinterpret_cast<const T *>(p.dout) + offset, *out = reinterpret_cast<const T *>(p.out) + offset;
  const vec d = rest == 16 ? load(dout) : load_some(dout, rest);
  if (ADDS) return slope<ACT>(rest == 16 ? load(out) : load_some(out, rest), d);
  return slope<ACT>(y * a + b, d);
}

// Adds the sums of dz and of its products with y - mean.
template <class T, int ACT, bool ADDS>
static void sums_of_rows(const Norm &p, long begin, long end, double *total, double *products) {
  const long channels = p.channels;
  const T *y = reinterpret_cast<const T *>(p.y);
  for (long from = begin; from < end; from += 256) {
    const long to = from + 256 < end ? from + 256 : end;
    for (long group = 0; group < channels; group += 32) {
      vec s[2]{}, q[2]{};
      long first[2];
      const long count = vectors_of(channels, group, 2, first);
      if (channels >= 16) {
        vec a[2], b[2], m[2];
        for (long k = 0; k < count; k++) {
          a[k] = load(p.scales + first[k]);
          b[k] = load(p.shifts + first[k]);
          m[k] = load(p.mean + first[k]);
        }
        for (long row = from; row < to; row++)
          for (long k = 0; k < count; k++) {
            const long offset = row * channels + first[k];
            const vec value = load(y + offset), d = dz_of<T, ACT, ADDS>(p, offset, value, a[k], b[k], 16);
            s[k] += d;
            q[k] += d * (value - m[k]);
          }
      } else {
        const vec a = load_some(p.scales, channels), b = load_some(p.shifts, channels), m = load_some(p.mean, channels);
        for (long row = from; row < to; row++) {
          const long offset = row * channels;
          const vec value = load_some(y + offset, channels), d = dz_of<T, ACT, ADDS>(p, offset, value, a, b, channels);
          s[0] += d;
          q[0] += d * (value - m);
        }
      }
      add_lanes(s, first, channels, group, count, total);
      add_lanes(q, first, channels, group, count, products);
    }
  }
}

template <class T, int ACT, bool ADDS>
static void backward_rows(const Norm &p, long begin, long end, const float *k, const float *l) {
  const long channels = p.channels;
  const T *maps = reinterpret_cast<const T *>(p.y);
  T *dy = reinterpret_cast<T *>(p.dy), *dother = reinterpret_cast<T *>(p.dresidual);
  for (long row = begin; row < end; row++) {
    long c = 0;
    for (; c + 16 <= channels; c += 16) {
      const long offset = row * channels + c;
      const vec y = load(maps + offset), a = load(p.scales + c);
      const vec d = dz_of<T, ACT, ADDS>(p, offset, y, a, load(p.shifts + c), 16);
      if (ADDS) store(dother + offset, d);
      store(dy + offset, a * d + (load(k + c) * (y - load(p.mean + c)) + load(l + c)));
    }
    if (c < channels && channels >= 16) {  // once more up to the last channel
      c = channels - 16;
      const long offset = row * channels + c;
      const vec y = load(maps + offset), a = load(p.scales + c);
      const vec d = dz_of<T, ACT, ADDS>(p, offset, y, a, load(p.shifts + c), 16);
      if (ADDS) store(dother + offset, d);
      store(dy + offset, a * d + (load(k + c) * (y - load(p.mean + c)) + load(l + c)));
    } else if (c < channels) {
      const long offset = row * channels + c, rest = channels - c;
      const vec y = load_some(maps + offset, rest), a = load_some(p.scales + c, rest);
      const vec d = dz_of<T, ACT, ADDS>(p, offset, y, a, load_some(p.shifts + c, rest), rest);
      if (ADDS) store_some(dother + offset, d, rest);
      store_some(dy + offset,
                 a * d + (load_some(k + c, rest) * (y - load_some(p.mean + c, rest)) + load_some(l + c, rest)), rest);
    }
  }
}

// ---- (N, pixels, C) in, (N, C, pixels) out

// Pixels begin to end of an image: y (pixels, C) to out (C, pixels).
template <int ACT, bool ADDS>
static void forward_turned(const Norm &p, long n, long begin, long end) {
  const long channels = p.channels, pixels = p.pixels;
  const float *image = p.y + n * pixels * channels;
  vec r[16];
  for (long group = 0; group < channels; group += 64) {
    const long last = group + 64 < channels ? group + 64 : channels;
    for (long i = begin; i < end; i += 16) {
      const long width = end - i < 16 ? end - i : 16;
      for (long c = group; c < last; c += 16) {
        const long height = channels - c < 16 ? channels - c : 16;
        const bool whole = width == 16 && height == 16;
        const vec a = load_some(p.scales + c, height), b = load_some(p.shifts + c, height);
        for (long k = 0; k < 16; k++) {
          if (k >= width) {
            r[k] = vec{};
            continue;
          }
          const float *y = image + (i + k) * channels + c;
          r[k] = (whole ? load(y) : load_some(y, height)) * a + b;
          if (!ADDS) r[k] = activate<ACT>(r[k]);
        }
        transpose(r);
        for (long k = 0; k < height; k++) {
          const long offset = (n * channels + c + k) * pixels + i;
          vec z = r[k];
          if (ADDS) z = activate<ACT>(z + (whole ? load(p.residual + offset) : load_some(p.residual + offset, width)));
          if (whole) store(p.out + offset, z);
          else store_some(p.out + offset, z, width);
        }
      }
    }
  }
}

// dz of these pixels, turned to (pixels, C), into dy; adds the sums over them.
template <int ACT, bool ADDS>
static void backward_turned(const Norm &p, long n, long begin, long end, double *total, double *products) {
  const long channels = p.channels, pixels = p.pixels;
  vec r[16];
  for (long group = 0; group < channels; group += 64) {
    const long last = group + 64 < channels ? group + 64 : channels;
    vec s[4]{}, q[4]{};
    for (long i = begin; i < end; i += 16) {
      const long width = end - i < 16 ? end - i : 16;
      for (long c = group; c < last; c += 16) {
        const long height = channels - c < 16 ? channels - c : 16, block = (c - group) / 16;
        const bool whole = width == 16 && height == 16;
        for (long k = 0; k < 16; k++) {
          if (k >= height) {
            r[k] = vec{};
            continue;
          }
          const long offset = (n * channels + c + k) * pixels + i;
          r[k] = whole ? load(p.dout + offset) : load_some(p.dout + offset, width);
          if (ADDS) {
            r[k] = slope<ACT>(whole ? load(p.out + offset) : load_some(p.out + offset, width), r[k]);
            if (whole) store(p.dresidual + offset, r[k]);
            else store_some(p.dresidual + offset, r[k], width);
          }
        }
        transpose(r);
        const vec a = load_some(p.scales + c, height), b = load_some(p.shifts + c, height),
                  m = load_some(p.mean + c, height);
        for (long k = 0; k < width; k++) {
          const long offset = (n * pixels + i + k) * channels + c;
          const vec y = whole ? load(p.y + offset) : load_some(p.y + offset, height);
          const vec d = ADDS ? r[k] : slope<ACT>(y * a + b, r[k]);
          s[block] += d;
          q[block] += d * (y - m);
          if (whole) store(p.dy + offset, d);
          else store_some(p.dy + offset, d, height);
        }
      }
    }
    for (long c = group; c < last; c++) {
      total[c] += s[(c - group) / 16][(c - group) % 16];
      products[c] += q[(c - group) / 16][(c - group) % 16];
    }
  }
}

// dy, which holds dz, of rows begin to end.
static void finish_rows(const Norm &p, long begin, long end, const float *k, const float *l) {
  const long channels = p.channels;
  for (long row = begin; row < end; row++) {
    const float *y = p.y + row * channels;
    float *dy = p.dy + row * channels;
    long c = 0;
    for (; c + 16 <= channels; c += 16)
      store(dy + c, load(p.scales + c) * load(dy + c) + (load(k + c) * (load(y + c) - load(p.mean + c)) + load(l + c)));
    for (; c < channels; c++) dy[c] = p.scales[c] * dy[c] + (k[c] * (y[c] - p.mean[c]) + l[c]);
  }
}

#define MINDCV_BY_ACTIVATION(function, ...)                                                              \
  switch (p.activation) {                                                                                \
    case RELU: p.adds ? function<RELU, true>(__VA_ARGS__) : function<RELU, false>(__VA_ARGS__); break;   \
    case RELU6: function<RELU6, false>(__VA_ARGS__); break;                                              \
    case HSWISH: function<HSWISH, false>(__VA_ARGS__); break;                                            \
    case SILU: function<SILU, false>(__VA_ARGS__); break;                                                \
    default: p.adds ? function<NONE, true>(__VA_ARGS__) : function<NONE, false>(__VA_ARGS__);            \
  }

static void run_forward_channels(const Norm &p, long begin, long end) {
  MINDCV_BY_ACTIVATION(forward_channels, p, begin, end)
}
static void run_backward_channels(const Norm &p, long begin, long end) {
  MINDCV_BY_ACTIVATION(backward_channels, p, begin, end)
}
static void run_forward_turned(const Norm &p, long n, long begin, long end) {
  MINDCV_BY_ACTIVATION(forward_turned, p, n, begin, end)
}
static void run_backward_turned(const Norm &p, long n, long begin, long end, double *total, double *products) {
  MINDCV_BY_ACTIVATION(backward_turned, p, n, begin, end, total, products)
}
#undef MINDCV_BY_ACTIVATION

#define MINDCV_BY_TYPE(function, ...)                                                                                \
  switch (p.activation) {                                                                                            \
    case RELU: p.adds ? function<T, RELU, true>(__VA_ARGS__) : function<T, RELU, false>(__VA_ARGS__); break;         \
    case RELU6: function<T, RELU6, false>(__VA_ARGS__); break;                                                       \
    case HSWISH: function<T, HSWISH, false>(__VA_ARGS__); break;                                                     \
    case SILU: function<T, SILU, false>(__VA_ARGS__); break;                                                         \
    default: p.adds ? function<T, NONE, true>(__VA_ARGS__) : function<T, NONE, false>(__VA_ARGS__);                  \
  }

template <class T>
struct Rows {
  static void forward(const Norm &p, long begin, long end) { MINDCV_BY_TYPE(forward_rows, p, begin, end) }
  static void sums(const Norm &p, long begin, long end, double *total, double *products) {
    MINDCV_BY_TYPE(sums_of_rows, p, begin, end, total, products)
  }
  static void backward(const Norm &p, long begin, long end, const float *k, const float *l) {
    MINDCV_BY_TYPE(backward_rows, p, begin, end, k, l)
  }
};
#undef MINDCV_BY_TYPE

static void run_moments_of_rows(const Norm &p, long begin, long end, const float *origin, double *total,
                                double *squares) {
  (p.half ? moments_of_rows<half> : moments_of_rows<float>)(p, begin, end, origin, total, squares);
}
static void run_forward_rows(const Norm &p, long begin, long end) {
  (p.half ? Rows<half>::forward : Rows<float>::forward)(p, begin, end);
}
static void run_sums_of_rows(const Norm &p, long begin, long end, double *total, double *products) {
  (p.half ? Rows<half>::sums : Rows<float>::sums)(p, begin, end, total, products);
}
static void run_backward_rows(const Norm &p, long begin, long end, const float *k, const float *l) {
  (p.half ? Rows<half>::backward : Rows<float>::backward)(p, begin, end, k, l);
}

const Routines routines = {run_forward_channels, run_backward_channels, run_moments_of_rows, run_forward_turned,
                           run_backward_turned,  finish_rows,           run_forward_rows,    run_sums_of_rows,
                           run_backward_rows};

}  // namespace MINDCV_ISA
}  // namespace mindcv
