"""Builds the JPEG extension; all metadata is in pyproject.toml."""

from setuptools import Extension, setup

# Optional: without a C compiler the package installs all the same, and images are decoded by MindSpore, more slowly;
# `mindcv doctor` says which it is.
setup(
    ext_modules=[
        Extension(
            "mindcv.data._jpeg",
            ["mindcv/data/_jpeg.c", "mindcv/data/_jpeg_decoder.c"],
            depends=["mindcv/data/_jpeg_decoder.h", "mindcv/data/_jpeg_vectors.h"],
            # -fwrapv: damaged files may make sums overflow; -ffp-contract=off: the same pixels on all processors.
            extra_compile_args=["-O3", "-Wall", "-Wextra", "-Wno-psabi", "-fwrapv", "-ffp-contract=off"],
            optional=True,
        )
    ]
)
