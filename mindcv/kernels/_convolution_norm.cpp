// A convolution and the BatchNorm behind it in one operator, so that a graph has half as many of them to compile. Their
// work is that of the operators in _convolution.cpp and _batch_norm.cpp, one after the other.
#include <cstdint>
#include <initializer_list>

#include "_shared.h"

using namespace mindcv;

extern "C" {

int ConvolutionForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *);
int ConvolutionBackwardWeights(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *);
int BatchNormForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *);
int BatchNormBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *);

}  // extern "C"

namespace {

// How many numbers the convolution's configuration has; the BatchNorm's stands behind it.
constexpr int kOfConvolution = 13;
constexpr int kMost = 12;

using Operator = int(int, void **, int *, int64_t **, const char **, void *, void *);

// The tensors of an operator, some of which are given to another one.
struct Tensors {
  void **data;
  int *dims;
  int64_t **shapes;
  const char **dtypes;

  // Runs an operator with the tensors of these indices; its configuration is `configuration`, from `offset` on.
  int run(Operator *part, std::initializer_list<int> indices, int configuration, int offset) const {
    void *some_data[kMost];
    int some_dims[kMost], count = 0;
    int64_t *some_shapes[kMost];
    const char *some_dtypes[kMost];
    for (int index : indices) {
      if (index < 0) continue;
      some_data[count] = index == configuration ? static_cast<int64_t *>(data[index]) + offset : data[index];
      some_dims[count] = dims[index];
      some_shapes[count] = shapes[index];
      some_dtypes[count++] = dtypes[index];
    }
    return part(count, some_data, some_dims, some_shapes, some_dtypes, nullptr, nullptr);
  }
};

}  // namespace

extern "C" {

// x, w, gamma, beta, moving mean, moving variance, (shortcut,) configurations -> out, y (the convolution's), mean,
// variance
int ConvolutionNormForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 11 && n != 12) return BAD_ARGUMENTS;
  const Tensors all{data, dims, shapes, dtypes};
  const int c = n - 5, out = n - 4, y = n - 3, shortcut = n == 12 ? 6 : -1;
  const int failed = all.run(ConvolutionForward, {0, 1, c, y}, c, 0);
  if (failed) return failed;
  return all.run(BatchNormForward, {y, 2, 3, 4, 5, shortcut, c, out, n - 2, n - 1}, c, kOfConvolution);
}

// dout, out (which only a sum needs; else y), y, x, w, gamma, beta, mean, variance, configurations
// -> dy, dw, dgamma, dbeta (, dshortcut)
int ConvolutionNormBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 14 && n != 15) return BAD_ARGUMENTS;
  const Tensors all{data, dims, shapes, dtypes};
  const int failed =
      all.run(BatchNormBackward, {0, 2, 1, 5, 6, 7, 8, 9, 10, 12, 13, n == 15 ? 14 : -1}, 9, kOfConvolution);
  if (failed) return failed;
  return all.run(ConvolutionBackwardWeights, {3, 10, 4, 9, 11}, 9, 0);
}

}  // extern "C"
