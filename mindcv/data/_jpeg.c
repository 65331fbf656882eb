/* Parts of JPEG files, and resizing, without holding Python's lock.
 *
 * Only the buffer protocol is used, so one build serves any numpy.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_jpeg_decoder.h"
#include "_jpeg_vectors.h"

enum { CHANNELS = JPEG_CHANNELS };

/* Values of pixels between two others have 7 bits behind the point, and weights 15. A pixel is handled in four lanes;
 * what is read and written behind the last one has room. */
enum { VALUE_BITS = 7, WEIGHT_BITS = 15, LANES = 4, SPARE = 8 };

typedef struct {
    long near, far; /* places of the two pixels that a new one lies between */
    int16_t weight; /* of the far one */
} Tap;

/* Pixel centres are matched: the middle of the first new pixel is half a new pixel from the edge. */
static Tap find_tap(long place, long from, long to)
{
    double middle = ((double)place + 0.5) * (double)from / (double)to - 0.5;
    if (middle < 0)
        middle = 0;
    long near = (long)middle < from - 1 ? (long)middle : from - 1;
    long weight = lround((middle - (double)near) * (1 << WEIGHT_BITS));
    return (Tap){near, near + 1 < from ? near + 1 : near, (int16_t)(weight < INT16_MAX ? weight : INT16_MAX)};
}

/* difference x weight, rounded; compilers know this form and have an instruction for it. */
#define PART_OF(difference, weight) ((int16_t)((((int32_t)(difference) * (weight) >> (WEIGHT_BITS - 1)) + 1) >> 1))

/* A row between two others. */
FOR_PROCESSORS_WITH("avx2")
static void mix_rows(const uint8_t *restrict near, const uint8_t *restrict far, int16_t weight, size_t values,
                     int16_t *restrict out)
{
    for (size_t i = 0; i < values; i++) {
        int16_t difference = (int16_t)((far[i] - near[i]) << VALUE_BITS);
        out[i] = (int16_t)((near[i] << VALUE_BITS) + PART_OF(difference, weight));
    }
}

typedef int16_t Pixels __attribute__((vector_size(2 * LANES * sizeof(int16_t))));
typedef uint8_t Bytes __attribute__((vector_size(sizeof(Pixels))));

/* Where each pixel of a new row comes from: the place of the near one, and the far one's weight for each value. The width
 * is even. */
typedef struct {
    long width;
    int32_t *near;
    int16_t *weights;
} Stretch;

/* A row in new width. Two pixels are made at once; 5 values behind the last of `row` are read, and 2 bytes behind the last
 * of `out` are written. */
FOR_PROCESSORS_WITH("avx2")
static void stretch_row(const int16_t *restrict row, const Stretch *stretch, uint8_t *restrict out)
{
    for (long x = 0; x < stretch->width; x += 2) {
        /* A pixel and its right neighbour. */
        Pixels one, other;
        memcpy(&one, row + stretch->near[x], sizeof one);
        memcpy(&other, row + stretch->near[x + 1], sizeof other);
        Pixels near = SHUFFLE(Pixels, one, other, 0, 1, 2, 3, 8, 9, 10, 11);
        Pixels far = SHUFFLE(Pixels, one, other, 3, 4, 5, 6, 11, 12, 13, 14);
        union {
            Pixels lanes;
            int16_t values[2 * LANES];
        } difference = {far - near}, part;
        for (int i = 0; i < 2 * LANES; i++)
            part.values[i] = PART_OF(difference.values[i], stretch->weights[LANES * x + i]);
        Bytes rounded = (Bytes)((near + part.lanes + (1 << (VALUE_BITS - 1))) >> VALUE_BITS);
        rounded = SHUFFLE(Bytes, rounded, rounded, 0, 2, 4, 8, 10, 12, 6, 14, 0, 2, 4, 8, 10, 12, 6, 14);
        memcpy(out + CHANNELS * x, &rounded, 2 * LANES);
    }
}

/* Rows that are resized as they come, each from the last two. */
typedef struct {
    JpegRows rows;
    long height, width, out_height, done;
    size_t pitch, out_pitch;
    uint8_t *out, *last_two, *stretched;
    int16_t *mixed;
    Stretch stretch;
} Resizer;

static uint8_t *resizer_room(JpegRows *rows, long y)
{
    Resizer *resizer = (Resizer *)rows;
    return resizer->last_two + (size_t)(y % 2) * resizer->pitch;
}

