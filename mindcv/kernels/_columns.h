// Maps of few pixels in fp32 as matrices that a convolution is a product of: a row for each pixel of the result, a
// column for each value of a weight, in the weight's order.
#ifndef MINDCV_COLUMNS_H
#define MINDCV_COLUMNS_H

#include <cstdint>

namespace mindcv {

struct Columns {
  int64_t n, channels, ih, iw, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left;
  bool is_last;  // maps are (N, H, W, C), else (N, C, H, W)

  // From one channel of a pixel to the next.
  int64_t stride() const { return is_last ? 1 : ih * iw; }
  // The first channel of a pixel.
  int64_t start(int64_t image, int64_t y, int64_t x) const {
    return image * channels * ih * iw + (y * iw + x) * (is_last ? channels : 1);
  }
};

// x -> (N * OH * OW, C * KH * KW); zeros where the kernel reaches over the border
void columns_of(const Columns &p, const float *x, float *columns);
// The gradient: dx, from that of the matrix
void add_columns(const Columns &p, const float *columns, float *dx);

}  // namespace mindcv

#endif  // MINDCV_COLUMNS_H
