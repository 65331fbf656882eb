/* Operations of augmentation on pixels, without holding Python's lock.
 *
 * Colours, sharpness and blur are Pillow's, bit for bit: its formulas are followed in the same order and precision, which
 * is why the compiler may not contract multiplications and additions. Geometry is computed in single precision, where
 * Pillow has double, so that a value in some hundred is a grey level off. Images are (height, width, 3) bytes. Only the
 * buffer protocol is used, so one build serves any numpy. With WITHOUT_PYTHON it has no module, for `.ci/c`.
 */

#ifndef WITHOUT_PYTHON
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#endif

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Code for the processor at hand is chosen when the module is loaded, where the compiler can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_PROCESSORS_WITH(feature) __attribute__((target_clones(feature, "default")))
#else
#define FOR_PROCESSORS_WITH(feature)
#endif

enum { CHANNELS = 3, LEVELS = 256, LARGEST_SIDE = 1 << 16 };

static inline long clamp(long value, long least, long most)
{
    return value < least ? least : value > most ? most : value;
}

/* Luma of ITU-R BT.601, in parts of 65536, rounded. */
static inline int grey_of(const uint8_t *pixel)
{
    return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16;
}

/* From one value to another by a share, cut off at the ends of the range; what is behind the point is dropped. */
static inline uint8_t blend(int from, int to, float share)
{
    float value = (float)from + share * (float)(to - from);
    return !(value > 0) ? 0 : value >= 255 ? 255 : (uint8_t)value; /* what is no number becomes 0 */
}

static void look_up(const uint8_t *source, const uint8_t *table, long pixels, uint8_t *out)
{
    const uint8_t *red = table, *green = table + LEVELS, *blue = table + 2 * LEVELS;
    for (long i = 0; i < pixels; i++, source += CHANNELS, out += CHANNELS) {
        out[0] = red[source[0]];
        out[1] = green[source[1]];
        out[2] = blue[source[2]];
    }
}

static void count_levels(const uint8_t *source, long pixels, int32_t *counts)
{
    memset(counts, 0, CHANNELS * LEVELS * sizeof(int32_t));
    for (long i = 0; i < pixels; i++, source += CHANNELS)
        for (int channel = 0; channel < CHANNELS; channel++)
            counts[channel * LEVELS + source[channel]]++;
}

FOR_PROCESSORS_WITH("avx2")
static int64_t sum_grey(const uint8_t *source, long pixels)
{
    int64_t sum = 0;
    for (long i = 0; i < pixels; i++)
        sum += grey_of(source + i * CHANNELS);
    return sum;
}

FOR_PROCESSORS_WITH("avx2")
static void saturate(const uint8_t *restrict source, float factor, long pixels, uint8_t *restrict out)
{
    for (long i = 0; i < pixels; i++, source += CHANNELS, out += CHANNELS) {
        int grey = grey_of(source);
        for (int channel = 0; channel < CHANNELS; channel++)
            out[channel] = blend(grey, source[channel], factor);
    }
}

/* As `blend` from one level, for all values. */
FOR_PROCESSORS_WITH("avx2")
static void blend_level(const uint8_t *restrict source, int level, float factor, long values, uint8_t *restrict out)
{
    for (long i = 0; i < values; i++)
        out[i] = blend(level, source[i], factor);
}

/* A row, away from the mean of 3 x 3 pixels whose middle counts five times, or towards it. */
FOR_PROCESSORS_WITH("avx2")
static void sharpen_row(const uint8_t *restrict above, const uint8_t *restrict row, const uint8_t *restrict below,
                        long values, float factor, uint8_t *restrict out)
{
    for (long i = CHANNELS; i < values - CHANNELS; i++) {
        int sum = above[i - CHANNELS] + above[i] + above[i + CHANNELS] + row[i - CHANNELS] + 5 * row[i] +
                  row[i + CHANNELS] + below[i - CHANNELS] + below[i] + below[i + CHANNELS];
        out[i] = blend((2 * sum + 13) / 26, row[i], factor);
    }
}

