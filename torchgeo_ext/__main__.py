"""``python -m torchgeo_ext`` is the command ``torchgeo-ext``."""

import sys

from torchgeo_ext.cli import main

sys.exit(main())
