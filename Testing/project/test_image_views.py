"""A view of an image's voxels is taken only of an image that something holds.

``GetArrayViewFromImage`` does not keep its image: the view of a call's result reads memory
that is free already.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from Testing.project.source_tree import dotted, parse, place, python_files

FOLDERS = ("KDSegmentation", "KDSegmentationLogic", "Testing", "benchmarks")


def views_of_nothing(tree: ast.AST) -> Iterator[int]:
    """Lines where the image is an expression, and gone when the view is used."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        name = dotted(node.func).rpartition(".")[2]
        held = isinstance(node.args[0], (ast.Name, ast.Attribute, ast.Subscript))
        if name == "GetArrayViewFromImage" and not held:
            yield node.lineno


def test_no_view_outlives_its_image() -> None:
    found = [
        place(path, line)
        for folder in FOLDERS
        for path in python_files(folder)
        for line in views_of_nothing(parse(path))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("image", ["f(a)", "a > 0", "sitk.Cast(a, 1)"])
def test_a_view_of_a_passing_image_is_seen(image: str) -> None:
    assert list(views_of_nothing(ast.parse(f"x = sitk.GetArrayViewFromImage({image})"))) == [1]


@pytest.mark.parametrize("image", ["a", "result.labels", "images[0]"])
def test_a_view_of_a_held_image_passes(image: str) -> None:
    assert not list(views_of_nothing(ast.parse(f"x = sitk.GetArrayViewFromImage({image})")))
