/* Parts of JPEG files, and resizing, for Python, without holding its lock.
 *
 * Only the buffer protocol is used, so one build serves any numpy.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "jpeg.h"

enum { CHANNELS = JPEG_CHANNELS };

/* Raises ValueError for what is wrong with a file of `size` bytes. */
static PyObject *refuse(const JpegSummary *summary, Py_ssize_t size)
{
    switch (summary->fault) {
    case JPEG_BAD_QUANTISATION:
        return PyErr_Format(PyExc_ValueError, "a quantisation table of this JPEG is damaged");
    case JPEG_BAD_HUFFMAN:
        return PyErr_Format(PyExc_ValueError, "a Huffman table of this JPEG is damaged");
    case JPEG_BAD_FRAME:
        return PyErr_Format(PyExc_ValueError, "the frame header of this JPEG is damaged");
    case JPEG_BAD_COMPONENTS:
        return PyErr_Format(PyExc_ValueError,
                            "this JPEG has %d components of %d bits; 1, 3 or 4 of 8 bits can be decoded",
                            summary->component_count, summary->precision);
    case JPEG_BAD_SCAN:
        return PyErr_Format(PyExc_ValueError, "the scan header of this JPEG is damaged");
    case JPEG_CUT_OFF:
        return PyErr_Format(PyExc_ValueError, "this JPEG is cut off after %zd bytes", size);
    default:
        return PyErr_Format(PyExc_ValueError,
                            "this JPEG of %zd bytes ends, or is damaged, before its picture begins", size);
    }
}

PyDoc_STRVAR(check_doc,
             "check(data, /)\n--\n\n"
             "Looks at the header of a JPEG file, and for its end.\n\n"
             "Returns:\n    (width, height), None where the frame is of another kind (progressive ...), and whether "
             "every decoder shows\n    the file as it should: sequential, in one scan, not CMYK, upright.\n\n"
             "Raises:\n    ValueError: The file is damaged or cut off.");

static PyObject *py_check(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:check", &data))
        return NULL;
    JpegSummary summary = jpeg_check(data.buf, (size_t)data.len);
    Py_ssize_t size = data.len;
    PyBuffer_Release(&data);
    if (summary.fault)
        return refuse(&summary, size);
    if (!summary.is_sequential)
        return Py_BuildValue("OO", Py_None, Py_False);
    return Py_BuildValue("(ll)O", summary.width, summary.height, summary.is_plain ? Py_True : Py_False);
}

PyDoc_STRVAR(
    size_doc,
    "size(data, /)\n--\n\nHeight and width of a baseline JPEG file, upright and not cut off; None of another file.");

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
             "The box counts pixels of the picture with its sides divided by `reduction` (1, 2, 4 or 8) and rounded "
             "up.\n\n"
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
        Py_BEGIN_ALLOW_THREADS
        result = jpeg_decode(data.buf, (size_t)data.len, box, reduction, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return outcome(fault, result);
}

PyDoc_STRVAR(crop_doc,
             "crop(data, top, left, height, width, reduction, out, out_height, out_width, flip, is_cubic=False, /)\n"
             "--\n\n"
             "Decodes a box of a baseline JPEG file and resizes it; the same as `decode` and `resize`.");

static PyObject *py_crop(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data, out;
    JpegBox box;
    int reduction, flip, is_cubic = 0;
    long out_height, out_width;
    if (!PyArg_ParseTuple(args, "y*lllliw*llp|p:crop", &data, &box.top, &box.left, &box.height, &box.width, &reduction,
                          &out, &out_height, &out_width, &flip, &is_cubic))
        return NULL;
    const char *fault = fault_of(box, reduction);
    JpegResult result = JPEG_NO_MEMORY;
    if (!fault && !has_size(&out, out_height, out_width))
        fault = "out must have height x width x 3 bytes";
    if (!fault) {
        Py_BEGIN_ALLOW_THREADS
        result = (is_cubic ? jpeg_crop_cubic : jpeg_crop)(data.buf, (size_t)data.len, box, reduction, out.buf,
                                                          out_height, out_width, flip);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return outcome(fault, result);
}

PyDoc_STRVAR(resize_doc, "resize(pixels, height, width, out, out_height, out_width, flip, is_cubic=False, /)\n--\n\n"
                         "Resizes uint8 (height, width, 3) into `out`, uint8 (out_height, out_width, 3).\n\n"
                         "Bilinear between the two nearest pixels, as MindSpore's and OpenCV's resize, or by Pillow's "
                         "bicubic filter;\nmirrored left to right with `flip`.");

static PyObject *py_resize(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer pixels, out;
    long height, width, out_height, out_width;
    int flip, is_cubic = 0;
    if (!PyArg_ParseTuple(args, "y*llw*llp|p:resize", &pixels, &height, &width, &out, &out_height, &out_width, &flip,
                          &is_cubic))
        return NULL;
    int fits = has_size(&pixels, height, width) && has_size(&out, out_height, out_width);
    int failed = 0;
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        failed = (is_cubic ? jpeg_resize_cubic : jpeg_resize)(pixels.buf, height, width, out.buf, out_height, out_width,
                                                              flip);
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

#define LOOP_NAMES jpeg_loop_names
#define USE_LOOPS jpeg_use_loops
#include "../common/loops_module.h"

static PyMethodDef methods[] = {
    {"check", py_check, METH_VARARGS, check_doc},
    {"loops", py_loops, METH_NOARGS, loops_doc},
    {"use_loops", py_use_loops, METH_VARARGS, use_loops_doc},
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
    jpeg_use_loops(NULL);
    return PyModule_Create(&module);
}
