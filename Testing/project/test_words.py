"""Calls and words that must not be in the project, and what stands in for them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from Testing.project.source_tree import ROOT, dotted, imported_names, parse, place, python_files

SHIPPED = [*python_files("KDSegmentationLogic"), *python_files("KDSegmentation")]

UNSAFE_CALLS = {
    "eval": "nothing that is read is evaluated",
    "exec": "nothing that is read is evaluated",
    "torch.load": "weights are safetensors",
    "os.system": "a shell reads file names as commands",
}
UNSAFE_IMPORTS = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
UNSAFE_KEYWORDS = {("shell", True), ("allow_pickle", True), ("weights_only", False)}

# Absent on Windows, where Slicer runs too.
POSIX_IMPORTS = {"fcntl", "resource", "pwd", "grp", "termios", "posix", "pty", "curses"}
POSIX_NAMES = {
    "os.fork",
    "os.killpg",
    "os.setsid",
    "os.getuid",
    "os.geteuid",
    "os.getpgid",
    "os.sched_getaffinity",
    "os.uname",
    "signal.SIGKILL",
    "signal.SIGALRM",
    "signal.SIGUSR1",
    "signal.pause",
    "signal.alarm",
    "time.tzset",
}
POSIX_KEYWORDS = {"preexec_fn"}

TEXT = {".py", ".md", ".toml", ".txt", ".cmake", ".yaml", ".yml", ".json", ".ui", ".sh", ""}
FOLDERS = ("KDSegmentation", "KDSegmentationLogic", "Resources", "Testing", "benchmarks", ".ci")
MACHINE_PATH = re.compile(r"(?<![\w.:/}-])/(?:home|root|work|tmp|Users|mnt|opt)/[\w.-]")


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, reason) for each way to run what a file says instead of reading it."""
    for line, name in imported_names(tree):
        if name.split(".")[0] in UNSAFE_IMPORTS:
            yield line, f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (reason := UNSAFE_CALLS.get(dotted(node.func))):
            yield node.lineno, f"calls {dotted(node.func)}: {reason}"
        if not (isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant)):
            continue
        if (node.arg, node.value.value) in UNSAFE_KEYWORDS:
            yield node.value.lineno, f"says {ast.unparse(node)}"


def unportable(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, reason) for what Windows does not have and no ``hasattr`` asks for."""
    asked = {
        f"{dotted(node.args[0])}.{ast.literal_eval(node.args[1])}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "hasattr" and len(node.args) == 2
        if isinstance(node.args[1], ast.Constant)
    }
    for line, name in imported_names(tree):
        if name.split(".")[0] in POSIX_IMPORTS or name in POSIX_NAMES:
            yield line, f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node) in POSIX_NAMES - asked:
            yield node.lineno, f"uses {dotted(node)}"
        if isinstance(node, ast.keyword) and node.arg in POSIX_KEYWORDS:
            yield node.value.lineno, f"says {node.arg}"


def text_files() -> list[Path]:
    """Every text file of the project; what tools and runs leave behind is not among them."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += (ROOT / folder).rglob("*")
    return sorted(
        path
        for path in found
        if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts
    )


def test_nothing_that_is_read_can_run_code() -> None:
    faults = [f"{place(path, line)} {why}" for path in SHIPPED for line, why in unsafe(parse(path))]
    assert not faults, "\n".join(faults)


def test_nothing_that_windows_lacks_is_called() -> None:
    faults = [
        f"{place(path, line)} {why}" for path in SHIPPED for line, why in unportable(parse(path))
    ]
    assert not faults, "\n".join(faults)


def test_no_file_names_a_folder_of_one_machine() -> None:
    faults = [
        f"{place(path, number)} {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load('x')",
        "from pickle import loads",
        "eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
    ],
)
def test_code_that_runs_what_it_reads_is_seen(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import fcntl",
        "import os\nos.fork()",
        "from os import killpg",
        "import signal\nsignal.SIGKILL",
        "import subprocess\nsubprocess.Popen(['a'], preexec_fn=f)",
    ],
)
def test_code_that_needs_posix_is_seen(code: str) -> None:
    assert list(unportable(ast.parse(code)))


def test_a_posix_call_behind_a_question_is_allowed() -> None:
    code = "import os\nif hasattr(os, 'sched_getaffinity'):\n    os.sched_getaffinity(0)"
    assert not list(unportable(ast.parse(code)))


def test_putting_a_network_into_evaluation_mode_is_no_evaluation_of_text() -> None:
    assert not list(unsafe(ast.parse("model.eval()")))


def test_a_path_of_one_machine_is_seen_and_an_address_is_not() -> None:
    assert MACHINE_PATH.search('folder = "/' + 'home/someone/data"')
    assert not MACHINE_PATH.search("https://example.org/" + "home/page")
