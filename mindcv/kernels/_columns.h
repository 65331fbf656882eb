// Maps of few pixels, (N, H, W, C) in fp32, as matrices that a convolution is a product of: a row for each pixel of the
// result, a column for each value of a weight, in the weight's order.
#ifndef MINDCV_COLUMNS_H
#define MINDCV_COLUMNS_H

#include <cstdint>

namespace mindcv {

struct Columns {
  int64_t n, channels, ih, iw, oh, ow, kh, kw, stride_h, stride_w, dilation_h, dilation_w, top, left;
};

// x -> (N * OH * OW, C * KH * KW); zeros where the kernel reaches over the border
void columns_of(const Columns &p, const float *x, float *columns);
// The gradient: dx, from that of the matrix
void add_columns(const Columns &p, const float *columns, float *dx);

}  // namespace mindcv

#endif  // MINDCV_COLUMNS_H
