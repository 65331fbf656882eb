// Self-attention of tokens and its gradient. The products of queries and keys are not kept: the backward pass makes
// them once more from their rows' sums, so that memory grows with the number of tokens and not with its square.
#include <cmath>

#include "_plans.h"
#include "_vectors.h"

namespace mindcv {

// Rows of `length` scores to their softmax; `sums` gets the logarithm of each row's sum of powers.
FOR_PROCESSORS HIDDEN void softmax_rows(float *scores, float *sums, long rows, long length) {
  for (long row = 0; row < rows; row++, scores += length) {
    float lanes[16];
    for (float &lane : lanes) lane = scores[0];
    long i = 0;
    for (; i + 16 <= length; i += 16)
      for (int lane = 0; lane < 16; lane++)
        lanes[lane] = scores[i + lane] > lanes[lane] ? scores[i + lane] : lanes[lane];
    float largest = scores[0];
    for (; i < length; i++) largest = scores[i] > largest ? scores[i] : largest;
    for (float lane : lanes) largest = lane > largest ? lane : largest;
    for (float &lane : lanes) lane = 0;
    for (i = 0; i < length; i++) scores[i] = exponential(scores[i] - largest);
    i = 0;
    for (; i + 16 <= length; i += 16)
      for (int lane = 0; lane < 16; lane++) lanes[lane] += scores[i + lane];
    for (; i < length; i++) lanes[0] += scores[i];
    float total = 0;
    for (float lane : lanes) total += lane;
    const float factor = 1.0f / total;
    for (i = 0; i < length; i++) scores[i] *= factor;
    sums[row] = largest + std::log(total);
  }
}

// Scores to their softmax by the rows' sums, and dsoftmax to dscores: p * (dp - delta).
FOR_PROCESSORS HIDDEN void softmax_rows_backward(float *scores, float *dscores, const float *sums, const float *deltas,
                                                 long rows, long length) {
  for (long row = 0; row < rows; row++, scores += length, dscores += length) {
    const float sum = sums[row], delta = deltas[row];
    for (long i = 0; i < length; i++) {
      scores[i] = exponential(scores[i] - sum);
      dscores[i] = scores[i] * (dscores[i] - delta);
    }
  }
}

FOR_PROCESSORS HIDDEN void copy_scaled(float *to, const float *from, long n, float factor) {
  for (long i = 0; i < n; i++) to[i] = factor * from[i];
}

FOR_PROCESSORS HIDDEN float dot(const float *a, const float *b, long n) {
  float lanes[16];
  for (float &lane : lanes) lane = 0;
  long i = 0;
  for (; i + 16 <= n; i += 16)
    for (int lane = 0; lane < 16; lane++) lanes[lane] += a[i + lane] * b[i + lane];
  float total = 0;
  for (; i < n; i++) total += a[i] * b[i];
  for (float lane : lanes) total += lane;
  return total;
}

// Products of `count` pairs of matrices, (m, k) by (k, n), each as it is or turned.
Plan &products(int64_t count, int64_t m, int64_t k, int64_t n, bool turns_first, bool turns_second) {
  const Key key{PRODUCTS, count, m, k, n, turns_first, turns_second};
  return plan_of(key, [&] {
    auto plan = std::make_unique<Plan>();
    auto matrices = [&](int64_t height, int64_t width, bool turned) {
      return Desc({count, height, width}, F32,
                  std::vector<int64_t>{height * width, turned ? 1 : width, turned ? height : 1});
    };
    Desc first = matrices(m, k, turns_first), second = matrices(k, n, turns_second), result = matrices(m, n, false);
    Attributes attributes;
    Description description;
    check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, first, second, nullptr, result,
                                             attributes.attr),
          "matmul");
    plan->add(description, {{ARG_SRC, plan->tensor(0, first)},
                            {ARG_WEIGHTS, plan->tensor(1, second)},
                            {ARG_DST, plan->tensor(2, result)}});
    plan->implementation = description.implementation();
    return plan;
  });
}

namespace {

constexpr int64_t kChunkBytes = 2 << 20;  // images whose scores take so much are computed together

// The configuration as it comes from Python (mindcv/kernels/attention.py has the same order).
enum { HEADS, SCALE, CONFIGURATION_SIZE };

struct Tokens {
  int64_t images, length, heads, size;  // `size`: of a head's part of a token
  float scale;

  int64_t width() const { return heads * size; }
};

void multiply(int64_t count, int64_t m, int64_t k, int64_t n, const float *first, bool turns_first, const float *second,
              bool turns_second, float *result) {
  void *tensors[] = {const_cast<float *>(first), const_cast<float *>(second), result};
  products(count, m, k, n, turns_first, turns_second).run(tensors);
}

// Runs work(begin, end) over parts of 0 to n, one a thread.
template <class Work>
void in_parts(int64_t n, Work work) {
  const int threads = shared().pool.get_num_threads();
  shared().pool.parallel_for(threads, [&](int t, int) { work(n * t / threads, n * (t + 1) / threads); });
}

// Part `part` of `parts` of tokens (images, length, parts * heads * size) from or to matrices (images, heads, length,
// size).
void split(const Tokens &p, int64_t images, const float *tokens, int parts, int part, float *matrices, float factor) {
  in_parts(images * p.length, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; token++) {
      const int64_t image = token / p.length, position = token % p.length;
      const float *from = tokens + (token * parts + part) * p.width();
      for (int64_t head = 0; head < p.heads; head++)
        copy_scaled(matrices + ((image * p.heads + head) * p.length + position) * p.size, from + head * p.size, p.size,
                    factor);
    }
  });
}