/* The border of one pixel stays as it is. */
static void sharpen(const uint8_t *source, long height, long width, float factor, uint8_t *out)
{
    long stride = width * CHANNELS;
    memcpy(out, source, (size_t)(height * stride));
    for (long row = 1; row < height - 1; row++) {
        const uint8_t *middle = source + row * stride;
        sharpen_row(middle - stride, middle, middle + stride, stride, factor, out + row * stride);
    }
}

/* Geometry in general. A pixel is handled in four lanes; the fourth is not used. */
typedef float Pixel __attribute__((vector_size(16)));
typedef int32_t Whole __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(4)));

typedef struct {
    const Pixel *pixels;
    long height, width;
} Picture;

/* Between the second and the third of four values, by the cubic polynomial whose slopes there are theirs. */
#define CUBIC(one, two, three, four, d) \
    __extension__({ \
        Pixel v1_ = one, v2_ = two, v3_ = three, v4_ = four; \
        v2_ + (d) * (v3_ - v1_ + (d) * (2 * (v1_ - v2_) + v3_ - v4_ + (d) * (v2_ - v1_ - v3_ + v4_))); \
    })

/* Where a new pixel lies among the old ones: in front of it the pixel (row, column), and how far it is behind that. */
typedef struct {
    long row, column;
    float down, right;
} Place;

#define VALUE(i) pixels_[columns[i]]

static inline const Pixel *pixels_of(const Picture *picture, long row)
{
    return picture->pixels + clamp(row, 0, picture->height - 1) * picture->width;
}

/* Cuts values off at the ends of the range, and drops what is behind the point. */
static inline void store(Pixel values, uint8_t *out)
{
    Whole whole = __builtin_convertvector(values, Whole);
    whole &= whole >= 0;
    whole |= whole > 255;
    Bytes bytes = __builtin_convertvector(whole, Bytes);
    memcpy(out, &bytes, CHANNELS);
}

#define LINEAR_ROW(row) \
    __extension__({ \
        const Pixel *pixels_ = pixels_of(picture, row); \
        Pixel near_ = VALUE(1); \
        near_ + (VALUE(2) - near_) * place.right; \
    })

#define CUBIC_ROW(row) \
    __extension__({ \
        const Pixel *pixels_ = pixels_of(picture, row); \
        Pixel two_ = VALUE(1); \
        CUBIC(VALUE(0), two_, VALUE(2), VALUE(3), place.right); \
    })

/* One row of the result. Pixels from outside keep the filling. */
#define WARP_ROW(name, ROW, BETWEEN) \
    FOR_PROCESSORS_WITH("avx2") \
    static void name(const Picture *picture, const double *matrix, long row, uint8_t *out) \
    { \
        double y = (double)row + 0.5; \
        for (long column = 0; column < picture->width; column++, out += CHANNELS) { \
            double x = (double)column + 0.5; \
            double from_x = matrix[0] * x + matrix[1] * y + matrix[2]; \
            double from_y = matrix[3] * x + matrix[4] * y + matrix[5]; \
            if (!(from_x >= 0 && from_x < (double)picture->width && from_y >= 0 && from_y < (double)picture->height)) \
                continue; \
            Place place = place_of(from_x, from_y); \
            long columns[4]; \
            for (int i = 0; i < 4; i++) \
                columns[i] = clamp(place.column - 1 + i, 0, picture->width - 1); \
            Pixel values = ROW(place.row); \
            store(BETWEEN, out); \
        } \
    }

static inline Place place_of(double x, double y)
{
    double column = floor(x - 0.5), row = floor(y - 0.5);
    return (Place){(long)row, (long)column, (float)(y - 0.5 - row), (float)(x - 0.5 - column)};
}

WARP_ROW(warp_row_linear, LINEAR_ROW, values + (LINEAR_ROW(place.row + 1) - values) * place.down)
WARP_ROW(warp_row_cubic, CUBIC_ROW,
         CUBIC(CUBIC_ROW(place.row - 1), values, CUBIC_ROW(place.row + 1), CUBIC_ROW(place.row + 2), place.down))

