// Dense layers, and dense layers behind a GELU, forward and backward, over the oneDNN library of MindSpore's wheel. The
// GELU's values are not kept for the backward pass, which makes them once more: they would be four ninths of what a
// transformer's two dense layers keep.
#include "_gelu.h"
#include "_plans.h"

namespace mindcv {
namespace {

// The configuration as it comes from Python (mindcv/kernels/dense.py has the same order), and what is before the layer.
enum { IN_BF16, BEFORE, CONFIGURATION_SIZE };
enum { NOTHING, GELU_BY_ERF, GELU_BY_TANH };

// Rows whose GELU is made at once: it stays in a cache, and there are enough for a fast product. In bfloat16 each
// product rounds all of the weight before.
constexpr int64_t kPartBytes = 2 << 20, kLeastRows = 512, kLeastRowsInBf16 = 4096;

int64_t rows_of(const int64_t *shape, int dims) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < dims; i++) rows *= shape[i];
  return rows;
}

// A dense layer: (rows, in) to (rows, out) by a weight (out, in), and its gradients.
// `accumulates`: the result is added to what is there.
std::unique_ptr<Plan> dense_plan(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16,
                                 bool accumulates) {
  auto plan = std::make_unique<Plan>();
  const bool forward = kind == DENSE_FORWARD, to_data = kind == DENSE_BACKWARD_DATA;
  // y = x w', dx = dy w, dw = dy' x
  Desc first = forward ? matrix(rows, in, false) : to_data ? matrix(rows, out, false) : matrix(out, rows, true);
  Desc second = forward ? matrix(in, out, true) : to_data ? matrix(out, in, false) : matrix(rows, in, false);
  Desc result = forward ? matrix(rows, out, false) : to_data ? matrix(rows, in, false) : matrix(out, in, false);
  Desc bias = matrix(1, out, false);
  const Desc none;
  auto half = [](int64_t height, int64_t width) { return Desc({height, width}, BF16, ANY); };
  Desc first_half = half(forward || to_data ? rows : out, forward ? in : to_data ? out : rows);
  Desc second_half = half(forward ? in : to_data ? out : rows, forward ? out : in);
  Attributes attributes(accumulates);
  Description description;
  check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, in_bf16 ? first_half : first,
                                           in_bf16 ? second_half : second, has_bias ? bias : none, result,
                                           attributes.attr),
        "matmul");
  std::vector<Arg> args{{ARG_SRC, plan->input(0, first, description.memory(QUERY_SRC))},
                        {ARG_WEIGHTS, plan->input(1, second, description.memory(QUERY_WEIGHTS))},
                        {ARG_DST, plan->tensor(has_bias ? 3 : 2, result)}};
  if (has_bias) args.push_back({ARG_BIAS, plan->tensor(2, bias)});
  plan->add(description, args);
  plan->implementation = description.implementation();
  return plan;
}

}  // namespace

Plan &dense_plan_for(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16, bool accumulates) {
  const Key key{kind, has_bias, rows, in, out, in_bf16, accumulates};
  return plan_of(key, [&] { return dense_plan(kind, rows, in, out, has_bias, in_bf16, accumulates); });
}

namespace {

struct Layer {
  int64_t rows, in, out;
  bool has_bias, in_bf16;
  int64_t before;

  // Runs one of its products for some of the rows.
  void run(Kind kind, int64_t some, std::array<const void *, 4> tensors, bool accumulates = false) const {
    void *given[4];
    for (int i = 0; i < 4; i++) given[i] = const_cast<void *>(tensors[i]);
    dense_plan_for(kind, some, in, out, has_bias, in_bf16, accumulates).run(given);
  }

  // Calls work(first row, rows): for all of them, or behind a GELU for parts of them.
  template <class Work>
  void in_parts(Work work) const {
    const int64_t fit = std::max(kPartBytes / (4 * in), in_bf16 ? kLeastRowsInBf16 : kLeastRows);
    const int64_t parts = before ? (rows + fit - 1) / fit : 1, part = before ? (rows / parts + 31) / 16 * 16 : rows;
    for (int64_t first = 0; first < rows; first += part) work(first, std::min(part, rows - first));
  }

  // Some rows of x as the products take them.
  const float *input(const float *x, int64_t some) const {
    if (!before) return x;
    float *values = reinterpret_cast<float *>(workspace().reserve(4 * some * in));
    gelu(before == GELU_BY_TANH, x, values, some * in);
    return values;
  }
};

Layer layer_of(const int64_t *x, int dims, const int64_t *w, const void *config, bool has_bias) {
  const auto *values = static_cast<const int64_t *>(config);
  return {rows_of(x, dims), w[1], w[0], has_bias, values[IN_BF16] != 0, values[BEFORE]};
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, w, (bias,) configuration -> y, over all but the last axis of x
int DenseForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 4 && n != 5) || !all_fp32(n, dtypes, n - 2)) return BAD_ARGUMENTS;
  return guarded([&] {
    const Layer layer = layer_of(shapes[0], dims[0], shapes[1], data[n - 2], n == 5);
    if (shapes[0][dims[0] - 1] != layer.in) return int(BAD_ARGUMENTS);
    const auto *x = static_cast<const float *>(data[0]);
    auto *y = static_cast<float *>(data[n - 1]);
    layer.in_parts([&](int64_t first, int64_t some) {
      const float *input = layer.input(x + first * layer.in, some);
      float *output = y + first * layer.out;
      layer.run(DENSE_FORWARD, some, {input, data[1], n == 5 ? data[2] : output, output});
    });
    return int(OK);
  });
}

// dy, w, x, configuration -> dx
int DenseBackwardData(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 5 || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const Layer layer = layer_of(shapes[2], dims[2], shapes[1], data[3], false);
    const auto *dy = static_cast<const float *>(data[0]), *x = static_cast<const float *>(data[2]);
    auto *dx = static_cast<float *>(data[4]);
    layer.in_parts([&](int64_t first, int64_t some) {
      float *part = dx + first * layer.in;
      layer.run(DENSE_BACKWARD_DATA, some, {dy + first * layer.out, data[1], part});
      if (layer.before) gelu_backward(layer.before == GELU_BY_TANH, part, x + first * layer.in, part, some * layer.in);
    });
    return int(OK);
  });
}

// dy, x, w (for its shape), configuration -> dw (, dbias)
int DenseBackwardWeights(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 5 && n != 6) || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const Layer layer = layer_of(shapes[1], dims[1], shapes[2], data[3], false);
    const auto *dy = static_cast<const float *>(data[0]), *x = static_cast<const float *>(data[1]);
    layer.in_parts([&](int64_t first, int64_t some) {
      const float *input = layer.input(x + first * layer.in, some);
      layer.run(DENSE_BACKWARD_WEIGHTS, some, {dy + first * layer.out, input, data[4]}, first > 0);
    });
    if (n == 6) sum_bias(dy, static_cast<float *>(data[5]), 1, layer.out, layer.rows, true);
    return int(OK);
  });
}

}  // extern "C"
