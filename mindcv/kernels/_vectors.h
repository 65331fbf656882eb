// Vectors of 16 floats in functions that are compiled for several kinds of processors (FOR_PROCESSORS).
#ifndef MINDCV_VECTORS_H
#define MINDCV_VECTORS_H

#include <cstdint>
#include <cstring>

#include "_shared.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_PROCESSORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_PROCESSORS
#endif
#define HIDDEN __attribute__((visibility("hidden")))
#define INLINED static inline __attribute__((always_inline))

namespace mindcv {

typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));

INLINED Vector load(const float *p) { return *reinterpret_cast<const Vector *>(p); }
INLINED void store(float *p, Vector v) { *reinterpret_cast<Vector *>(p) = v; }
// The first n values, and zeros.
INLINED Vector load_some(const float *p, long n) {
  Vector v{};
  for (long i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINED void store_some(float *p, Vector v, long n) {
  for (long i = 0; i < n; i++) p[i] = v[i];
}
INLINED float sum(Vector v) {
  float total = 0;
  for (int i = 0; i < 16; i++) total += v[i];
  return total;
}

// e^x to 2 units of the last digit; below -87 as at -87, which is 1e-38. Loops over it become vectors.
INLINED float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which stands in the lowest bits
  const float rounded = x * 1.44269504f + magic, n = rounded - magic;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  bits = int32_t((uint32_t(bits) << 23) + 0x3f800000u);
  float power;
  memcpy(&power, &bits, sizeof power);
  return p * power;
}

}  // namespace mindcv

#endif  // MINDCV_VECTORS_H
