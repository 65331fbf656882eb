/* Decodes a part of a JPEG file and resizes pictures, without holding Python's lock.
 *
 * libjpeg-turbo can leave out rows and columns and decode at a reduced scale, and has vector code for the rest;
 * MindSpore's own decoder is built without it. Only the buffer protocol is used, so one build serves any numpy.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#ifndef LIBJPEG_TURBO_VERSION_NUMBER
#error "this needs libjpeg-turbo"
#endif

enum { CHANNELS = 3 };

typedef struct {
    struct jpeg_error_mgr manager; /* first, so that a pointer to it is one to all */
    jmp_buf on_error;
    char message[JMSG_LENGTH_MAX];
} ErrorState;

typedef struct {
    long top, left, height, width;
} Box;

static void stop_decoding(j_common_ptr info)
{
    ErrorState *state = (ErrorState *)info->err;
    state->manager.format_message(info, state->message);
    longjmp(state->on_error, 1);
}

static void keep_quiet(j_common_ptr info, int level)
{
    if (level < 0)
        info->err->num_warnings++;
}

static void use_error_state(struct jpeg_decompress_struct *info, ErrorState *state)
{
    info->err = jpeg_std_error(&state->manager);
    state->manager.error_exit = stop_decoding;
    state->manager.emit_message = keep_quiet;
}

/* Height and width from the header; 0, or -1 with a message in `state`. */
static int read_header(const unsigned char *data, size_t size, ErrorState *state, long *height, long *width)
{
    struct jpeg_decompress_struct info;
    use_error_state(&info, state);
    if (setjmp(state->on_error)) {
        jpeg_destroy_decompress(&info);
        return -1;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, (unsigned char *)data, size);
    jpeg_read_header(&info, TRUE);
    *height = info.image_height;
    *width = info.image_width;
    jpeg_destroy_decompress(&info);
    return 0;
}

/* Decodes `box` of the picture, whose sides are divided by `reduction`, into rows of RGB. */
static int decode_box(const unsigned char *data, size_t size, Box box, int reduction, unsigned char *out,
                      ErrorState *state)
{
    struct jpeg_decompress_struct info;
    unsigned char *volatile spare = NULL;
    use_error_state(&info, state);
    if (setjmp(state->on_error)) {
        free(spare);
        jpeg_destroy_decompress(&info);
        return -1;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, (unsigned char *)data, size);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    info.scale_num = 1;
    info.scale_denom = (unsigned)reduction;
    jpeg_start_decompress(&info);
    if (box.top + box.height > (long)info.output_height || box.left + box.width > (long)info.output_width) {
        snprintf(state->message, sizeof state->message, "the box lies outside of the picture of %u x %u",
                 info.output_width, info.output_height);
        jpeg_destroy_decompress(&info);
        return -1;
    }
    /* Columns can be left out in whole blocks. One more block on each side keeps the colours at the edges what they
     * are in the whole picture, since they are interpolated between neighbours. */
    long block = info.max_h_samp_factor * DCTSIZE;
    long first = box.left - block > 0 ? box.left - block : 0;
    long last = box.left + box.width + block;
    if (last > (long)info.output_width)
        last = info.output_width;
    JDIMENSION start = (JDIMENSION)first, columns = (JDIMENSION)(last - first);
    if (columns < info.output_width)
        jpeg_crop_scanline(&info, &start, &columns);
    spare = malloc((size_t)columns * CHANNELS);
    if (!spare) {
        snprintf(state->message, sizeof state->message, "there is not enough memory");
        jpeg_destroy_decompress(&info);
        return -1;
    }
    if (box.top > 0)
        jpeg_skip_scanlines(&info, (JDIMENSION)box.top);
    JSAMPROW row = spare;
    const unsigned char *wanted = spare + (size_t)(box.left - (long)start) * CHANNELS;
    size_t row_bytes = (size_t)box.width * CHANNELS;
    for (long y = 0; y < box.height; y++) {
        jpeg_read_scanlines(&info, &row, 1);
        memcpy(out + (size_t)y * row_bytes, wanted, row_bytes);
    }
    free(spare);
    jpeg_destroy_decompress(&info); /* what is below the box is never read */
    return 0;
}

/* Code for the processor at hand is chosen when the module is loaded, where the compiler can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

typedef struct {
    int near, far; /* places of the two pixels that a new one lies between */
    float weight;  /* of the far one */
} Tap;

/* Pixel centres are matched: the middle of the first new pixel is half a new pixel from the edge. */
static void find_taps(long from, long to, Tap *taps)
{
    double scale = (double)from / (double)to;
    for (long i = 0; i < to; i++) {
        double place = ((double)i + 0.5) * scale - 0.5;
        if (place < 0)
            place = 0;
        int near = (int)place;
        if (near > from - 1)
            near = (int)from - 1;
        taps[i].near = near;
        taps[i].far = near + 1 < from ? near + 1 : near;
        taps[i].weight = (float)(place - near);
    }
}

/* A row between two others. */
FOR_EACH_PROCESSOR
static void mix_rows(const unsigned char *restrict near, const unsigned char *restrict far, float weight, size_t values,
                     float *restrict out)
{
    for (size_t i = 0; i < values; i++)
        out[i] = (float)near[i] + weight * (float)(far[i] - near[i]);
}

