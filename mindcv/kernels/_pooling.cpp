// Max pooling of (N, C, H, W) and its gradient, which goes to the first of equal values.
#include <cmath>
#include <cstring>

#include "_shared.h"

namespace mindcv {
namespace {

// The configuration as it comes from Python (mindcv/kernels/pooling.py has the same order).
enum { KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W, SAME };

struct Pooling {
  long planes, ih, iw, oh, ow, kh, kw, sh, sw, top, left;
};

void side(long in, long kernel, long stride, bool same, long &before, long &out) {
  out = same ? (in + stride - 1) / stride : (in - kernel) / stride + 1;
  const long total = (out - 1) * stride + kernel - in;
  before = same && total > 0 ? total / 2 : 0;
}

bool read(Pooling &p, const int64_t *x, const int64_t *config) {
  p = {x[0] * x[1], x[2], x[3], 0, 0, config[KERNEL_H], config[KERNEL_W], config[STRIDE_H], config[STRIDE_W], 0, 0};
  side(p.ih, p.kh, p.sh, config[SAME], p.top, p.oh);
  side(p.iw, p.kw, p.sw, config[SAME], p.left, p.ow);
  return p.oh > 0 && p.ow > 0;
}

// Calls work(output's index, index of the largest value) for a plane.
template <class Work>
void largest(const Pooling &p, const float *x, Work work) {
  for (long r = 0; r < p.oh; r++) {
    const long y0 = r * p.sh - p.top, y_begin = y0 < 0 ? 0 : y0, y_end = y0 + p.kh < p.ih ? y0 + p.kh : p.ih;
    for (long c = 0; c < p.ow; c++) {
      const long x0 = c * p.sw - p.left, x_begin = x0 < 0 ? 0 : x0, x_end = x0 + p.kw < p.iw ? x0 + p.kw : p.iw;
      long best = y_begin * p.iw + x_begin;
      float value = x[best];
      for (long i = y_begin; i < y_end; i++)
        for (long j = x_begin; j < x_end; j++) {
          const float other = x[i * p.iw + j];
          best = other > value ? i * p.iw + j : best;
          value = other > value ? other : value;
        }
      work(r * p.ow + c, best);
    }
  }
}

template <class Work>
int over_planes(const Pooling &p, Work work) {
  Shared &s = shared();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (!s.is_ready) return NOT_READY;
  const int threads = s.pool.get_num_threads();
  s.pool.parallel_for(threads, [&](int thread, int) {
    for (long plane = p.planes * thread / threads; plane < p.planes * (thread + 1) / threads; plane++) work(plane);
  });
  return OK;
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, configuration -> y
int MaxPoolForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 3 || dims[0] != 4 || strcmp(dtypes[0], "float32") != 0 || strcmp(dtypes[1], "int64") != 0)
    return BAD_ARGUMENTS;
  Pooling p;
  if (!read(p, shapes[0], static_cast<const int64_t *>(data[1]))) return BAD_ARGUMENTS;
  const float *x = static_cast<const float *>(data[0]);
  float *y = static_cast<float *>(data[2]);
  return over_planes(p, [&](long plane) {
    const float *from = x + plane * p.ih * p.iw;
    float *to = y + plane * p.oh * p.ow;
    largest(p, from, [&](long index, long best) { to[index] = from[best]; });
  });
}

// dy, x, configuration -> dx
int MaxPoolBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 4 || dims[1] != 4 || strcmp(dtypes[0], "float32") != 0 || strcmp(dtypes[1], "float32") != 0 ||
      strcmp(dtypes[2], "int64") != 0)
    return BAD_ARGUMENTS;
  Pooling p;
  if (!read(p, shapes[1], static_cast<const int64_t *>(data[2]))) return BAD_ARGUMENTS;
  const float *dy = static_cast<const float *>(data[0]), *x = static_cast<const float *>(data[1]);
  float *dx = static_cast<float *>(data[3]);
  return over_planes(p, [&](long plane) {
    const float *from = dy + plane * p.oh * p.ow;
    float *to = dx + plane * p.ih * p.iw;
    memset(to, 0, p.ih * p.iw * sizeof(float));
    largest(p, x + plane * p.ih * p.iw, [&](long index, long best) { to[best] += from[index]; });
  });
}

}  // extern "C"