void merge(const Tokens &p, int64_t images, const float *matrices, int parts, int part, float *tokens, float factor) {
  in_parts(images * p.length, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; token++) {
      const int64_t image = token / p.length, position = token % p.length;
      float *to = tokens + (token * parts + part) * p.width();
      for (int64_t head = 0; head < p.heads; head++)
        copy_scaled(to + head * p.size, matrices + ((image * p.heads + head) * p.length + position) * p.size, p.size,
                    factor);
    }
  });
}

bool read(Tokens &p, const int64_t *shape, const int64_t *config) {
  double scale;
  memcpy(&scale, &config[SCALE], sizeof scale);
  p = {shape[0], shape[1], config[HEADS], 0, float(scale)};
  if (p.heads < 1 || p.images < 1 || p.length < 1 || shape[2] % (3 * p.heads) != 0) return false;
  p.size = shape[2] / (3 * p.heads);
  return p.size > 0;
}

// Calls work(first image, images) for all images, in chunks that stay in a cache.
template <class Work>
void for_chunks(const Tokens &p, Work work) {
  const int64_t fit = kChunkBytes / (4 * p.heads * p.length * p.length),
                chunk = std::min(std::max<int64_t>(fit, 1), p.images);
  for (int64_t first = 0; first < p.images; first += chunk) work(first, std::min(chunk, p.images - first), chunk);
}

void forward(const Tokens &p, const float *qkv, float *out, float *sums) {
  for_chunks(p, [&](int64_t first, int64_t images, int64_t chunk) {
    const int64_t matrices = images * p.heads, values = chunk * p.heads * p.length * p.size;
    float *q = reinterpret_cast<float *>(workspace().reserve(4 * (4 * values + chunk * p.heads * p.length * p.length)));
    float *k = q + values, *v = k + values, *o = v + values, *scores = o + values;
    const float *tokens = qkv + first * p.length * 3 * p.width();
    split(p, images, tokens, 3, 0, q, p.scale);
    split(p, images, tokens, 3, 1, k, 1);
    split(p, images, tokens, 3, 2, v, 1);
    multiply(matrices, p.length, p.size, p.length, q, false, k, true, scores);
    in_parts(matrices * p.length, [&](int64_t begin, int64_t end) {
      softmax_rows(scores + begin * p.length, sums + first * p.heads * p.length + begin, end - begin, p.length);
    });
    multiply(matrices, p.length, p.length, p.size, scores, false, v, false, o);
    merge(p, images, o, 1, 0, out + first * p.length * p.width(), 1);
  });
}

void backward(const Tokens &p, const float *dout, const float *qkv, const float *out, const float *sums, float *dqkv) {
  for_chunks(p, [&](int64_t first, int64_t images, int64_t chunk) {
    const int64_t matrices = images * p.heads, values = chunk * p.heads * p.length * p.size;
    const int64_t rows = matrices * p.length, square = chunk * p.heads * p.length * p.length;
    float *q =
        reinterpret_cast<float *>(workspace().reserve(4 * (5 * values + 2 * square + chunk * p.heads * p.length)));
    float *k = q + values, *v = k + values, *d = v + values, *result = d + values;
    float *scores = result + values, *dscores = scores + square, *deltas = dscores + square;
    const float *tokens = qkv + first * p.length * 3 * p.width();
    const float *from = out + first * p.length * p.width();
    float *dtokens = dqkv + first * p.length * 3 * p.width();
    split(p, images, tokens, 3, 0, q, p.scale);
    split(p, images, tokens, 3, 1, k, 1);
    split(p, images, tokens, 3, 2, v, 1);
    split(p, images, dout + first * p.length * p.width(), 1, 0, d, 1);
    multiply(matrices, p.length, p.size, p.length, q, false, k, true, scores);
    multiply(matrices, p.length, p.size, p.length, d, false, v, true, dscores);
    in_parts(rows, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const int64_t image = row / (p.heads * p.length), head = row / p.length % p.heads, position = row % p.length;
        deltas[row] = dot(d + row * p.size, from + (image * p.length + position) * p.width() + head * p.size, p.size);
      }
      softmax_rows_backward(scores + begin * p.length, dscores + begin * p.length,
                            sums + first * p.heads * p.length + begin, deltas + begin, end - begin, p.length);
    });
    multiply(matrices, p.length, p.length, p.size, dscores, false, k, false, result);
    merge(p, images, result, 3, 0, dtokens, p.scale);
    multiply(matrices, p.length, p.length, p.size, dscores, true, q, false, result);
    merge(p, images, result, 3, 1, dtokens, 1);
    multiply(matrices, p.length, p.length, p.size, scores, true, d, false, result);
    merge(p, images, result, 3, 2, dtokens, 1);
  });
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// qkv (N, L, 3 * heads * size), configuration -> out (N, L, heads * size), sums (N, heads, L)
int AttentionForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 4 || dims[0] != 3 || !all_fp32(n, dtypes, 1)) return BAD_ARGUMENTS;
  return guarded([&] {
    Tokens p;
    if (!read(p, shapes[0], static_cast<const int64_t *>(data[1]))) return int(BAD_ARGUMENTS);
    forward(p, static_cast<const float *>(data[0]), static_cast<float *>(data[2]), static_cast<float *>(data[3]));
    return int(OK);
  });
}

// dout, qkv, out, sums, configuration -> dqkv
int AttentionBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 6 || dims[1] != 3 || !all_fp32(n, dtypes, 4)) return BAD_ARGUMENTS;
  return guarded([&] {
    Tokens p;
    if (!read(p, shapes[1], static_cast<const int64_t *>(data[4]))) return int(BAD_ARGUMENTS);
    auto at = [&](int i) { return static_cast<const float *>(data[i]); };
    backward(p, at(0), at(1), at(2), at(3), static_cast<float *>(data[5]));
    return int(OK);
  });
}

}  // extern "C"
