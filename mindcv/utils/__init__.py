"""Ground-level helpers. Upstream's `mindcv.utils` names will be re-exported lazily from `mindcv.engine`."""
