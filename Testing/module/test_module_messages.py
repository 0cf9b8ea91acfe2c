"""Every message that a user of the module can meet, with its cause and its remedy."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from KDSegmentationLogic import errors
from KDSegmentationLogic.scene.view import messages
from Testing.project.source_tree import PACKAGE, parse, place, python_files

LAYERS = ("imaging", "networks", "bundles", "inference", "evaluation", "worker", "scene")
"""What the module calls."""

OWN = {
    name: function
    for name, function in vars(messages).items()
    if inspect.isfunction(function)
    and function.__module__ == messages.__name__
    and name != "of_error"
}
KINDS = {name for name, kind in vars(errors).items() if inspect.isclass(kind)} - {"KDSegError"}


def raised() -> dict[str, tuple[str, str]]:
    """place: (cause, remedy) of every error that the layers raise, names in the texts as {}."""
    files = [p for layer in LAYERS for p in python_files(f"{PACKAGE}/{layer}")]
    found = {}
    for path in files:
        for node in ast.walk(parse(path)):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id in KINDS and len(node.args) == 2:
                cause, remedy = (_text(argument) for argument in node.args)
                found[place(path, node.lineno)] = (cause, remedy)
    return found


def _text(node: ast.expr) -> str:
    """The literal parts of a text; {} for what is filled in or comes from elsewhere."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "{}"


def sentence(text: str) -> bool:
    """Whole, or with a command to copy at its end."""
    begun = text[:1] in "{/" or text[:1].isupper()
    return begun and re.search(r"(\.|\{\}|: pip install \w+)$", text) is not None


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_message_of_the_panels_has_a_cause_that_names_its_thing_and_a_remedy(name: str) -> None:
    filled = {parameter: f"<{parameter}>" for parameter in inspect.signature(OWN[name]).parameters}
    message = OWN[name](**filled)
    for part in (message.cause, message.remedy):
        assert part.endswith("."), part
        assert len(part) > 15
    for value in filled.values():
        assert value in message.cause, f"{value} is not named"


def test_every_error_that_the_module_can_meet_has_a_cause_and_a_remedy() -> None:
    found = raised()
    listing = "\n".join(f"{where}: {cause} | {remedy}" for where, (cause, remedy) in found.items())
    print(listing)
    assert len(found) > 60, "the search has gone blind"
    bad = [
        f"{where}: {cause!r}, {remedy!r}"
        for where, (cause, remedy) in found.items()
        if not (sentence(cause) and sentence(remedy))
    ]
    assert not bad, "\n".join(bad)


def test_each_kind_of_error_is_shown_as_its_two_sentences() -> None:
    for name in sorted(KINDS - {"Cancelled"}):
        error = getattr(errors, name)("It broke.", "Mend it.")
        assert str(messages.of_error(error)) == "It broke. Mend it."


def test_every_message_of_the_panels_is_used() -> None:
    used = {
        node.attr
        for folder in ("KDSegmentation", f"{PACKAGE}/scene")
        for path in python_files(folder)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
    }
    assert sorted(set(OWN) - used) == []
