"""The features of a training step, and cases in which each pair of their values occurs."""

from reference import Settings

CALLS = 8
SCALES = {
    "none": {},
    "fixed": {"loss_scale": 64.0},
    "drop": {"loss_scale": 64.0, "drop_overflow": True, "overflow_at": (3,)},
    "dynamic": {"loss_scale": 64.0, "dynamic": True, "overflow_at": (3,)},
}
FEATURES_OF_A_STEP = {
    "amp_level": ("O0", "O2", "O3"),
    "scale": ("none", "fixed", "drop", "dynamic"),
    "clip_value": (None, 0.3),
    "accumulation": (1, 2, 4),
    "ema": (False, True),
    "opt": ("momentum", "adamw", "lamb"),
    "mixup": (False, True),
    "smoothing": (0.0, 0.1),
}
# Each pair of values of two features is in one of these at least.
CASES = [
    ("O0", "none", None, 1, False, "momentum", False, 0.0),
    ("O0", "fixed", 0.3, 2, True, "adamw", True, 0.1),
    ("O2", "drop", None, 4, False, "lamb", True, 0.1),
    ("O3", "dynamic", 0.3, 4, True, "lamb", False, 0.0),
    ("O2", "none", 0.3, 1, True, "momentum", True, 0.1),
    ("O2", "fixed", None, 2, False, "adamw", False, 0.0),
    ("O3", "dynamic", None, 1, False, "adamw", True, 0.1),
    ("O3", "drop", 0.3, 2, True, "momentum", False, 0.0),
    ("O0", "drop", 0.3, 1, True, "lamb", False, 0.1),
    ("O0", "none", None, 4, True, "adamw", True, 0.0),
    ("O3", "none", None, 2, True, "lamb", True, 0.0),
    ("O3", "fixed", 0.3, 4, False, "momentum", True, 0.1),
    ("O0", "dynamic", 0.3, 2, True, "momentum", False, 0.1),
    ("O0", "fixed", None, 1, True, "lamb", False, 0.0),
    ("O0", "drop", 0.3, 1, True, "adamw", True, 0.0),
    ("O2", "dynamic", None, 1, True, "momentum", True, 0.0),
]
# In fp32 the step agrees with float64 to 2e-5 of the distance that a weight goes: some ten roundings of 6e-8 in a
# gradient, which adamw and lamb divide by its own size. In fp16 (O2, O3) every product rounds by up to 5e-4, so that a
# gradient is off by some 2e-3, and where it is near zero adamw may turn it: 3e-2 of the distance. A factor that is
# forgotten or applied twice (scale, accumulation, clip, momentum) is off by far more.
TOLERANCE = {"O0": 2e-5, "O1": 3e-2, "O2": 3e-2, "O3": 3e-2, "auto": 3e-2}


def settings_of(values):
    """Settings from features by name."""
    values = dict(values)
    scale = SCALES[values.pop("scale", "none")]
    return Settings(**values, **scale)


def settings_of_case(case):
    return settings_of(zip(FEATURES_OF_A_STEP, case, strict=True))
