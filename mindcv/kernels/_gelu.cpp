// GELU, by tanh or by erf, and its gradient, over values of any shape.
#include <cstring>

#include "_gelu.h"
#include "_vectors.h"

namespace mindcv {

// x * (1 + tanh(u)) / 2 is x over 1 + e^(-2u), with u = sqrt(2 / pi) * (x + 0.044715 x^3)
static inline float sigmoid_of_cubic(float x) {
  return 1.0f / (1.0f + exponential(-1.5957691216f * x * (1.0f + 0.044715f * x * x)));
}

// The normal distribution's integral up to x, by Abramowitz and Stegun 7.1.26, to 1e-7; `bell`: e^(-x^2 / 2).
static inline float normal_integral(float x, float bell) {
  const float z = (x < 0.0f ? -x : x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * p * t * bell;
  return x < 0.0f ? tail : 1.0f - tail;
}

FOR_PROCESSORS HIDDEN void gelu_tanh(const float *x, float *y, long n) {
  for (long i = 0; i < n; i++) y[i] = x[i] * sigmoid_of_cubic(x[i]);
}

FOR_PROCESSORS HIDDEN void gelu_tanh_backward(const float *dy, const float *x, float *dx, long n) {
  for (long i = 0; i < n; i++) {
    const float value = x[i], s = sigmoid_of_cubic(value);
    dx[i] = dy[i] * (s + value * s * (1.0f - s) * 1.5957691216f * (1.0f + 0.134145f * value * value));
  }
}

FOR_PROCESSORS HIDDEN void gelu_erf(const float *x, float *y, long n) {
  for (long i = 0; i < n; i++) y[i] = x[i] * normal_integral(x[i], exponential(-0.5f * x[i] * x[i]));
}

FOR_PROCESSORS HIDDEN void gelu_erf_backward(const float *dy, const float *x, float *dx, long n) {
  for (long i = 0; i < n; i++) {
    const float value = x[i], bell = exponential(-0.5f * value * value);
    dx[i] = dy[i] * (normal_integral(value, bell) + value * 0.39894228f * bell);
  }
}

namespace {

// Calls work(first, count) for the parts of so many values, each of whole cache lines.
template <class Work>
void in_lines(long values, Work work) {
  const int threads = shared().pool.get_num_threads();
  const long lines = (values + 15) / 16;
  shared().pool.parallel_for(threads, [&](int thread, int) {
    const long begin = lines * thread / threads * 16, end = lines * (thread + 1) / threads * 16;
    if (begin < values) work(begin, (end < values ? end : values) - begin);
  });
}

long values_of(const int64_t *shape, int dims) {
  long values = 1;
  for (int i = 0; i < dims; i++) values *= shape[i];
  return values;
}

}  // namespace

void gelu(bool by_tanh, const float *x, float *y, long n) {
  auto *run = by_tanh ? gelu_tanh : gelu_erf;
  in_lines(n, [&](long begin, long count) { run(x + begin, y + begin, count); });
}

void gelu_backward(bool by_tanh, const float *dy, const float *x, float *dx, long n) {
  auto *run = by_tanh ? gelu_tanh_backward : gelu_erf_backward;
  in_lines(n, [&](long begin, long count) { run(dy + begin, x + begin, dx + begin, count); });
}

}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, configuration {by tanh} -> y
int GeluForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 3 || strcmp(dtypes[0], "float32") != 0 || strcmp(dtypes[1], "int64") != 0) return BAD_ARGUMENTS;
  std::lock_guard<std::mutex> lock(shared().mutex);
  if (!shared().is_ready) return NOT_READY;
  const bool by_tanh = *static_cast<const int64_t *>(data[1]);
  gelu(by_tanh, static_cast<const float *>(data[0]), static_cast<float *>(data[2]), values_of(shapes[0], dims[0]));
  return OK;
}

// dy, x, configuration {by tanh} -> dx
int GeluBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  const bool is_fp32 = n == 4 && strcmp(dtypes[0], "float32") == 0 && strcmp(dtypes[1], "float32") == 0;
  if (!is_fp32 || strcmp(dtypes[2], "int64") != 0) return BAD_ARGUMENTS;
  std::lock_guard<std::mutex> lock(shared().mutex);
  if (!shared().is_ready) return NOT_READY;
  const bool by_tanh = *static_cast<const int64_t *>(data[2]);
  gelu_backward(by_tanh, static_cast<const float *>(data[0]), static_cast<const float *>(data[1]),
                static_cast<float *>(data[3]), values_of(shapes[1], dims[1]));
  return OK;
}

}  // extern "C"
