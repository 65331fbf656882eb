"""Ground-level helpers. Upstream's `mindcv.utils` names will be re-exported lazily from `mindcv.engine`."""

from .cache import get_default_download_root, set_default_download_root

__all__ = ["get_default_download_root", "set_default_download_root"]
