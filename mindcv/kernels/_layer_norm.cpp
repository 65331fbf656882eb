// LayerNorm over the last axis, with scale and shift, and its gradient.
#include <cmath>
#include <cstring>
#include <vector>

#include "_vectors.h"

namespace mindcv {

// Rows begin to end of (rows, size); `mean` and `inverse` (of the deviation) have a value a row.
FOR_PROCESSORS HIDDEN void layer_norm(const float *x, const float *gamma, const float *beta, float *y, float *mean,
                                      float *inverse, long begin, long end, long size, double eps) {
  for (long row = begin; row < end; row++) {
    const float *from = x + row * size;
    float *to = y + row * size;
    const long whole = size / 16 * 16, rest = size - whole;
    Vector s0{}, s1{};
    long i = 0;
    for (; i + 32 <= size; i += 32) {
      s0 += load(from + i);
      s1 += load(from + i + 16);
    }
    for (; i < whole; i += 16) s0 += load(from + i);
    if (rest) s1 += load_some(from + i, rest);
    const float m = sum(s0 + s1) / float(size);
    Vector q0{}, q1{};
    for (i = 0; i + 32 <= size; i += 32) {
      const Vector a = load(from + i) - m, b = load(from + i + 16) - m;
      q0 += a * a;
      q1 += b * b;
    }
    for (; i < whole; i += 16) {
      const Vector a = load(from + i) - m;
      q0 += a * a;
    }
    float squares = sum(q0 + q1);
    for (; i < size; i++) squares += (from[i] - m) * (from[i] - m);
    const float r = float(1.0 / std::sqrt(double(squares) / size + eps));
    mean[row] = m;
    inverse[row] = r;
    for (i = 0; i < whole; i += 16) store(to + i, (load(from + i) - m) * r * load(gamma + i) + load(beta + i));
    for (; i < size; i++) to[i] = (from[i] - m) * r * gamma[i] + beta[i];
  }
}

// The gradient of rows begin to end; adds theirs of scale and shift to `dgamma` and `dbeta`.
FOR_PROCESSORS HIDDEN void layer_norm_backward(const float *dy, const float *x, const float *gamma, const float *mean,
                                               const float *inverse, float *dx, float *dgamma, float *dbeta, long begin,
                                               long end, long size) {
  for (long row = begin; row < end; row++) {
    const float *d = dy + row * size, *from = x + row * size;
    float *to = dx + row * size;
    const float m = mean[row], r = inverse[row];
    const long whole = size / 16 * 16, rest = size - whole;
    Vector s{}, q{};
    long i = 0;
    for (; i < whole; i += 16) {
      const Vector g = load(d + i) * load(gamma + i);
      s += g;
      q += g * (load(from + i) - m);
    }
    if (rest) {
      const Vector g = load_some(d + i, rest) * load_some(gamma + i, rest);
      s += g;
      q += g * (load_some(from + i, rest) - m);  // beyond the end g is 0
    }
    const float k = sum(q) * r * r / float(size), l = sum(s) / float(size);
    for (i = 0; i < whole; i += 16) {
      const Vector dout = load(d + i), centred = load(from + i) - m;
      store(to + i, (dout * load(gamma + i) - l - centred * k) * r);
      store(dgamma + i, load(dgamma + i) + dout * centred * r);
      store(dbeta + i, load(dbeta + i) + dout);
    }
    for (; i < size; i++) {
      const float centred = from[i] - m;
      to[i] = (d[i] * gamma[i] - l - centred * k) * r;
      dgamma[i] += d[i] * centred * r;
      dbeta[i] += d[i];
    }
  }
}

namespace {

constexpr long kFlush = 64;  // so many rows are summed in fp32, the rest in double precision

long rows_of(const int64_t *shape, int dims) {
  long rows = 1;
  for (int i = 0; i + 1 < dims; i++) rows *= shape[i];
  return rows;
}

bool are_fp32(int n, const char *const *dtypes, int configuration) {
  for (int i = 0; i < n; i++)
    if (i != configuration && strcmp(dtypes[i], "float32") != 0) return false;
  return strcmp(dtypes[configuration], "int64") == 0;
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, gamma, beta, configuration {bits of eps} -> y, mean and inverse deviation of each row
int LayerNormForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 7 || dims[0] < 1 || dims[1] != 1 || !are_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  const long rows = rows_of(shapes[0], dims[0]), size = shapes[0][dims[0] - 1];
  if (size < 1 || shapes[1][0] != size) return BAD_ARGUMENTS;
  Shared &s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (!s.is_ready) return NOT_READY;
  double eps;
  memcpy(&eps, data[3], sizeof eps);
  auto at = [&](int i) { return static_cast<float *>(data[i]); };
  const int threads = s.pool.get_num_threads();
  s.pool.parallel_for(threads, [&](int t, int) {
    layer_norm(at(0), at(1), at(2), at(4), at(5), at(6), rows * t / threads, rows * (t + 1) / threads, size, eps);
  });
  return OK;
}

// dy, x, gamma, mean, inverse deviation, configuration -> dx, dgamma, dbeta
int LayerNormBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 9 || dims[1] < 1 || dims[2] != 1 || !are_fp32(n, dtypes, 5)) return BAD_ARGUMENTS;
  const long rows = rows_of(shapes[1], dims[1]), size = shapes[1][dims[1] - 1];
  if (size < 1 || shapes[2][0] != size) return BAD_ARGUMENTS;
  Shared &s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (!s.is_ready) return NOT_READY;
  auto at = [&](int i) { return static_cast<float *>(data[i]); };
  const int threads = s.pool.get_num_threads();
  std::vector<std::vector<double>> sums(threads, std::vector<double>(2 * size, 0.0));
  s.pool.parallel_for(threads, [&](int t, int) {
    std::vector<float> part(2 * size);
    const long last = rows * (t + 1) / threads;
    for (long row = rows * t / threads; row < last; row += kFlush) {
      memset(part.data(), 0, 2 * size * sizeof(float));
      layer_norm_backward(at(0), at(1), at(2), at(3), at(4), at(6), part.data(), part.data() + size, row,
                          row + kFlush < last ? row + kFlush : last, size);
      for (long i = 0; i < 2 * size; i++) sums[t][i] += part[i];
    }
  });
  for (long i = 0; i < 2 * size; i++) {
    double total = 0;
    for (const auto &of_thread : sums) total += of_thread[i];
    (i < size ? at(7) : at(8) - size)[i] = float(total);
  }
  return OK;
}

}  // extern "C"
