// BatchNorm with what stands behind it, the activation and the sum with a shortcut, each direction in one operator.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "_shared.h"

namespace mindcv {

enum Activation { NONE = 0, RELU = 1, RELU6 = 2, HSWISH = 3, SILU = 4 };

// The configuration as it comes from Python (mindcv/kernels/batch_norm.py has the same order).
enum { ACTIVATION, ADDS, TRAINING, LAST, KEEPS_VARIANCE, EPS, MOMENTUM, RESULT_LAST, HALF_MAPS };

struct Norm {
  long images, channels, pixels;
  int activation;
  bool adds, training, last, keeps_variance, result_last;
  bool half;  // maps are bfloat16, (N, pixels, C) all of them
  double eps, momentum;
  const float *y, *gamma, *beta, *residual, *dout;
  float *moving_mean, *moving_variance, *out, *mean, *variance;
  float *dy, *dgamma, *dbeta, *dresidual;
  float *scales, *shifts;
  double *inverses;

  void set_factors(long c) const {
    inverses[c] = 1.0 / std::sqrt(double(variance[c]) + eps);
    scales[c] = float(gamma[c] * inverses[c]);
    shifts[c] = float(beta[c] - double(mean[c]) * gamma[c] * inverses[c]);
    if (training && images * pixels == 1) scales[c] = 0, shifts[c] = beta[c];  // y - mean, exactly; 0 * inf stays NaN
  }

  void set_statistics(long c, double batch_mean, double batch_variance) const {
    mean[c] = float(batch_mean);
    variance[c] = float(batch_variance);
    const double count = double(images) * pixels;
    moving_mean[c] = float(moving_mean[c] + momentum * (batch_mean - moving_mean[c]));
    const double unbiased = batch_variance * count / (count - 1);  // of one value it is NaN, as MindSpore's is
    if (count != 1 || !keeps_variance)
      moving_variance[c] = float(moving_variance[c] + momentum * (unbiased - moving_variance[c]));
    set_factors(c);
  }
};

struct Routines {
  void (*forward_channels)(const Norm &, long, long);
  void (*backward_channels)(const Norm &, long, long);
  void (*moments_of_rows)(const Norm &, long, long, const float *, double *, double *);
  void (*forward_turned)(const Norm &, long, long, long);
  void (*backward_turned)(const Norm &, long, long, long, double *, double *);
  void (*finish_rows)(const Norm &, long, long, const float *, const float *);
  void (*forward_rows)(const Norm &, long, long);
  void (*sums_of_rows)(const Norm &, long, long, double *, double *);
  void (*backward_rows)(const Norm &, long, long, const float *, const float *);
};

}  // namespace mindcv

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MINDCV_KINDS 1
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define MINDCV_ISA avx512
#include "_batch_norm_vectors.h"
#undef MINDCV_ISA
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define MINDCV_ISA avx2
#include "_batch_norm_vectors.h"
#undef MINDCV_ISA
#pragma GCC pop_options
#endif
#define MINDCV_ISA plain
#include "_batch_norm_vectors.h"
#undef MINDCV_ISA

namespace mindcv {
namespace {

const Routines &routines() {
#ifdef MINDCV_KINDS
  static const Routines &chosen = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
                                      ? avx512::routines
                                  : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? avx2::routines
                                                                                                    : plain::routines;
  return chosen;
#else
  return plain::routines;
#endif
}

struct Workspace {
  std::vector<float> scales, shifts, k, l;
  std::vector<double> inverses, totals, products;

