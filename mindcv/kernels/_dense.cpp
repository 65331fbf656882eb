// Dense layers, forward and backward, over the oneDNN library of MindSpore's wheel.
#include "_plans.h"

namespace mindcv {
namespace {

int64_t rows_of(const int64_t *shape, int dims) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < dims; i++) rows *= shape[i];
  return rows;
}

// A dense layer: (rows, in) to (rows, out) by a weight (out, in), and its gradients.
std::unique_ptr<Plan> dense_plan(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16) {
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
  Attributes attributes;
  Description description;
  check(dnn().matmul_primitive_desc_create(&description.desc, shared().engine, in_bf16 ? first_half : first,
                                           in_bf16 ? second_half : second, has_bias ? bias : none, result, attributes.attr),
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

Plan &dense_plan_for(Kind kind, int64_t rows, int64_t in, int64_t out, bool has_bias, bool in_bf16) {
  const Key key{kind, has_bias, rows, in, out, in_bf16};
  return plan_of(key, [&] { return dense_plan(kind, rows, in, out, has_bias, in_bf16); });
}

}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, w, (bias,) configuration {in bf16} -> y, over all but the last axis of x
int DenseForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 4 && n != 5) || !all_fp32(n, dtypes, n - 2)) return BAD_ARGUMENTS;
  return guarded([&] {
    const int64_t out = shapes[1][0], in = shapes[1][1], rows = rows_of(shapes[0], dims[0]);
    if (shapes[0][dims[0] - 1] != in) return int(BAD_ARGUMENTS);
    const bool in_bf16 = *static_cast<const int64_t *>(data[n - 2]);
    void *tensors[] = {data[0], data[1], data[n == 5 ? 2 : n - 1], data[n - 1]};
    dense_plan_for(DENSE_FORWARD, rows, in, out, n == 5, in_bf16).run(tensors);
    return int(OK);
  });
}

// dy, w, x (for its shape), configuration -> dx
int DenseBackwardData(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 5 || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    void *tensors[] = {data[0], data[1], data[4]};
    const bool in_bf16 = *static_cast<const int64_t *>(data[3]);
    dense_plan_for(DENSE_BACKWARD_DATA, rows_of(shapes[2], dims[2]), shapes[1][1], shapes[1][0], false, in_bf16).run(tensors);
    return int(OK);
  });
}

// dy, x, w (for its shape), configuration -> dw (, dbias)
int DenseBackwardWeights(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 5 && n != 6) || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  return guarded([&] {
    const int64_t out = shapes[2][0], in = shapes[2][1], rows = rows_of(shapes[1], dims[1]);
    void *tensors[] = {data[0], data[1], data[4]};
    const bool in_bf16 = *static_cast<const int64_t *>(data[3]);
    dense_plan_for(DENSE_BACKWARD_WEIGHTS, rows, in, out, false, in_bf16).run(tensors);
    if (n == 6) sum_bias(static_cast<const float *>(data[0]), static_cast<float *>(data[5]), 1, out, rows, true);
    return int(OK);
  });
}

}  // extern "C"