/* Geometry along one direction. Each row is moved by a length of its own, the same for all its pixels. */

/* Mixes four neighbours in a row, or two when their weights say so, for each value; the first is at `values`. */
FOR_PROCESSORS_WITH("avx2")
static void mix_linear(const uint8_t *restrict values, float right, long count, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        float near = values[i + CHANNELS], far = values[i + 2 * CHANNELS];
        out[i] = (uint8_t)(int)(near + (far - near) * right);
    }
}

FOR_PROCESSORS_WITH("avx2")
static void mix_cubic(const uint8_t *restrict values, float right, long count, uint8_t *restrict out)
{
    for (long i = 0; i < count; i++) {
        float one = values[i], two = values[i + CHANNELS], three = values[i + 2 * CHANNELS], four = values[i + 3 * CHANNELS];
        int value = (int)(two + right * (three - one + right * (2 * (one - two) + three - four +
                                                                right * (two - one - three + four))));
        out[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* Where a row's pixels come from: the one at `column` from column + 0.5 + slope x (row + 0.5) + shift. */
static inline double place_in_row(long column, double slope, double y, double shift)
{
    return ((double)column + 0.5) + slope * y + shift;
}

/* What is not written has been filled. `padded` has room for a row and three pixels. */
static void slide_row(const uint8_t *source, long width, long row, double slope, double shift, int is_cubic,
                      uint8_t *padded, uint8_t *out)
{
    double y = (double)row + 0.5, by = slope * y + shift;
    if (!(fabs(by) < (double)width))
        return;
    long first = clamp((long)floor(-by) - 1, 0, width), last = clamp(width - (long)floor(by) + 1, 0, width);
    while (first < width && place_in_row(first, slope, y, shift) < 0)
        first++;
    while (last > first && place_in_row(last - 1, slope, y, shift) >= (double)width)
        last--;
    long offset = (long)floor(by);
    for (long i = 0; i < 2; i++)
        memcpy(padded + i * CHANNELS, source, CHANNELS);
    memcpy(padded + 2 * CHANNELS, source, (size_t)(width * CHANNELS));
    for (long i = 0; i < 3; i++)
        memcpy(padded + (2 + width + i) * CHANNELS, source + (width - 1) * CHANNELS, CHANNELS);
    /* The pixel in front of a place is at first + offset, which may be -1, and the one before it at -2. */
    const uint8_t *from = padded + (first + offset + 1) * CHANNELS;
    (is_cubic ? mix_cubic : mix_linear)(from, (float)(by - (double)offset), (last - first) * CHANNELS, out + first * CHANNELS);
}

static void fill(uint8_t *out, long count, const uint8_t *filling)
{
    for (long i = 0; i < count; i++, out += CHANNELS)
        memcpy(out, filling, CHANNELS);
}

static int slide_rows(const uint8_t *source, long height, long width, double slope, double shift, int is_cubic,
                      const uint8_t *filling, uint8_t *out)
{
    uint8_t *padded = malloc((size_t)((width + 5) * CHANNELS));
    if (!padded)
        return -1;
    fill(out, height * width, filling);
    for (long row = 0; row < height; row++)
        slide_row(source + row * width * CHANNELS, width, row, slope, shift, is_cubic, padded,
                  out + row * width * CHANNELS);
    free(padded);
    return 0;
}

/* Rows become columns; by squares that stay in the cache. */
static void transpose(const uint8_t *source, long height, long width, uint8_t *out)
{
    enum { SQUARE = 16 };
    for (long top = 0; top < height; top += SQUARE)
        for (long left = 0; left < width; left += SQUARE)
            for (long row = top; row < height && row < top + SQUARE; row++)
                for (long column = left; column < width && column < left + SQUARE; column++)
                    memcpy(out + (column * height + row) * CHANNELS, source + (row * width + column) * CHANNELS, CHANNELS);
}

static int slide_columns(const uint8_t *source, long height, long width, double slope, double shift, int is_cubic,
                         const uint8_t *filling, uint8_t *out)
{
    size_t size = (size_t)(height * width * CHANNELS);
    uint8_t *turned = malloc(2 * size);
    if (!turned)
        return -1;
    transpose(source, height, width, turned);
    int failed = slide_rows(turned, width, height, slope, shift, is_cubic, filling, turned + size);
    if (!failed)
        transpose(turned + size, width, height, out);
    free(turned);
    return failed;
}

static int warp(const uint8_t *source, long height, long width, const double *matrix, int is_cubic,
                const uint8_t *filling, uint8_t *out)
{
    if (matrix[0] == 1 && matrix[3] == 0 && matrix[4] == 1 && matrix[5] == 0)
        return slide_rows(source, height, width, matrix[1], matrix[2], is_cubic, filling, out);
    if (matrix[0] == 1 && matrix[1] == 0 && matrix[2] == 0 && matrix[4] == 1)
        return slide_columns(source, height, width, matrix[3], matrix[5], is_cubic, filling, out);
    long count = height * width;
    Pixel *pixels = malloc((size_t)count * sizeof(Pixel));
    if (!pixels)
        return -1;
    for (long i = 0; i < count; i++, source += CHANNELS)
        pixels[i] = (Pixel){source[0], source[1], source[2], 0};
    fill(out, count, filling);
    Picture picture = {pixels, height, width};
    for (long row = 0; row < height; row++)
        (is_cubic ? warp_row_cubic : warp_row_linear)(&picture, matrix, row, out + row * width * CHANNELS);
    free(pixels);
    return 0;
}

/* Blur: three means over boxes stand for a normal distribution. */

enum { PASSES = 3, BOX_BITS = 24 };

/* A box: pixels within `radius` count `inner`, the next ones on both sides `outer`, in parts of 1 << BOX_BITS. */
typedef struct {
    long radius;
    uint32_t inner, outer;
} Box;

/* The box whose three-fold mean has the standard deviation `sigma`: Gwosdek, Grewenig, Bruhn, Weickert, "Theoretical
 * Foundations of Gaussian Convolution by Extended Box Filtering", 2011. */
static Box box_of(float sigma)
{
    float variance = sigma * sigma / PASSES;
    float length = (float)sqrt(12.0 * variance + 1.0);
    float whole = (float)floor((length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    float radius = whole + part;
    Box box = {(long)radius, (uint32_t)((float)(1 << BOX_BITS) / (radius * 2 + 1)), 0};
    box.outer = ((1u << BOX_BITS) - (uint32_t)(2 * box.radius + 1) * box.inner) / 2;
    return box;
}

/* Adds lines; `step` is how far neighbours are apart, and there are radius + 1 of them on either side. */
FOR_PROCESSORS_WITH("avx2")
static void mean_of_box(const uint8_t *const *lines, Box box, long values, uint32_t *restrict sums,
                        uint8_t *restrict out)
{
    const uint8_t *first = lines[0], *last = lines[2 * box.radius + 2];
    for (long i = 0; i < values; i++)
        sums[i] = 0;
    for (long line = 1; line <= 2 * box.radius + 1; line++) {
        const uint8_t *restrict values_of = lines[line];
        for (long i = 0; i < values; i++)
            sums[i] += values_of[i];
    }
    for (long i = 0; i < values; i++)
        out[i] = (uint8_t)((sums[i] * box.inner + (uint32_t)(first[i] + last[i]) * box.outer +
                            (1u << (BOX_BITS - 1))) >> BOX_BITS);
}

/* What a blur needs besides its images. */
typedef struct {
    const uint8_t **lines;
    uint8_t *padded, *image;
    uint32_t *sums;
} Room;

static void blur_along_rows(uint8_t *image, long height, long width, Box box, const Room *room)
{
    long border = box.radius + 1;
    for (long i = 0; i < 2 * border + 1; i++)
        room->lines[i] = room->padded + i * CHANNELS;
    for (long row = 0; row < height; row++, image += width * CHANNELS)
        for (int pass = 0; pass < PASSES; pass++) {
            for (long i = 0; i < border; i++) {
                memcpy(room->padded + i * CHANNELS, image, CHANNELS);
                memcpy(room->padded + (border + width + i) * CHANNELS, image + (width - 1) * CHANNELS, CHANNELS);
            }
            memcpy(room->padded + border * CHANNELS, image, (size_t)(width * CHANNELS));
            mean_of_box(room->lines, box, width * CHANNELS, room->sums, image);
        }
}

static void blur_along_columns(uint8_t *image, long height, long width, Box box, const Room *room)
{
    long border = box.radius + 1, stride = width * CHANNELS;
    for (int pass = 0; pass < PASSES; pass++) {
        memcpy(room->image, image, (size_t)(height * stride));
        for (long row = 0; row < height; row++) {
            for (long i = 0; i < 2 * border + 1; i++)
                room->lines[i] = room->image + clamp(row - border + i, 0, height - 1) * stride;
            mean_of_box(room->lines, box, stride, room->sums, image + row * stride);
        }
    }
}

static int blur(const uint8_t *source, long height, long width, float sigma, uint8_t *out)
{
    Box box = box_of(sigma);
    size_t size = (size_t)(height * width * CHANNELS);
    Room room = {
        malloc((size_t)(2 * box.radius + 3) * sizeof(uint8_t *)),
        malloc((size_t)((width + 2 * (box.radius + 1)) * CHANNELS)),
        malloc(size),
        malloc((size_t)(width * CHANNELS) * sizeof(uint32_t)),
    };
    int failed = !room.lines || !room.padded || !room.image || !room.sums;
    if (!failed) {
        memcpy(out, source, size);
        blur_along_rows(out, height, width, box, &room);
        blur_along_columns(out, height, width, box, &room);
    }
    free(room.lines);
    free(room.padded);
    free(room.image);
    free(room.sums);
    return failed ? -1 : 0;
}

#ifndef WITHOUT_PYTHON
/* The module. Every function takes the source's bytes, its height and width, what it needs, and where to put the result. */

static int fits(const Py_buffer *buffer, long height, long width)
{
    return height > 0 && width > 0 && height <= LARGEST_SIDE && width <= LARGEST_SIDE &&
           buffer->len == (Py_ssize_t)height * width * CHANNELS;
}

static PyObject *finish(Py_buffer *source, Py_buffer *out, const char *fault, int failed)
{
    PyBuffer_Release(source);
    PyBuffer_Release(out);
    if (fault)
        PyErr_SetString(PyExc_ValueError, fault);
    else if (failed)
        PyErr_NoMemory();
    return fault || failed ? NULL : Py_NewRef(Py_None);
}

static const char WRONG_SIZE[] = "images must have height x width x 3 bytes and sides of 1 to 65536";

static PyObject *py_look_up(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out, table;
    if (!PyArg_ParseTuple(args, "y*y*w*:look_up", &source, &table, &out))
        return NULL;
    const char *fault = source.len != out.len || source.len % CHANNELS || table.len != CHANNELS * LEVELS
                            ? "look_up needs images of one size and a table of 3 x 256 bytes"
                            : NULL;
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        look_up(source.buf, table.buf, source.len / CHANNELS, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&table);
    return finish(&source, &out, fault, 0);
}

static PyObject *py_count_levels(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out;
    if (!PyArg_ParseTuple(args, "y*w*:count_levels", &source, &out))
        return NULL;
    const char *fault = source.len % CHANNELS || source.len / CHANNELS > INT32_MAX ||
                                out.len != CHANNELS * LEVELS * (Py_ssize_t)sizeof(int32_t)
                            ? "count_levels needs an image and 3 x 256 int32"
                            : NULL;
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        count_levels(source.buf, source.len / CHANNELS, out.buf);
        Py_END_ALLOW_THREADS
    }
    return finish(&source, &out, fault, 0);
}

static PyObject *py_sum_grey(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source;
    if (!PyArg_ParseTuple(args, "y*:sum_grey", &source))
        return NULL;
    int64_t sum;
    Py_BEGIN_ALLOW_THREADS
    sum = sum_grey(source.buf, source.len / CHANNELS);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&source);
    return PyLong_FromLongLong(sum);
}

static PyObject *py_saturate(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out;
    float factor;
    if (!PyArg_ParseTuple(args, "y*fw*:saturate", &source, &factor, &out))
        return NULL;
    const char *fault = source.len != out.len || source.len % CHANNELS ? "saturate needs images of one size" : NULL;
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        saturate(source.buf, factor, source.len / CHANNELS, out.buf);
        Py_END_ALLOW_THREADS
    }
    return finish(&source, &out, fault, 0);
}

static PyObject *py_blend_level(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out;
    int level;
    float factor;
    if (!PyArg_ParseTuple(args, "y*ifw*:blend_level", &source, &level, &factor, &out))
        return NULL;
    const char *fault = source.len != out.len ? "blend_level needs images of one size" : NULL;
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        blend_level(source.buf, level, factor, source.len, out.buf);
        Py_END_ALLOW_THREADS
    }
    return finish(&source, &out, fault, 0);
}

static PyObject *py_sharpen(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out;
    long height, width;
    float factor;
    if (!PyArg_ParseTuple(args, "y*llfw*:sharpen", &source, &height, &width, &factor, &out))
        return NULL;
    const char *fault = fits(&source, height, width) && fits(&out, height, width) ? NULL : WRONG_SIZE;
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        sharpen(source.buf, height, width, factor, out.buf);
        Py_END_ALLOW_THREADS
    }
    return finish(&source, &out, fault, 0);
}

