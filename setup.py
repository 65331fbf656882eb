"""Builds the extensions in C; all metadata is in pyproject.toml."""

from setuptools import Extension, setup

# Optional: without a C compiler the package installs all the same. Images are then decoded by MindSpore, and parameters
# updated one by one, both more slowly; `mindcv doctor` says which it is.
setup(
    ext_modules=[
        Extension(
            "mindcv.data.images._jpeg",
            [
                f"mindcv/data/images/jpeg/{name}.c"
                for name in (
                    *("module", "header", "entropy", "decode", "colour", "resize", "cubic"),
                    # One file for each kind of processor.
                    *("loops", "loops_plain", "loops_sse4", "loops_avx2", "loops_neon"),
                )
            ],
            depends=[
                f"mindcv/data/images/jpeg/{name}.h"
                for name in (
                    *("jpeg", "picture", "entropy", "colour", "resize", "cubic", "vectors", "loops", "loops_set"),
                    *("entropy_loops", "transform_loops", "colour_loops", "resize_loops", "cubic_loops"),
                )
            ]
            + [f"mindcv/data/images/common/{name}.h" for name in ("compiler", "choose_loops", "loops_module")],
            # -fwrapv: damaged files may make sums overflow; -ffp-contract=off: the same pixels on all processors.
            extra_compile_args=[
                *("-O3", "-Wall", "-Wextra", "-Wno-psabi", "-fvisibility=hidden", "-fwrapv", "-ffp-contract=off"),
            ],
            optional=True,
        ),
        Extension(
            "mindcv.data.images._augment",
            [
                f"mindcv/data/images/augment/{name}.c"
                for name in (
                    *("module", "operations", "colours", "geometry", "smoothing"),
                    # One file for each kind of processor.
                    *("loops", "loops_plain", "loops_avx2", "loops_avx512", "loops_neon"),
                )
            ],
            depends=[
                f"mindcv/data/images/augment/{name}.h"
                for name in (
                    *("augment", "vectors", "generic", "avx2", "loops", "loops_set"),
                    *("colour_loops", "smoothing_loops", "geometry_loops"),
                )
            ]
            + [f"mindcv/data/images/common/{name}.h" for name in ("compiler", "choose_loops", "loops_module")],
            # -ffp-contract=off: Pillow's pixels, on all processors.
            extra_compile_args=["-O3", "-Wall", "-Wextra", "-Wno-psabi", "-fvisibility=hidden", "-ffp-contract=off"],
            optional=True,
        ),
        # Libraries that MindSpore opens by their paths (mindcv/kernels): no modules, but built and installed as such.
        # -s: without what only a debugger reads, as each start digests them for the key of its graph.
        Extension(
            "mindcv.kernels._multi_tensor",
            ["mindcv/kernels/_multi_tensor.c"],
            extra_compile_args=[
                *("-O3", "-Wall", "-Wextra", "-Wno-psabi", "-pthread", "-fvisibility=hidden"),
                # -ffp-contract=off: the same numbers on all processors; -fno-math-errno: roots in vectors.
                *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
            ],
            extra_link_args=["-pthread", "-s"],
            optional=True,
        ),
        # Over the oneDNN of MindSpore's wheel, which it opens when it is used: nothing of either is needed to build it.
        Extension(
            "mindcv.kernels._convolution",
            [
                f"mindcv/kernels/_{name}.cpp"
                for name in (
                    "convolution",
                    "convolution_norm",
                    "dense",
                    "batch_norm",
                    "layer_norm",
                    "attention",
                    "pooling",
                    "gelu",
                    "layout",
                    "scale",
                    "grouped",
                    "columns",
                    "depthwise",
                    "squeeze_excite",
                )
            ],
            depends=[
                f"mindcv/kernels/_{name}.h"
                for name in (
                    *("batch_norm_vectors", "columns", "depthwise", "gelu", "grouped", "onednn"),
                    *("plans", "shared", "threads", "vectors"),
                )
            ],
            language="c++",
            extra_compile_args=[
                *("-O3", "-std=c++17", "-Wall", "-Wextra", "-Wno-psabi", "-pthread"),
                *("-fno-math-errno", "-fno-trapping-math"),
            ],
            extra_link_args=["-pthread", "-ldl", "-s"],
            optional=True,
        ),
    ]
)
