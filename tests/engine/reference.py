"""The training step in float64 numpy, written from the papers' formulas, for small networks: dense, tanh, dense."""

import dataclasses

import numpy as np

FEATURES, HIDDEN, CLASSES, BATCH = 5, 7, 4, 4
BN_EPS, BN_MOMENTUM = 1e-5, 0.9
EMA_WARMUP = 2000.0
STATISTICS = ("norm.moving_mean", "norm.moving_variance")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a step is told; the names are those of the config keys where there are such.

    `overflow_at` are the calls whose batch has an infinite pixel, and so gradients that are not finite.
    """

    opt: str = "momentum"
    amp_level: str = "O0"
    loss_scale: float = 1.0
    dynamic: bool = False
    drop_overflow: bool = False
    window: int = 2
    clip_value: float | None = None
    accumulation: int = 1
    ema: bool = False
    mixup: bool = False
    smoothing: float = 0.0
    batch_norm: bool = False
    overflow_at: tuple[int, ...] = ()
    ema_decay: float = 0.99
    ema_updates_before: int = 1500
    ema_warmup: str = "mindcv"
    ema_interval: int = 1
    lrs: tuple[float, ...] = (0.05, 0.02, 0.08, 0.03, 0.06, 0.04, 0.07, 0.01)
    weight_decay: float = 0.02
    momentum: float = 0.9
    eps: float = 1e-6


def initial_weights(batch_norm=False):
    """Weights by MindSpore's parameter names."""
    random = np.random.RandomState(3)
    weights = {
        "first.weight": random.standard_normal((HIDDEN, FEATURES)) * 0.5,
        "first.bias": random.standard_normal(HIDDEN) * 0.1,
        "second.weight": random.standard_normal((CLASSES, HIDDEN)) * 0.5,
        "second.bias": random.standard_normal(CLASSES) * 0.1,
    }
    if batch_norm:
        weights["norm.gamma"] = 1 + 0.2 * random.standard_normal(HIDDEN)
        weights["norm.beta"] = 0.2 * random.standard_normal(HIDDEN)
        weights["norm.moving_mean"] = np.zeros(HIDDEN)
        weights["norm.moving_variance"] = np.ones(HIDDEN)
    return {name: value.astype(np.float32).astype(np.float64) for name, value in weights.items()}


def batches(count, settings, size=BATCH):
    """Images (N, FEATURES) and labels, int (N,) or after mixup float (N, CLASSES)."""
    random = np.random.RandomState(5)
    for call in range(count):
        x = random.standard_normal((size, FEATURES)).astype(np.float32)
        y = random.randint(0, CLASSES, size).astype(np.int32)
        share = random.beta(0.4, 0.4)
        if settings.mixup:
            labels = np.eye(CLASSES, dtype=np.float32)[y]
            x = (share * x + (1 - share) * x[::-1]).astype(np.float32)
            y = (share * labels + (1 - share) * labels[::-1]).astype(np.float32)
        if call in settings.overflow_at:
            x[1, 2] = np.inf
        yield x, y


