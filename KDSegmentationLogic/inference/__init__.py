"""The one path from images to labels on the input's own grid.

Preprocess, windows, engine, restore.
"""
