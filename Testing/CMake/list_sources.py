"""Write the lists of files that CMake reads, or say whether they are up to date.

    python Testing/CMake/list_sources.py [--check]

Slicer's build takes files by name only, and a forgotten one is noticed by users. The lists
are committed, so that configuring needs no Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTING = ROOT / "KDSegmentationLogic" / "sources.cmake"
CARRIED = ("Models", "Studies")
CMAKE_FILES = {"CMakeLists.txt", "sources.cmake"}


def files_below(folder: Path, relative_to: Path) -> list[str]:
    """Paths of all files below ``folder``, with forward slashes; caches and hidden ones aside."""
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(relative_to)
        hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
        if path.is_file() and not hidden:
            found.append(relative.as_posix())
    return sorted(found)


def listing(root: Path = ROOT) -> str:
    """The content that ``sources.cmake`` ought to have.

    Raises
    ------
    ValueError : a file in the package is not Python; a wheel and Slicer would leave it out.
    """
    package = files_below(root / "KDSegmentationLogic", root)
    scripts = [name for name in package if name.endswith(".py")]
    strays = [n for n in package if n not in scripts and Path(n).name not in CMAKE_FILES]
    if strays:
        raise ValueError(f"Move {', '.join(strays)} to Resources: the package holds Python only.")
    folder = root / "Resources"
    resources = [name for part in CARRIED for name in files_below(folder / part, folder)]
    return (
        "# Written by Testing/CMake/list_sources.py (`make sources`); do not edit.\n"
        f"set(PACKAGE_SCRIPTS\n{_indented(scripts)}  )\n"
        f"set(PACKAGE_RESOURCES\n{_indented(resources)}  )\n"
    )


def _indented(names: list[str]) -> str:
    return "".join(f'  "{name}"\n' for name in names)


def differences(old: str, new: str) -> list[str]:
    """The lines that were added (+) and taken away (-)."""
    before, after = set(old.splitlines()), set(new.splitlines())
    gone = [f"- {line.strip()}" for line in sorted(before - after)]
    return gone + [f"+ {line.strip()}" for line in sorted(after - before)]


def main(arguments: list[str]) -> int:
    new = listing()
    old = LISTING.read_text(encoding="utf-8") if LISTING.is_file() else ""
    if old == new:
        return 0
    if arguments == ["--check"]:
        print(f"{LISTING.name} is out of date; run `make sources`.")
        print("\n".join(differences(old, new)))
        return 1
    LISTING.write_bytes(new.encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
