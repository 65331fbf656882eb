"""Builds the JPEG extension; all metadata is in pyproject.toml."""

from setuptools import Extension, setup

# Optional: without a C compiler or libjpeg-turbo's headers the package installs all the same, and images are decoded by
# MindSpore, more slowly; `mindcv doctor` says which it is.
setup(
    ext_modules=[
        Extension(
            "mindcv.data._jpeg",
            ["mindcv/data/_jpeg.c"],
            libraries=["jpeg"],
            extra_compile_args=["-O3", "-Wall", "-Wextra"],
            optional=True,
        )
    ]
)
