"""Reads images with their geometry checked, orients, resamples and writes them.

Knows SimpleITK and numpy.
"""