static void write_row(Resizer *resizer, const uint8_t *near, const uint8_t *far, int16_t weight)
{
    mix_rows(near, far, weight, resizer->pitch, resizer->mixed);
    stretch_row(resizer->mixed, &resizer->stretch, resizer->stretched);
    memcpy(resizer->out + (size_t)resizer->done * resizer->out_pitch, resizer->stretched, resizer->out_pitch);
    resizer->done++;
}

static void resizer_filled(JpegRows *rows, long y)
{
    Resizer *resizer = (Resizer *)rows;
    while (resizer->done < resizer->out_height) {
        Tap tap = find_tap(resizer->done, resizer->height, resizer->out_height);
        if (tap.far > y)
            return;
        write_row(resizer, resizer_room(rows, tap.near), resizer_room(rows, tap.far), tap.weight);
    }
}

/* The caller frees `stretch.near`; -1 when there is no memory. */
static int start_resizer(Resizer *resizer, long height, long width, uint8_t *out, long out_height, long out_width,
                         int flip)
{
    Stretch stretch = {.width = out_width + out_width % 2};
    size_t count = (size_t)stretch.width, pitch = (size_t)width * CHANNELS;
    stretch.near = malloc(count * (sizeof(int32_t) + LANES * sizeof(int16_t)) + (pitch + SPARE) * sizeof(int16_t) +
                          count * CHANNELS + SPARE + 2 * pitch);
    if (!stretch.near)
        return -1;
    stretch.weights = (int16_t *)(stretch.near + count);
    int16_t *mixed = stretch.weights + LANES * count;
    memset(mixed + pitch, 0, SPARE * sizeof *mixed);
    for (long x = 0; x < stretch.width; x++) {
        long place = x < out_width ? x : out_width - 1;
        Tap tap = find_tap(flip ? out_width - 1 - place : place, width, out_width);
        stretch.near[x] = (int32_t)(tap.near * CHANNELS);
        for (int i = 0; i < LANES; i++)
            stretch.weights[LANES * x + i] = tap.far > tap.near ? tap.weight : 0;
    }
    uint8_t *stretched = (uint8_t *)(mixed + pitch + SPARE);
    *resizer = (Resizer){
        .rows = {resizer_room, resizer_filled},
        .height = height,
        .width = width,
        .out_height = out_height,
        .pitch = pitch,
        .out_pitch = (size_t)out_width * CHANNELS,
        .out = out,
        .mixed = mixed,
        .stretched = stretched,
        .last_two = stretched + count * CHANNELS + SPARE,
        .stretch = stretch,
    };
    return 0;
}

static int resize(const uint8_t *pixels, long height, long width, uint8_t *out, long out_height, long out_width, int flip)
{
    Resizer resizer;
    if (start_resizer(&resizer, height, width, out, out_height, out_width, flip))
        return -1;
    while (resizer.done < out_height) {
        Tap tap = find_tap(resizer.done, height, out_height);
        write_row(&resizer, pixels + (size_t)tap.near * resizer.pitch, pixels + (size_t)tap.far * resizer.pitch,
                  tap.weight);
    }
    free(resizer.stretch.near);
    return 0;
}

/* Rows that are kept as they are. */
typedef struct {
    JpegRows rows;
    uint8_t *out;
    size_t pitch;
} Keeper;

static uint8_t *keeper_room(JpegRows *rows, long y)
{
    Keeper *keeper = (Keeper *)rows;
    return keeper->out + (size_t)y * keeper->pitch;
}

static void keeper_filled(JpegRows *rows, long y)
{
    (void)rows, (void)y;
}

PyDoc_STRVAR(size_doc, "size(data, /)\n--\n\nHeight and width of a baseline JPEG file, upright and not cut off; None of another file.");

static PyObject *py_size(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:size", &data))
        return NULL;
    long height = 0, width = 0;
    JpegResult result = jpeg_size(data.buf, (size_t)data.len, &height, &width);
    PyBuffer_Release(&data);
    if (result == JPEG_NO_MEMORY)
        return PyErr_NoMemory();
    if (result != JPEG_DONE)
        Py_RETURN_NONE;
    return Py_BuildValue("ll", height, width);
}

/* Whether a buffer holds pixels of a picture of that size. */
static int has_size(const Py_buffer *buffer, long height, long width)
{
    const long most = JPEG_LARGEST_SIDE;
    return height > 0 && width > 0 && height <= most && width <= most &&
           buffer->len == (Py_ssize_t)height * width * CHANNELS;
}

/* What is wrong with a box or a reduction; NULL: nothing. */
static const char *fault_of(JpegBox box, int reduction)
{
    const long most = JPEG_LARGEST_SIDE;
    if (reduction != 1 && reduction != 2 && reduction != 4 && reduction != 8)
        return "reduction must be 1, 2, 4 or 8";
    if (box.top < 0 || box.left < 0 || box.height < 1 || box.width < 1 || box.top > most || box.left > most ||
        box.height > most || box.width > most)
        return "the box is empty or not in the picture";
    return NULL;
}