/* A row in new width; `row` and `out` have one value to spare, since pixels are moved four values at a time. */
static void stretch_row(const float *row, const Tap *taps, long width, float *out)
{
    typedef float Lanes __attribute__((vector_size(16)));
    for (long x = 0; x < width; x++) {
        Lanes near, far;
        memcpy(&near, row + (size_t)taps[x].near * CHANNELS, sizeof near);
        memcpy(&far, row + (size_t)taps[x].far * CHANNELS, sizeof far);
        near += taps[x].weight * (far - near);
        memcpy(out + (size_t)x * CHANNELS, &near, sizeof near);
    }
}

FOR_EACH_PROCESSOR
static void round_row(const float *restrict row, size_t values, unsigned char *restrict out)
{
    for (size_t i = 0; i < values; i++)
        out[i] = (unsigned char)(int)(row[i] + 0.5f);
}

static int resize_rows(const unsigned char *pixels, long height, long width, unsigned char *out, long out_height,
                       long out_width, int flip)
{
    size_t pitch = (size_t)width * CHANNELS, values = (size_t)out_width * CHANNELS;
    Tap *across = malloc((size_t)(out_width + out_height) * sizeof *across);
    float *mixed = calloc(pitch + values + 2, sizeof *mixed);
    if (!across || !mixed) {
        free(across);
        free(mixed);
        return -1;
    }
    Tap *down = across + out_width;
    float *stretched = mixed + pitch + 1;
    find_taps(width, out_width, across);
    find_taps(height, out_height, down);
    if (flip)
        for (long i = 0; i < out_width / 2; i++) {
            Tap tap = across[i];
            across[i] = across[out_width - 1 - i];
            across[out_width - 1 - i] = tap;
        }
    for (long y = 0; y < out_height; y++) {
        const unsigned char *near = pixels + (size_t)down[y].near * pitch, *far = pixels + (size_t)down[y].far * pitch;
        mix_rows(near, far, down[y].weight, pitch, mixed);
        stretch_row(mixed, across, out_width, stretched);
        round_row(stretched, values, out + (size_t)y * values);
    }
    free(across);
    free(mixed);
    return 0;
}

PyDoc_STRVAR(size_doc, "size(data, /)\n--\n\nHeight and width of a JPEG file, from its header.\n\n"
                       "Raises:\n    ValueError: It is none.");

static PyObject *py_size(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:size", &data))
        return NULL;
    ErrorState state;
    long height = 0, width = 0;
    int failed = read_header(data.buf, (size_t)data.len, &state, &height, &width);
    PyBuffer_Release(&data);
    if (failed)
        return PyErr_Format(PyExc_ValueError, "the JPEG cannot be decoded: %s", state.message);
    return Py_BuildValue("ll", height, width);
}

PyDoc_STRVAR(decode_doc,
             "decode(data, top, left, height, width, reduction, out, /)\n--\n\n"
             "Decodes a box of a JPEG file into `out`, uint8 (height, width, 3), RGB.\n\n"
             "The box counts pixels of the picture with its sides divided by `reduction` (1, 2, 4 or 8) and rounded up.\n\n"
             "Raises:\n    ValueError: The file cannot be decoded, or the box is not in the picture.");

static PyObject *py_decode(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data, out;
    Box box;
    int reduction;
    if (!PyArg_ParseTuple(args, "y*lllliw*:decode", &data, &box.top, &box.left, &box.height, &box.width, &reduction,
                          &out))
        return NULL;
    ErrorState state;
    const char *wrong = NULL;
    int failed = 0;
    if (box.top < 0 || box.left < 0 || box.height < 1 || box.width < 1)
        wrong = "the box is empty or begins outside of the picture";
    else if (reduction != 1 && reduction != 2 && reduction != 4 && reduction != 8)
        wrong = "reduction must be 1, 2, 4 or 8";
    else if (box.height > JPEG_MAX_DIMENSION || box.width > JPEG_MAX_DIMENSION ||
             out.len != (Py_ssize_t)box.height * box.width * CHANNELS)
        wrong = "out must have height x width x 3 bytes";
    else {
        Py_BEGIN_ALLOW_THREADS
        failed = decode_box(data.buf, (size_t)data.len, box, reduction, out.buf, &state);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    if (wrong)
        return PyErr_Format(PyExc_ValueError, "%s", wrong);
    if (failed)
        return PyErr_Format(PyExc_ValueError, "the JPEG cannot be decoded: %s", state.message);
    Py_RETURN_NONE;
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
    const long most = JPEG_MAX_DIMENSION;
    int fits = height > 0 && width > 0 && out_height > 0 && out_width > 0 && height <= most && width <= most &&
               out_height <= most && out_width <= most && pixels.len == (Py_ssize_t)height * width * CHANNELS &&
               out.len == (Py_ssize_t)out_height * out_width * CHANNELS;
    int failed = 0;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        failed = resize_rows(pixels.buf, height, width, out.buf, out_height, out_width, flip);
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
    {"resize", py_resize, METH_VARARGS, resize_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_jpeg", "Parts of JPEG files, and resizing, by libjpeg-turbo.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__jpeg(void)
{
    return PyModule_Create(&module);
}
