/* A module's functions of the loops that are in use. LOOP_NAMES and USE_LOOPS are those of choose_loops.h. */

PyDoc_STRVAR(loops_doc,
             "loops()\n--\n\nNames of the sets of hot loops that this processor can run: plain C, then faster ones.");

static PyObject *py_loops(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *names = PyList_New(0);
    for (const char *const *name = LOOP_NAMES(); names && *name; name++) {
        PyObject *text = PyUnicode_FromString(*name);
        if (!text || PyList_Append(names, text))
            Py_CLEAR(names);
        Py_XDECREF(text);
    }
    return names;
}

PyDoc_STRVAR(use_loops_doc,
             "use_loops(name, /)\n--\n\n"
             "Uses a set of hot loops from now on, for tests; None: the fastest, as from the start. Pixels are the "
             "same.\n\n"
             "Raises:\n    ValueError: This processor has no set of that name.");

static PyObject *py_use_loops(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *name;
    if (!PyArg_ParseTuple(args, "z:use_loops", &name))
        return NULL;
    if (USE_LOOPS(name))
        return PyErr_Format(PyExc_ValueError, "there are no loops %s here; loops() names those that there are", name);
    Py_RETURN_NONE;
}
