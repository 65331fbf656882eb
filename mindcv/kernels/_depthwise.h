// The gradient of a depthwise convolution's weights, (N, H, W, C) in fp32, for which oneDNN's kernels of more than 3x3
// turn maps and take ten times as long as the products need.
#ifndef MINDCV_DEPTHWISE_H
#define MINDCV_DEPTHWISE_H

#include <cstdint>

namespace mindcv {

struct Depthwise {
  long n, channels, ih, iw, oh, ow, side, stride, top, left;
};

// Whether this processor and these sizes have it.
bool has_depthwise(const Depthwise &p);
// x, dy -> dw (channels, 1, side, side)
void depthwise_backward_weights(const Depthwise &p, const float *x, const float *dy, float *dw);

}  // namespace mindcv

#endif  // MINDCV_DEPTHWISE_H
