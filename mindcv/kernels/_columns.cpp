#include "_columns.h"

#include <vector>

#include "_shared.h"

namespace mindcv {

void columns_of(const Columns &p, const float *x, float *columns) {
  const int64_t taps = p.kh * p.kw, stride = p.stride();
  const std::vector<float> outside(size_t(p.channels * stride), 0.0f);
  shared().pool.parallel_for(int(p.n * p.oh * p.ow), [&](int row, int) {
    const int64_t image = row / (p.oh * p.ow), oy = row / p.ow % p.oh, ox = row % p.ow;
    std::vector<const float *> from;
    for (int64_t ky = 0; ky < p.kh; ky++) {
      for (int64_t kx = 0; kx < p.kw; kx++) {
        const int64_t iy = oy * p.stride_h + ky * p.dilation_h - p.top,
                      ix = ox * p.stride_w + kx * p.dilation_w - p.left;
        const bool is_inside = iy >= 0 && iy < p.ih && ix >= 0 && ix < p.iw;
        from.push_back(is_inside ? x + p.start(image, iy, ix) : outside.data());
      }
    }
    float *to = columns + row * p.channels * taps;
    for (int64_t c = 0; c < p.channels; c++)
      for (int64_t tap = 0; tap < taps; tap++) *to++ = from[tap][c * stride];
  });
}

void add_columns(const Columns &p, const float *columns, float *dx) {
  const int64_t taps = p.kh * p.kw, stride = p.stride();
  shared().pool.parallel_for(int(p.n * p.ih * p.iw), [&](int pixel, int) {
    const int64_t image = pixel / (p.ih * p.iw), iy = pixel / p.iw % p.ih, ix = pixel % p.iw;
    std::vector<const float *> from;
    for (int64_t ky = 0; ky < p.kh; ky++) {
      const int64_t down = iy + p.top - ky * p.dilation_h;
      if (down < 0 || down % p.stride_h || down / p.stride_h >= p.oh) continue;
      for (int64_t kx = 0; kx < p.kw; kx++) {
        const int64_t along = ix + p.left - kx * p.dilation_w;
        if (along < 0 || along % p.stride_w || along / p.stride_w >= p.ow) continue;
        const int64_t row = (image * p.oh + down / p.stride_h) * p.ow + along / p.stride_w;
        from.push_back(columns + row * p.channels * taps + ky * p.kw + kx);
      }
    }
    float *to = dx + p.start(image, iy, ix);
    for (int64_t c = 0; c < p.channels; c++) {
      float sum = 0.0f;
      for (const float *tap : from) sum += tap[c * taps];
      to[c * stride] = sum;
    }
  });
}

}  // namespace mindcv
