"""Segmenting in a long-lived child process: JSON lines on its pipes, models kept warm.

``client`` is what a program uses; the child is ``python -m KDSegmentationLogic.worker``.
"""
