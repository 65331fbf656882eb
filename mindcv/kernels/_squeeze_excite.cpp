// Squeeze and excitation of (N, H, W, C) in fp32, each direction as one operator: each channel's mean, two layers that
// make a gate of the means, and the product with it.
#include <algorithm>
#include <cmath>
#include <vector>

#include "_plans.h"
#include "_vectors.h"

namespace mindcv {

// Adds rows of `width` channels at most, `stride` apart, to `sums`; their products with `other` where there is one.
FOR_PROCESSORS HIDDEN void add_columns(const float *x, const float *other, double *sums, long rows, long width,
                                       long stride) {
  constexpr long kRows = 256;  // so many are summed in fp32
  for (long from = 0; from < rows; from += kRows) {
    float part[64] = {};
    for (long row = from; row < rows && row < from + kRows; row++) {
      const float *a = x + row * stride;
      if (other)
        for (long i = 0; i < width; i++) part[i] += a[i] * other[row * stride + i];
      else
        for (long i = 0; i < width; i++) part[i] += a[i];
    }
    for (long i = 0; i < width; i++) sums[i] += double(part[i]);
  }
}

// a * b over n values
FOR_PROCESSORS HIDDEN float product_of(const float *a, const float *b, long n) {
  Vector s{};
  long i = 0;
  for (; i + 16 <= n; i += 16) s += load(a + i) * load(b + i);
  float total = sum(s);
  for (; i < n; i++) total += a[i] * b[i];
  return total;
}

// y += factor * x
FOR_PROCESSORS HIDDEN void add_scaled(float *y, const float *x, float factor, long n) {
  for (long i = 0; i < n; i++) y[i] += factor * x[i];
}

// y = x * factors (+ added), for rows of n values
FOR_PROCESSORS HIDDEN void scale_and_add(const float *x, const float *factors, const float *added, float *y, long rows,
                                         long n) {
  for (long row = 0; row < rows; row++, x += n, y += n) {
    if (added)
      for (long i = 0; i < n; i++) y[i] = x[i] * factors[i] + added[i];
    else
      for (long i = 0; i < n; i++) y[i] = x[i] * factors[i];
  }
}

namespace {

// The configuration as it comes from Python (mindcv/kernels/squeeze_excite.py has the same order).
enum { ACTIVATION, GATE };
enum { RELU = 1, SILU = 4 };
enum { SIGMOID = 1, HARD_SIGMOID = 2 };

constexpr long kColumns = 64;

float sigmoid(float z) { return 1.0f / (1.0f + std::exp(-z)); }

struct Value {
  float value, slope;
};

Value activation(int kind, float z) {
  if (kind == RELU) return {z > 0 ? z : 0.0f, z > 0 ? 1.0f : 0.0f};
  const float s = sigmoid(z);
  return {z * s, s * (1 + z * (1 - s))};
}

Value gate(int kind, float z) {
  if (kind == SIGMOID) {
    const float s = sigmoid(z);
    return {s, s * (1 - s)};
  }
  const float h = z * (1.0f / 6) + 0.5f;
  return {h < 0 ? 0.0f : h > 1 ? 1.0f : h, h > 0 && h < 1 ? 1.0f / 6 : 0.0f};
}

struct Sizes {
  long images, pixels, channels, width;
  int activation, gate;
};

// From the shapes of the map and of the first layer's weight; false where they do not fit.
bool read(Sizes &p, const int64_t *x, const int64_t *w, const int64_t *config) {
  p = {long(x[0]), long(x[1] * x[2]), long(x[3]), long(w[0]), int(config[ACTIVATION]), int(config[GATE])};
  return p.images > 0 && p.pixels > 0 && p.width > 0 && w[1] == p.channels &&
         (p.activation == RELU || p.activation == SILU) && (p.gate == SIGMOID || p.gate == HARD_SIGMOID);
}

// Runs work(begin, end) on parts of n things.
template <class Work>
void in_parts(long n, Work work) {
  const int threads = shared().pool.get_num_threads();
  shared().pool.parallel_for(threads, [&](int t, int) { work(n * t / threads, n * (t + 1) / threads); });
}

// Sums over each image's pixels, (images, channels), of x or of its products with `other`.
void sum_pixels(const Sizes &p, const float *x, const float *other, float *sums, double factor) {
  const long groups = (p.channels + kColumns - 1) / kColumns;
  in_parts(p.images * groups, [&](long begin, long end) {
    for (long part = begin; part < end; part++) {
      const long n = part / groups, c = part % groups * kColumns, width = std::min(kColumns, p.channels - c);
      const long offset = n * p.pixels * p.channels + c;
      double totals[kColumns] = {};
      add_columns(x + offset, other ? other + offset : nullptr, totals, p.pixels, width, p.channels);
      for (long i = 0; i < width; i++) sums[n * p.channels + c + i] = float(totals[i] * factor);
    }
  });
}

// y (images, out) = x (images, in) * w (out, in) + bias
void layer(const float *x, const float *w, const float *bias, float *y, long images, long in, long out) {
  in_parts(out, [&](long begin, long end) {
    for (long o = begin; o < end; o++)
      for (long n = 0; n < images; n++) y[n * out + o] = product_of(x + n * in, w + o * in, in) + bias[o];
  });
}

// Of such a layer: dx, dw and dbias
void layer_backward(const float *dy, const float *x, const float *w, float *dx, float *dw, float *dbias, long images,
                    long in, long out) {
  in_parts(out, [&](long begin, long end) {
    std::fill(dw + begin * in, dw + end * in, 0.0f);
    for (long o = begin; o < end; o++) {
      double total = 0;
      for (long n = 0; n < images; n++) {
        add_scaled(dw + o * in, x + n * in, dy[n * out + o], in);
        total += double(dy[n * out + o]);
      }
      dbias[o] = float(total);
    }
  });
  in_parts(images, [&](long begin, long end) {
    std::fill(dx + begin * in, dx + end * in, 0.0f);
    for (long o = 0; o < out; o++)
      for (long n = begin; n < end; n++) add_scaled(dx + n * in, w + o * in, dy[n * out + o], in);
  });
}

// y = x * factors (+ added), which are (images, channels)
void scale_map(const Sizes &p, const float *x, const float *factors, const float *added, float *y) {
  in_parts(p.images * p.pixels, [&](long begin, long end) {
    while (begin < end) {
      const long n = begin / p.pixels, last = std::min(end, (n + 1) * p.pixels);
      scale_and_add(x + begin * p.channels, factors + n * p.channels, added ? added + n * p.channels : nullptr,
                    y + begin * p.channels, last - begin, p.channels);
      begin = last;
    }
  });
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, w1, b1, w2, b2, configuration {activation, gate} -> y, means, and what the activation and the gate are given
int SqueezeExciteForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 10 || dims[0] != 4 || !all_fp32(n, dtypes, 5)) return BAD_ARGUMENTS;
  Sizes p;
  if (!read(p, shapes[0], shapes[1], static_cast<const int64_t *>(data[5]))) return BAD_ARGUMENTS;
  return guarded([&] {
    auto at = [&](int i) { return static_cast<float *>(data[i]); };
    float *means = at(7), *before = at(8), *last = at(9);
    std::vector<float> hidden(p.images * p.width), gates(p.images * p.channels);
    sum_pixels(p, at(0), nullptr, means, 1.0 / p.pixels);
    layer(means, at(1), at(2), before, p.images, p.channels, p.width);
    for (size_t i = 0; i < hidden.size(); i++) hidden[i] = activation(p.activation, before[i]).value;
    layer(hidden.data(), at(3), at(4), last, p.images, p.width, p.channels);
    for (size_t i = 0; i < gates.size(); i++) gates[i] = gate(p.gate, last[i]).value;
    scale_map(p, at(0), gates.data(), nullptr, at(6));
    return int(OK);
  });
}

// dy, x, w1, w2, and the last three outputs of the above, configuration -> dx, dw1, db1, dw2, db2
int SqueezeExciteBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 13 || dims[1] != 4 || !all_fp32(n, dtypes, 7)) return BAD_ARGUMENTS;
  Sizes p;
  if (!read(p, shapes[1], shapes[2], static_cast<const int64_t *>(data[7]))) return BAD_ARGUMENTS;
  return guarded([&] {
    auto at = [&](int i) { return static_cast<float *>(data[i]); };
    const float *means = at(4), *before = at(5), *last = at(6);
    std::vector<float> hidden(p.images * p.width), slopes(hidden.size()), of_hidden(hidden.size());
    std::vector<float> gates(p.images * p.channels), of_gates(gates.size()), of_means(gates.size());
    for (size_t i = 0; i < hidden.size(); i++) {
      const Value value = activation(p.activation, before[i]);
      hidden[i] = value.value;
      slopes[i] = value.slope;
    }
    sum_pixels(p, at(0), at(1), of_gates.data(), 1.0);
    for (size_t i = 0; i < gates.size(); i++) {
      const Value value = gate(p.gate, last[i]);
      gates[i] = value.value;
      of_gates[i] *= value.slope;
    }
    layer_backward(of_gates.data(), hidden.data(), at(3), of_hidden.data(), at(11), at(12), p.images, p.width,
                   p.channels);
    for (size_t i = 0; i < hidden.size(); i++) of_hidden[i] *= slopes[i];
    layer_backward(of_hidden.data(), means, at(2), of_means.data(), at(9), at(10), p.images, p.channels, p.width);
    for (float &value : of_means) value /= float(p.pixels);
    scale_map(p, at(0), gates.data(), of_means.data(), at(8));
    return int(OK);
  });
}

}  // extern "C"
