"""`python -m mindcv` is the same as `mindcv`."""

import sys

from .cli import main

sys.exit(main())
