// GELU of values that lie one behind the other, and its gradient, by all threads. To be called with the mutex held.
#ifndef MINDCV_GELU_H
#define MINDCV_GELU_H

namespace mindcv {

void gelu(bool by_tanh, const float *x, float *y, long n);
// `dx` may be `dy`.
void gelu_backward(bool by_tanh, const float *dy, const float *x, float *dx, long n);

}  // namespace mindcv

#endif  // MINDCV_GELU_H