class Reference:
    """Runs the step; `weights`, `ema`, `loss_scale`, `updates`, `skipped` are its state.

    Attributes:
        losses: The loss of each call.
    """

    def __init__(self, settings):
        self.settings = settings
        self.weights = initial_weights(settings.batch_norm)
        self.kept_statistics = self._statistics()
        self.trained = [name for name in self.weights if name not in STATISTICS]
        self.ema = {name: value.copy() for name, value in self.weights.items()}
        self.ema_updates = settings.ema_updates_before
        self.loss_scale = settings.loss_scale
        self.good_updates = self.skipped = self.updates = 0
        self.slots = [{name: np.zeros_like(self.weights[name]) for name in self.trained} for _ in range(2)]
        self.accumulated, self.calls = self._zeros(), 0
        self.losses = []

    def _zeros(self):
        return {name: np.zeros_like(self.weights[name]) for name in self.trained}

    def _statistics(self):
        return {name: self.weights[name].copy() for name in STATISTICS if name in self.weights}

    def call(self, x, y):
        if self.calls % self.settings.accumulation == 0:
            self.kept_statistics = self._statistics()
        loss, gradients = self.loss_and_gradients(x.astype(np.float64), y)
        self.losses.append(loss)
        for name in self.trained:
            self.accumulated[name] += gradients[name] / self.settings.accumulation
        self.calls += 1
        if self.calls % self.settings.accumulation == 0:
            self._update(self.accumulated)
            self.accumulated = self._zeros()

    def loss_and_gradients(self, x, y):
        w, settings = self.weights, self.settings
        with np.errstate(invalid="ignore"):
            z = x @ w["first.weight"].T + w["first.bias"]
            z_norm, back = self._batch_norm(z) if settings.batch_norm else (z, None)
            h = np.tanh(z_norm)
            logits = h @ w["second.weight"].T + w["second.bias"]
            shifted = logits - logits.max(1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            target = np.eye(CLASSES)[y] if y.ndim == 1 else y.astype(np.float64)
            target = target * (1 - settings.smoothing) + settings.smoothing / CLASSES
            loss = -(target * log_p).sum(1).mean()
            d_logits = (np.exp(log_p) * target.sum(1, keepdims=True) - target) / len(x)
            d_h = (d_logits @ w["second.weight"]) * (1 - h**2)
            gradients = {"second.weight": d_logits.T @ h, "second.bias": d_logits.sum(0)}
            if back is not None:
                d_h, gradients["norm.gamma"], gradients["norm.beta"] = back(d_h)
            gradients |= {"first.weight": d_h.T @ x, "first.bias": d_h.sum(0)}
        return loss, gradients

    def _batch_norm(self, z):
        """Output, and the function that takes its gradient back; moves the running statistics (unbiased variance)."""
        w, count = self.weights, len(z)
        mean, variance = z.mean(0), z.var(0)
        for name, value in zip(STATISTICS, (mean, variance * count / (count - 1)), strict=True):
            w[name] = BN_MOMENTUM * w[name] + (1 - BN_MOMENTUM) * value
        inverse = 1 / np.sqrt(variance + BN_EPS)
        normal = (z - mean) * inverse

        def back(d_out):
            d_normal = d_out * w["norm.gamma"]
            d_z = inverse * (d_normal - d_normal.mean(0) - normal * (d_normal * normal).mean(0))
            return d_z, (d_out * normal).sum(0), d_out.sum(0)

        return normal * w["norm.gamma"] + w["norm.beta"], back

    def _update(self, gradients):
        settings = self.settings
        checks = settings.dynamic or settings.drop_overflow
        if checks and not all(np.isfinite(g).all() for g in gradients.values()):
            self.skipped += 1
            self.good_updates = 0
            self.weights |= self.kept_statistics
            if settings.dynamic:
                self.loss_scale = max(self.loss_scale / 2, 1.0)
            return
        if settings.clip_value is not None:
            norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
            gradients = {n: g * min(1.0, settings.clip_value / norm) for n, g in gradients.items()}
        lr = settings.lrs[self.updates]
        self.updates += 1
        for name in self.trained:
            getattr(self, f"_{settings.opt}")(name, gradients[name], lr)
        if settings.ema:
            self.ema_updates += 1
            decay = self._decay(*divmod(self.ema_updates, settings.ema_interval))
            for name, value in self.weights.items():
                self.ema[name] = decay * self.ema[name] + (1 - decay) * value
        if settings.dynamic:
            self.good_updates += 1
            if self.good_updates == settings.window:
                self.good_updates = 0
                self.loss_scale *= 2

    def _decay(self, moves, rest):
        if rest:
            return 1
        value = self.settings.ema_decay
        if self.settings.ema_warmup == "mindcv":
            return value * (1 - np.exp(-moves / EMA_WARMUP))
        # timm's, by the steps before this one
        warm = 1 - (1 + (moves - 1)) ** -(2 / 3) if self.settings.ema_warmup == "timm" else 1
        return min(warm, value) if moves > 1 else 0

    def _momentum(self, name, gradient, lr):
        w, velocity = self.weights[name], self.slots[0][name]
        velocity *= self.settings.momentum
        velocity += gradient + self.settings.weight_decay * w
        self.weights[name] = w - lr * velocity

    def _direction(self, name, gradient):
        """Adam's direction, with bias correction, and the decoupled weight decay."""
        m, v = self.slots[0][name], self.slots[1][name]
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        corrected = m / (1 - 0.9**self.updates) / (np.sqrt(v / (1 - 0.999**self.updates)) + self.settings.eps)
        return corrected + self.settings.weight_decay * self.weights[name]

    def _adamw(self, name, gradient, lr):
        self.weights[name] = self.weights[name] - lr * self._direction(name, gradient)

    def _lamb(self, name, gradient, lr):
        direction, w = self._direction(name, gradient), self.weights[name]
        self.weights[name] = w - lr * np.linalg.norm(w) / np.linalg.norm(direction) * direction
