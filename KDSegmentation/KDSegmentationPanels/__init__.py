"""The panels of the module KDSegmentation, one class each.

A panel is given the ``Board`` and knows no other panel. What it shows and whether a control
is enabled comes from ``KDSegmentationLogic.scene.view``, which tests can ask without Qt.
"""
