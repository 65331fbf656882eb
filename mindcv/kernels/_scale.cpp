// Products of maps or tokens with a factor for each row or each column, with a sum behind them, and their gradients.
// MindSpore's operator keeps two lists of indices for such a product, 16 bytes for each value.
#include <vector>

#include "_plans.h"
#include "_vectors.h"

namespace mindcv {

// Rows begin to end of (rows, size); a factor a row, or a column.
FOR_PROCESSORS HIDDEN void scale_rows(const float *x, const float *factors, const float *other, float *y, long begin,
                                      long end, long size) {
  for (long row = begin; row < end; row++) {
    const float *from = x + row * size, factor = factors[row];
    float *to = y + row * size;
    if (other)
      for (long i = 0; i < size; i++) to[i] = from[i] * factor + other[row * size + i];
    else
      for (long i = 0; i < size; i++) to[i] = from[i] * factor;
  }
}

FOR_PROCESSORS HIDDEN void scale_columns(const float *x, const float *factors, const float *other, float *y, long begin,
                                         long end, long size) {
  for (long row = begin; row < end; row++) {
    const float *from = x + row * size;
    float *to = y + row * size;
    if (other)
      for (long i = 0; i < size; i++) to[i] = from[i] * factors[i] + other[row * size + i];
    else
      for (long i = 0; i < size; i++) to[i] = from[i] * factors[i];
  }
}

// The gradient of each row's factor.
FOR_PROCESSORS HIDDEN void products_of_rows(const float *dy, const float *x, float *dfactors, long begin, long end,
                                            long size) {
  for (long row = begin; row < end; row++) {
    const float *d = dy + row * size, *from = x + row * size;
    double total = 0;
    for (long first = 0; first < size; first += 4096) {
      const long last = first + 4096 < size ? first + 4096 : size, whole = first + (last - first) / 16 * 16;
      Vector s{};
      for (long i = first; i < whole; i += 16) s += load(d + i) * load(from + i);
      float part = sum(s);
      for (long i = whole; i < last; i++) part += d[i] * from[i];
      total += part;
    }
    dfactors[row] = float(total);
  }
}

// Adds the gradients of the columns' factors that rows begin to end give.
FOR_PROCESSORS HIDDEN void products_of_columns(const float *dy, const float *x, float *dfactors, long begin, long end,
                                               long size) {
  for (long row = begin; row < end; row++)
    for (long i = 0; i < size; i++) dfactors[i] += dy[row * size + i] * x[row * size + i];
}

namespace {

constexpr long kFlush = 64;  // so many rows are summed in fp32, the rest in double precision

int64_t values_of(const int64_t *shape, int dims) {
  int64_t values = 1;
  for (int i = 0; i < dims; i++) values *= shape[i];
  return values;
}

struct Sizes {
  long rows, size;
  bool by_row;
};

// False where there are not whole rows or columns.
bool read(Sizes &p, int64_t values, int64_t factors, const int64_t *config) {
  if (values < 1 || factors < 1 || values % factors != 0) return false;
  p.by_row = config[0];
  p.rows = p.by_row ? factors : values / factors;
  p.size = values / p.rows;
  return true;
}

}  // namespace
}  // namespace mindcv

using namespace mindcv;

extern "C" {

// x, factors, (what is added,) configuration {a factor for each row, and not for each column} -> y
int ScaleForward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if ((n != 4 && n != 5) || !all_fp32(n, dtypes, n - 2)) return BAD_ARGUMENTS;
  Sizes p;
  if (!read(p, values_of(shapes[0], dims[0]), values_of(shapes[1], dims[1]),
            static_cast<const int64_t *>(data[n - 2])) ||
      (n == 5 && values_of(shapes[2], dims[2]) != p.rows * p.size))
    return BAD_ARGUMENTS;
  return guarded([&] {
    auto at = [&](int i) { return static_cast<float *>(data[i]); };
    const int threads = shared().pool.get_num_threads();
    shared().pool.parallel_for(threads, [&](int t, int) {
      (p.by_row ? scale_rows : scale_columns)(at(0), at(1), n == 5 ? at(2) : nullptr, at(n - 1), p.rows * t / threads,
                                              p.rows * (t + 1) / threads, p.size);
    });
    return int(OK);
  });
}

// dy, x, factors, configuration -> dx, dfactors
int ScaleBackward(int n, void **data, int *dims, int64_t **shapes, const char **dtypes, void *, void *) {
  if (n != 6 || !all_fp32(n, dtypes, 3)) return BAD_ARGUMENTS;
  Sizes p;
  if (!read(p, values_of(shapes[1], dims[1]), values_of(shapes[2], dims[2]), static_cast<const int64_t *>(data[3])))
    return BAD_ARGUMENTS;
  return guarded([&] {
    auto at = [&](int i) { return static_cast<float *>(data[i]); };
    const int threads = shared().pool.get_num_threads();
    std::vector<std::vector<double>> sums(p.by_row ? 0 : threads, std::vector<double>(p.size, 0.0));
    shared().pool.parallel_for(threads, [&](int t, int) {
      const long first = p.rows * t / threads, last = p.rows * (t + 1) / threads;
      if (p.by_row) {
        for (long row = first; row < last; row++) {  // of which a cache has the second reading
          products_of_rows(at(0), at(1), at(5), row, row + 1, p.size);
          scale_rows(at(0), at(2), nullptr, at(4), row, row + 1, p.size);
        }
        return;
      }
      std::vector<float> part(p.size);
      for (long row = first; row < last; row += kFlush) {
        const long end = std::min(row + kFlush, last);
        std::fill(part.begin(), part.end(), 0.0f);
        products_of_columns(at(0), at(1), part.data(), row, end, p.size);
        scale_columns(at(0), at(2), nullptr, at(4), row, end, p.size);
        for (long i = 0; i < p.size; i++) sums[t][i] += part[i];
      }
    });
    for (long i = 0; !p.by_row && i < p.size; i++) {
      double total = 0;
      for (const auto &of_thread : sums) total += of_thread[i];
      at(5)[i] = float(total);
    }
    return int(OK);
  });
}

}  // extern "C"
