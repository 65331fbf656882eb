/* Operations of augmentation for Python, without holding its lock.
 *
 * Only the buffer protocol is used, so one build serves any numpy.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "augment.h"

/* So that 32 bits count an image's bytes. */
enum { LARGEST_SIDE = 1 << 16, MOST_PIXELS = 1 << 29 };

typedef struct {
    const Operation *operation;
    double numbers[MOST_NUMBERS];
} Step;

static const Operation *find_operation(PyObject *name)
{
    for (const Operation *operation = augment_operations; PyUnicode_Check(name) && operation->name; operation++)
        if (PyUnicode_CompareWithASCIIString(name, operation->name) == 0)
            return operation;
    PyErr_Format(PyExc_ValueError, "there is no operation %R", name);
    return NULL;
}

/* Reads a tuple of a name and numbers; -1 with an exception set. */
static int read_step(PyObject *tuple, Step *step)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) < 1) {
        PyErr_SetString(PyExc_ValueError, "a step must be a tuple of a name and its numbers");
        return -1;
    }
    step->operation = find_operation(PyTuple_GET_ITEM(tuple, 0));
    if (!step->operation)
        return -1;
    if (PyTuple_GET_SIZE(tuple) != 1 + step->operation->count) {
        PyErr_Format(PyExc_ValueError, "%s needs %d numbers, got %R", step->operation->name, step->operation->count,
                     tuple);
        return -1;
    }
    for (int i = 0; i < step->operation->count; i++) {
        step->numbers[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(tuple, i + 1));
        if (PyErr_Occurred())
            return -1;
    }
    const char *fault = augment_fault(step->operation, step->numbers);
    if (fault) {
        PyErr_Format(PyExc_ValueError, "%s, got %R", fault, tuple);
        return -1;
    }
    return 0;
}

/* Reads a sequence of steps; NULL with an exception set. The caller frees them with PyMem_Free. */
static Step *read_steps(PyObject *sequence, Py_ssize_t *count)
{
    PyObject *list = PySequence_Fast(sequence, "steps must be a sequence");
    if (!list)
        return NULL;
    *count = PySequence_Fast_GET_SIZE(list);
    Step *steps = PyMem_New(Step, *count + 1);
    if (!steps)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; steps && i < *count; i++)
        if (read_step(PySequence_Fast_GET_ITEM(list, i), &steps[i])) {
            PyMem_Free(steps);
            steps = NULL;
        }
    Py_DECREF(list);
    return steps;
}

PyDoc_STRVAR(apply_doc,
             "apply(image, height, width, steps, /)\n--\n\n"
             "Changes an image, uint8 (height, width, 3), in its place.\n\n"
             "A step is a tuple of an operation's name and its numbers; see `mindcv.data.images.operations`.\n\n"
             "Raises:\n    ValueError: The image has another size, there is no such operation, or its numbers are "
             "wrong.");

static PyObject *py_apply(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer buffer;
    long height, width;
    PyObject *sequence;
    if (!PyArg_ParseTuple(args, "w*llO:apply", &buffer, &height, &width, &sequence))
        return NULL;
    Py_ssize_t count = 0;
    Step *steps = NULL;
    int failed = 0;
    if (height < 1 || width < 1 || height > LARGEST_SIDE || width > LARGEST_SIDE ||
        (int64_t)height * width > MOST_PIXELS || buffer.len != (Py_ssize_t)height * width * CHANNELS)
        PyErr_Format(PyExc_ValueError,
                     "the image must have height x width x 3 bytes, sides of 1 to %d and at most %d pixels",
                     LARGEST_SIDE, MOST_PIXELS);
    else
        steps = read_steps(sequence, &count);
    if (steps) {
        Image image = {buffer.buf, height, width};
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; !failed && i < count; i++)
            failed = steps[i].operation->change(&image, steps[i].numbers);
        Py_END_ALLOW_THREADS
        if (failed)
            PyErr_NoMemory();
    }
    PyBuffer_Release(&buffer);
    if (!steps || failed) {
        PyMem_Free(steps);
        return NULL;
    }
    PyMem_Free(steps);
    Py_RETURN_NONE;
}

#define LOOP_NAMES augment_loop_names
#define USE_LOOPS augment_use_loops
#include "../common/loops_module.h"

static PyMethodDef methods[] = {
    {"loops", py_loops, METH_NOARGS, loops_doc},
    {"use_loops", py_use_loops, METH_VARARGS, use_loops_doc},
    {"apply", py_apply, METH_VARARGS, apply_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_augment", "Operations of augmentation on pixels.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__augment(void)
{
    augment_use_loops(NULL);
    return PyModule_Create(&module);
}
