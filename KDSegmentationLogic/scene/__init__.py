"""The Slicer scene without Qt: volume nodes in, segmentation nodes, tables and views out. Knows slicer (MRML)."""
