// Convolutions of 3x3 in groups of 4 or 8 channels, (N, H, W, C) in fp32, for which oneDNN's kernels take several times
// as long as the products need.
#ifndef MINDCV_GROUPED_H
#define MINDCV_GROUPED_H

#include <cstdint>

namespace mindcv {

struct Grouped {
  long n, channels, ih, iw, oh, ow, stride, top, left;
  long width;  // channels of a group
};

// Whether this processor and these sizes have them.
bool has_grouped(const Grouped &p);
// x, w (channels, width, 3, 3) -> y
void grouped_forward(const Grouped &p, const float *x, const float *w, float *y);
// dy, w -> dx; only with a stride of 1
void grouped_backward_data(const Grouped &p, const float *dy, const float *w, float *dx);
// x, dy -> dw
void grouped_backward_weights(const Grouped &p, const float *x, const float *dy, float *dw);

}  // namespace mindcv

#endif  // MINDCV_GROUPED_H