  void take(Norm &p, int threads) {
    const size_t c = p.channels;
    if (scales.size() < c) {
      for (auto *values : {&scales, &shifts, &k, &l}) values->resize(c);
      inverses.resize(c);
    }
    if (totals.size() < c * threads) {
      totals.resize(c * threads);
      products.resize(c * threads);
    }
    p.scales = scales.data();
    p.shifts = shifts.data();
    p.inverses = inverses.data();
  }
};

Workspace &workspace() {
  static auto *value = new Workspace;
  return *value;
}

bool read(Norm &p, const int64_t *shape, const int64_t *config) {
  p.activation = int(config[ACTIVATION]);
  p.adds = config[ADDS];
  p.training = config[TRAINING];
  p.last = config[LAST];
  p.result_last = config[RESULT_LAST];
  p.half = config[HALF_MAPS];
  p.keeps_variance = config[KEEPS_VARIANCE];
  memcpy(&p.eps, &config[EPS], sizeof p.eps);
  memcpy(&p.momentum, &config[MOMENTUM], sizeof p.momentum);
  p.images = shape[0];
  p.channels = p.last ? shape[3] : shape[1];
  p.pixels = p.last ? shape[1] * shape[2] : shape[2] * shape[3];
  return p.activation >= NONE && p.activation <= SILU && !(p.adds && p.activation > RELU) && p.images > 0 &&
         p.pixels > 0 && (p.last || !p.result_last) && (p.result_last || !p.half);
}

// Whether the maps among the tensors are of the configuration's type, and all others fp32.
bool has_types(int n, void **data, const char *const *dtypes, std::initializer_list<int> maps, int configuration) {
  if (strcmp(dtypes[configuration], "int64") != 0) return false;
  const bool half = static_cast<const int64_t *>(data[configuration])[HALF_MAPS];
  for (int i = 0; i < n; i++) {
    const bool is_map = std::find(maps.begin(), maps.end(), i) != maps.end();
    if (i != configuration && strcmp(dtypes[i], is_map && half ? "bfloat16" : "float32") != 0) return false;
  }
  return true;
}

// Runs work(thread, image, first pixel, last pixel) over all images, in parts of whole vectors where there are few
// images.
template <class Work>
void for_parts(const Norm &p, int threads, Work work) {
  const long splits = p.images >= threads ? 1 : (threads + p.images - 1) / p.images;
  const long vectors = (p.pixels + 15) / 16, parts = p.images * splits;
  shared().pool.parallel_for(threads, [&](int thread, int) {
    for (long part = parts * thread / threads; part < parts * (thread + 1) / threads; part++) {
      const long split = part % splits;
      const long begin = 16 * (vectors * split / splits), end = 16 * (vectors * (split + 1) / splits);
      if (begin < p.pixels) work(thread, part / splits, begin, end < p.pixels ? end : p.pixels);
    }
  });
}

void forward(Norm &p) {
  const int threads = shared().pool.get_num_threads();
  const Routines &run = routines();
  Workspace &work = workspace();
  work.take(p, threads);
  const long channels = p.channels, rows = p.images * p.pixels;
  if (!p.training) {
    memcpy(p.mean, p.moving_mean, channels * sizeof(float));
    memcpy(p.variance, p.moving_variance, channels * sizeof(float));
    for (long c = 0; c < channels; c++) p.set_factors(c);
  }
  if (!p.last) {
    shared().pool.parallel_for(
        threads, [&](int t, int) { run.forward_channels(p, channels * t / threads, channels * (t + 1) / threads); });
    return;
  }
  if (p.training) {
    const long probe = rows < 16 ? rows : 16;
    for (long c = 0; c < channels; c++) {
      float origin = 0;
      for (long row = 0; row < probe; row++) origin += plain::load_some_of(p.y, p.half, row * channels + c, 1)[0];
      work.k[c] = origin / probe;
    }
    std::fill(work.totals.begin(), work.totals.end(), 0.0);
    std::fill(work.products.begin(), work.products.end(), 0.0);
    shared().pool.parallel_for(threads, [&](int t, int) {
      run.moments_of_rows(p, rows * t / threads, rows * (t + 1) / threads, work.k.data(), &work.totals[t * channels],
                          &work.products[t * channels]);
    });
    for (long c = 0; c < channels; c++) {
      double total = 0, squares = 0;
      for (int t = 0; t < threads; t++) {
        total += work.totals[t * channels + c];
        squares += work.products[t * channels + c];
      }
      const double shift = total / rows, variance = squares / rows - shift * shift;
      p.set_statistics(c, work.k[c] + shift, variance < 0 ? 0 : variance);
    }
  }
  if (p.result_last)
    shared().pool.parallel_for(threads,
                               [&](int t, int) { run.forward_rows(p, rows * t / threads, rows * (t + 1) / threads); });
  else
    for_parts(p, threads, [&](int, long n, long begin, long end) { run.forward_turned(p, n, begin, end); });
}

void backward(Norm &p) {
  const int threads = shared().pool.get_num_threads();
  const Routines &run = routines();
  Workspace &work = workspace();
  work.take(p, threads);
  const long channels = p.channels, rows = p.images * p.pixels;
  for (long c = 0; c < channels; c++) p.set_factors(c);
  if (!p.last) {
    shared().pool.parallel_for(
        threads, [&](int t, int) { run.backward_channels(p, channels * t / threads, channels * (t + 1) / threads); });
    return;
  }
  std::fill(work.totals.begin(), work.totals.end(), 0.0);
  std::fill(work.products.begin(), work.products.end(), 0.0);
  if (p.result_last)
    shared().pool.parallel_for(threads, [&](int t, int) {
      run.sums_of_rows(p, rows * t / threads, rows * (t + 1) / threads, &work.totals[t * channels],
                       &work.products[t * channels]);
    });
  else
    for_parts(p, threads, [&](int t, long n, long begin, long end) {
      run.backward_turned(p, n, begin, end, &work.totals[t * channels], &work.products[t * channels]);
    });
  for (long c = 0; c < channels; c++) {
    double total = 0, products = 0;
    for (int t = 0; t < threads; t++) {
      total += work.totals[t * channels + c];
      products += work.products[t * channels + c];
    }
    p.dbeta[c] = float(total);
    p.dgamma[c] = float(products * p.inverses[c]);
    work.k[c] = p.training ? float(-p.scales[c] * products * p.inverses[c] * p.inverses[c] / rows) : 0.0f;
    work.l[c] = p.training ? float(-p.scales[c] * total / rows) : 0.0f;
  }
  shared().pool.parallel_for(threads, [&](int t, int) {
    auto *finish = p.result_last ? run.backward_rows : run.finish_rows;
    finish(p, rows * t / threads, rows * (t + 1) / threads, work.k.data(), work.l.data());
  });
}

template <class Work>
int alone(Work work) {
  std::lock_guard<std::mutex> lock(shared().mutex);
  if (!shared().is_ready) return NOT_READY;
  try {
    return work();
  } catch (const std::exception &) {
    return FAILED;
  }
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// y, gamma, beta, moving mean, moving variance, (shortcut,) configuration -> out, mean, variance. In training the
// moving ones are moved, in place.
int BatchNormForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 9 && n != 10) return BAD_ARGUMENTS;
  const int configuration = n - 4;
  if (!has_types(n, data, dtypes, {0, n - 3, n == 10 ? 5 : 0}, configuration) || dims[0] != 4) return BAD_ARGUMENTS;
  return alone([&] {
    Norm p{};
    auto at = [&](int i) { return static_cast<float *>(data[i]); };
    if (!read(p, shapes[0], static_cast<const int64_t *>(data[configuration])) || p.adds != (n == 10))
      return int(BAD_ARGUMENTS);
    p.y = at(0);
    p.gamma = at(1);
    p.beta = at(2);
    p.moving_mean = at(3);
    p.moving_variance = at(4);
    p.residual = p.adds ? at(5) : p.y;
    p.out = at(n - 3);
    p.mean = at(n - 2);
    p.variance = at(n - 1);
    forward(p);
    return int(OK);
  });
}

// dout, y, out (which only a sum needs; else y), gamma, beta, mean, variance, configuration -> dy, dgamma, dbeta (,
// dshortcut)
int BatchNormBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 11 && n != 12) || !has_types(n, data, dtypes, {0, 1, 2, 8, n == 12 ? 11 : 0}, 7) || dims[1] != 4)
    return BAD_ARGUMENTS;
  return alone([&] {
    Norm p{};
    auto at = [&](int i) { return static_cast<float *>(data[i]); };
    if (!read(p, shapes[1], static_cast<const int64_t *>(data[7])) || p.adds != (n == 12)) return int(BAD_ARGUMENTS);
    p.dout = at(0);
    p.y = at(1);
    p.out = at(2);
    p.gamma = at(3);
    p.beta = at(4);
    p.mean = at(5);
    p.variance = at(6);
    p.dy = at(8);
    p.dgamma = at(9);
    p.dbeta = at(10);
    p.dresidual = p.adds ? at(11) : p.dy;
    backward(p);
    return int(OK);
  });
}

}  // extern "C"
