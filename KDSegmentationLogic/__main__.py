"""``python -m KDSegmentationLogic`` is the ``kdseg`` command."""

import sys

from KDSegmentationLogic.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
