"""The one part of the build that ``pyproject.toml`` cannot say.

Models and study files lie at the root, in ``Resources``, where the Slicer extension has
them too; in a wheel they belong inside the package, where ``resources.py`` looks first.
"""

from setuptools import find_packages, setup

RESOURCES = "KDSegmentationLogic.Resources"

setup(
    packages=[*find_packages(include=["KDSegmentationLogic*"]), RESOURCES],
    package_dir={RESOURCES: "Resources"},
    package_data={RESOURCES: ["Models/**/*", "Studies/**/*"]},
)
