"""What ``import qt`` gives: one flat name space of Qt's classes, in PythonQt's dialect."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from Testing.SlicerHost import dialogs, loader
from Testing.SlicerHost.properties import qt_name

_OWN = {**dialogs.OWN, "QUiLoader": loader.QUiLoader}


class _Qt(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return _OWN[name] if name in _OWN else qt_name(name)


module = _Qt("qt")
