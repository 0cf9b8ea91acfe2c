"""The Slicer scene without Qt: volume nodes in, segmentation nodes, tables, views out.

Knows slicer (MRML).
"""
