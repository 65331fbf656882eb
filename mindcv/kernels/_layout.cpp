// Maps from (N, C, H, W) in fp32 to (N, H, W, C) and back, in fp32 or bfloat16, and sums of such maps.
#include "_plans.h"
#include "_vectors.h"

namespace mindcv {

FOR_PROCESSORS HIDDEN void sum_fp32(const float *a, const float *b, float *y, long n) {
  for (long i = 0; i < n; i++) y[i] = a[i] + b[i];
}

FOR_PROCESSORS HIDDEN void sum_bf16(const uint16_t *a, const uint16_t *b, uint16_t *y, long n) {
  for (long i = 0; i < n; i++) {
    const uint32_t wide_a = uint32_t(a[i]) << 16, wide_b = uint32_t(b[i]) << 16;
    float of_a, of_b;
    memcpy(&of_a, &wide_a, sizeof of_a);
    memcpy(&of_b, &wide_b, sizeof of_b);
    const float total = of_a + of_b;
    uint32_t bits;
    memcpy(&bits, &total, sizeof bits);
    const uint32_t up = (bits + (0x7fffu + ((bits >> 16) & 1u))) >> 16;
    y[i] = uint16_t(total == total ? up : (bits >> 16) | 0x40u);
  }
}

namespace {

// The configuration as it comes from Python (mindcv/kernels/layout.py has the same order).
enum { TO_LAST, HALF_MAPS };

const char *type_name(bool is_half) { return is_half ? "bfloat16" : "float32"; }

}  // namespace

Plan &layout_plan(const int64_t *x, bool to_last, bool is_half) {
  const Key key{LAYOUT, to_last, is_half, x[0], x[1], x[2], x[3]};
  return plan_of(key, [&] {
    auto plan = std::make_unique<Plan>();
    const std::vector<int64_t> dims =
        to_last ? std::vector<int64_t>{x[0], x[1], x[2], x[3]} : std::vector<int64_t>{x[0], x[3], x[1], x[2]};
    Desc first(dims, F32, ABCD), last(dims, is_half ? BF16 : F32, ACDB);
    const Desc &from = to_last ? first : last, &to = to_last ? last : first;
    plan->reorder(plan->tensor(0, from), from, plan->tensor(1, to), to);
    return plan;
  });
}

}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, configuration {to (N, H, W, C), whether that one is bfloat16} -> y
int ChangeLayout(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 3 || dims[0] != 4 || strcmp(dtypes[1], "int64") != 0) return BAD_ARGUMENTS;
  const auto *config = static_cast<const int64_t *>(data[1]);
  const bool to_last = config[TO_LAST], is_half = config[HALF_MAPS];
  if (strcmp(dtypes[0], type_name(is_half && !to_last)) != 0 || strcmp(dtypes[2], type_name(is_half && to_last)) != 0)
    return BAD_ARGUMENTS;
  return guarded([&] {
    void *tensors[] = {data[0], data[2]};
    layout_plan(shapes[0], to_last, is_half).run(tensors);
    return int(OK);
  });
}

// Two maps of one type, fp32 or bfloat16, configuration (not read) -> their sum
int SumOfMaps(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  const bool is_half = strcmp(dtypes[0], "bfloat16") == 0;
  if (n != 4 || (!is_half && strcmp(dtypes[0], "float32") != 0) || strcmp(dtypes[0], dtypes[1]) != 0 ||
      strcmp(dtypes[0], dtypes[3]) != 0)
    return BAD_ARGUMENTS;
  return guarded([&] {
    int64_t values = 1;
    for (int i = 0; i < dims[0]; i++) values *= shapes[0][i];
    const int threads = shared().pool.get_num_threads();
    shared().pool.parallel_for(threads, [&](int t, int) {
      const int64_t begin = values * t / threads, count = values * (t + 1) / threads - begin;
      if (is_half) {
        const auto *a = static_cast<const uint16_t *>(data[0]), *b = static_cast<const uint16_t *>(data[1]);
        sum_bf16(a + begin, b + begin, static_cast<uint16_t *>(data[3]) + begin, count);
      } else {
        const auto *a = static_cast<const float *>(data[0]), *b = static_cast<const float *>(data[1]);
        sum_fp32(a + begin, b + begin, static_cast<float *>(data[3]) + begin, count);
      }
    });
    return int(OK);
  });
}

}  // extern "C"
