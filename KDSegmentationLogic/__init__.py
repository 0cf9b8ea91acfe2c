"""KDSegmentation: distil an ensemble of segmentation networks into one small student.

The package behind the 3D Slicer module and the ``kdseg`` command. Importing it costs
nothing: torch, SimpleITK, vtk and slicer are imported by the functions that need them.

Layers, each importing only those before it (``Testing/project/test_layers.py``):
imaging, networks, bundles, inference, evaluation, distillation, training, teachers,
studies, worker, scene, commands. The modules beside this file lie below all of them and use
the standard library only.
"""

__version__ = "0.1.0"
