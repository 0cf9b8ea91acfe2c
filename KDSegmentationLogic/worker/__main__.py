"""The child process: ``python -m KDSegmentationLogic.worker``, started by ``WorkerClient``."""

from __future__ import annotations

from KDSegmentationLogic.worker.server import main

if __name__ == "__main__":
    main()
