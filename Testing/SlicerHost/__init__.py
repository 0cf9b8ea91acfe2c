"""A test double of the Qt half of 3D Slicer. Not Slicer, and no part of it.

Widget code is run against PySide6 (``QT_QPA_PLATFORM=offscreen``) over the real MRML scene
of slicer-core: ``qt``, ``ctk``, the few qMRML widgets that a segmentation module needs,
``slicer.app`` with its layout and module managers, slice and 3-D views. MRML, its logics,
displayable managers, interactor styles and ``slicer.util`` are the real ones; everything
with a widget in it is written here from the described behaviour, in PythonQt's dialect,
and on the strict side: what Slicer would refuse or only some Slicers accept is refused.

What passes here still is no proof of:

- the real qMRML and CTK widgets beyond the stand-ins: their filters, menus, looks, and the
  order of their events;
- PythonQt's conversions, ownership and garbage collection, and its crashes;
- Qt 5 (Slicer's default) against Qt 6 (here), beyond the names that both have;
- ``.ui`` files with Slicer's own Designer plugins;
- discovery of modules, order of dependencies, Slicer's launcher and its environment;
- the installation of torch and other packages: requests are recorded, nothing is installed;
- Slicer's own SimpleITK, translations, extension packages, Windows and macOS, speed.

The module's ``ScriptedLoadableModuleTest`` and a walk through the panels inside Slicer are
needed besides.
"""