static PyObject *py_warp(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out;
    long height, width;
    double matrix[6];
    int is_cubic, failed = 0;
    uint8_t filling[CHANNELS];
    if (!PyArg_ParseTuple(args, "y*ll(dddddd)p(bbb)w*:warp", &source, &height, &width, &matrix[0], &matrix[1], &matrix[2],
                          &matrix[3], &matrix[4], &matrix[5], &is_cubic, &filling[0], &filling[1], &filling[2], &out))
        return NULL;
    const char *fault = fits(&source, height, width) && fits(&out, height, width) ? NULL : WRONG_SIZE;
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        failed = warp(source.buf, height, width, matrix, is_cubic, filling, out.buf);
        Py_END_ALLOW_THREADS
    }
    return finish(&source, &out, fault, failed);
}

static PyObject *py_blur(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer source, out;
    long height, width;
    float sigma;
    int failed = 0;
    if (!PyArg_ParseTuple(args, "y*llfw*:blur", &source, &height, &width, &sigma, &out))
        return NULL;
    const char *fault = fits(&source, height, width) && fits(&out, height, width) ? NULL : WRONG_SIZE;
    if (!fault && !(sigma > 0 && sigma <= 1000))
        fault = "the blur's radius must be above 0 and at most 1000";
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        failed = blur(source.buf, height, width, sigma, out.buf);
        Py_END_ALLOW_THREADS
    }
    return finish(&source, &out, fault, failed);
}

static PyMethodDef methods[] = {
    {"look_up", py_look_up, METH_VARARGS, "look_up(source, table, out): replaces values by those of a table for each channel."},
    {"count_levels", py_count_levels, METH_VARARGS, "count_levels(source, out): how often each value occurs in each channel."},
    {"sum_grey", py_sum_grey, METH_VARARGS, "sum_grey(source): the sum of all pixels' luma."},
    {"saturate", py_saturate, METH_VARARGS, "saturate(source, factor, out): away from grey, or towards it."},
    {"blend_level", py_blend_level, METH_VARARGS, "blend_level(source, level, factor, out): away from a level, or towards it."},
    {"sharpen", py_sharpen, METH_VARARGS, "sharpen(source, height, width, factor, out): away from a smooth image, or towards it."},
    {"warp", py_warp, METH_VARARGS, "warp(source, height, width, matrix, is_cubic, filling, out): an affine transform."},
    {"blur", py_blur, METH_VARARGS, "blur(source, height, width, radius, out): a blur close to a Gaussian one."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_augment", "Operations of augmentation on pixels.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__augment(void)
{
    return PyModule_Create(&module);
}
#endif