static PyObject *outcome(const char *fault, JpegResult result)
{
    if (result == JPEG_OUTSIDE)
        fault = "the box is empty or not in the picture";
    if (fault)
        return PyErr_Format(PyExc_ValueError, "%s", fault);
    if (result == JPEG_NO_MEMORY)
        return PyErr_NoMemory();
    return PyBool_FromLong(result == JPEG_DONE);
}

PyDoc_STRVAR(decode_doc,
             "decode(data, top, left, height, width, reduction, out, /)\n--\n\n"
             "Decodes a box of a baseline JPEG file into `out`, uint8 (height, width, 3), RGB.\n\n"
             "The box counts pixels of the picture with its sides divided by `reduction` (1, 2, 4 or 8) and rounded up.\n\n"
             "Returns:\n    Whether it was decoded: False for files of other kinds and damaged ones.\n\n"
             "Raises:\n    ValueError: The box is not in the picture, or `out` has another size.");

static PyObject *py_decode(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data, out;
    JpegBox box;
    int reduction;
    if (!PyArg_ParseTuple(args, "y*lllliw*:decode", &data, &box.top, &box.left, &box.height, &box.width, &reduction,
                          &out))
        return NULL;
    const char *fault = fault_of(box, reduction);
    JpegResult result = JPEG_DONE;
    if (!fault && out.len != (Py_ssize_t)box.height * box.width * CHANNELS)
        fault = "out must have height x width x 3 bytes";
    if (!fault) {
        Keeper keeper = {{keeper_room, keeper_filled}, out.buf, (size_t)box.width * CHANNELS};
        Py_BEGIN_ALLOW_THREADS
        result = jpeg_decode_box(data.buf, (size_t)data.len, box, reduction, &keeper.rows);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return outcome(fault, result);
}

PyDoc_STRVAR(crop_doc,
             "crop(data, top, left, height, width, reduction, out, out_height, out_width, flip, /)\n--\n\n"
             "Decodes a box of a baseline JPEG file and resizes it; the same as `decode` and `resize`.");

static PyObject *py_crop(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data, out;
    JpegBox box;
    int reduction, flip;
    long out_height, out_width;
    if (!PyArg_ParseTuple(args, "y*lllliw*llp:crop", &data, &box.top, &box.left, &box.height, &box.width, &reduction, &out,
                          &out_height, &out_width, &flip))
        return NULL;
    const char *fault = fault_of(box, reduction);
    JpegResult result = JPEG_NO_MEMORY;
    if (!fault && !has_size(&out, out_height, out_width))
        fault = "out must have height x width x 3 bytes";
    if (!fault) {
        Resizer resizer;
        Py_BEGIN_ALLOW_THREADS
        if (!start_resizer(&resizer, box.height, box.width, out.buf, out_height, out_width, flip)) {
            result = jpeg_decode_box(data.buf, (size_t)data.len, box, reduction, &resizer.rows);
            free(resizer.stretch.near);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return outcome(fault, result);
}

PyDoc_STRVAR(resize_doc, "resize(pixels, height, width, out, out_height, out_width, flip, /)\n--\n\n"
                         "Resizes uint8 (height, width, 3) into `out`, uint8 (out_height, out_width, 3).\n\n"
                         "Bilinear between the two nearest pixels, as MindSpore's and OpenCV's resize; mirrored left to "
                         "right with `flip`.");

static PyObject *py_resize(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer pixels, out;
    long height, width, out_height, out_width;
    int flip;
    if (!PyArg_ParseTuple(args, "y*llw*llp:resize", &pixels, &height, &width, &out, &out_height, &out_width, &flip))
        return NULL;
    int fits = has_size(&pixels, height, width) && has_size(&out, out_height, out_width);
    int failed = 0;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        failed = resize(pixels.buf, height, width, out.buf, out_height, out_width, flip);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&out);
    if (!fits)
        return PyErr_Format(PyExc_ValueError, "pixels and out must have height x width x 3 bytes");
    if (failed)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"size", py_size, METH_VARARGS, size_doc},
    {"decode", py_decode, METH_VARARGS, decode_doc},
    {"crop", py_crop, METH_VARARGS, crop_doc},
    {"resize", py_resize, METH_VARARGS, resize_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_jpeg", "Parts of JPEG files, and resizing.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__jpeg(void)
{
    return PyModule_Create(&module);
}
