"""Python modules that Slicer has and slicer-core has not; installations are only recorded."""

# ruff: noqa: N802, N803

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass
class Requests:
    """What a module asked for that changes the computer, or registers itself for."""

    installed: list[tuple[str, ...]] = field(default_factory=list)
    torch: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    accept_installations: bool = False
    """Whether an installation seems to succeed; else it raises, as without a network."""
    decline_torch: bool = False
    """Whether the user says no to the question that the PyTorch extension asks."""


def modules(requests: Requests, with_packaging: bool, with_pytorch: bool) -> dict[str, ModuleType]:
    """Name to module: i18n, SampleData, and as asked slicer.packaging and PyTorchUtils."""
    contents: dict[str, dict[str, Any]] = {
        "slicer.i18n": {"tr": _same, "translate": _translate, "getContext": lambda file: file},
        "SampleData": {"SampleDataLogic": _sample_data(requests)},
    }
    if with_packaging:
        contents["slicer.packaging"] = _packaging(requests)
    if with_pytorch:
        contents["PyTorchUtils"] = {"PyTorchUtilsLogic": _pytorch(requests)}
    made = {}
    for name, content in contents.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(content)
    return made


def _same(text: str) -> str:
    return text


def _translate(_context: str, text: str) -> str:
    return text


def _install(requests: Requests, requirements: str | Iterable[str]) -> None:
    asked = requirements.split() if isinstance(requirements, str) else list(requirements)
    requests.installed.append(tuple(asked))
    if not requests.accept_installations:
        raise RuntimeError(f"No package can be installed here: {' '.join(asked)}")


def pip_install(requests: Requests) -> Callable[..., None]:
    """``slicer.util.pip_install`` as it was before ``slicer.packaging``."""

    def install(requirements: str | list[str]) -> None:
        _install(requests, requirements)

    return install


def _packaging(requests: Requests) -> dict[str, Any]:
    def pip_install(requirements: Any, **_named: Any) -> None:
        _install(requests, requirements)

    def pip_ensure(requirements: Any, **_named: Any) -> None:
        _install(requests, requirements)

    def load_requirements(path: Any) -> list[str]:
        with open(path, encoding="utf-8") as file:
            lines = [line.partition("#")[0].strip() for line in file]
        return [line for line in lines if line]

    return {
        "pip_install": pip_install,
        "pip_ensure": pip_ensure,
        "load_requirements": load_requirements,
    }


def _sample_data(requests: Requests) -> type:
    class SampleDataLogic:
        """Only keeps what is registered; nothing is downloaded."""

        @staticmethod
        def registerCustomSampleDataSource(
            category: str = "Custom",
            sampleName: str | None = None,
            uris: Any = None,
            fileNames: Any = None,
            nodeNames: Any = None,
            customDownloader: Any = None,
            thumbnailFileName: str | None = None,
            loadFileTypes: Any = None,
            loadFiles: Any = None,
            loadFileProperties: Any = None,
            checksums: Any = None,
        ) -> None:
            # Slicer's own takes these and no others.
            requests.samples.append(
                {name: value for name, value in locals().items() if name != "requests"}
            )

    return SampleDataLogic


def _pytorch(requests: Requests) -> type:
    class PyTorchUtilsLogic:
        """The logic of Slicer's PyTorch extension; whether torch is there, Python says."""

        def torchInstalled(self) -> bool:
            import importlib.util

            return importlib.util.find_spec("torch") is not None

        def installTorch(
            self,
            askConfirmation: bool = False,
            forceComputationBackend: str | None = None,
            torchVersionRequirement: str | None = None,
            torchvisionVersionRequirement: str | None = None,
        ) -> Any:
            requests.torch.append(
                {
                    "askConfirmation": askConfirmation,
                    "forceComputationBackend": forceComputationBackend,
                    "torchVersionRequirement": torchVersionRequirement,
                    "torchvisionVersionRequirement": torchvisionVersionRequirement,
                }
            )
            if requests.decline_torch:
                return None
            if not requests.accept_installations:
                raise RuntimeError("torch cannot be installed here")
            return ModuleType("torch")

    return PyTorchUtilsLogic
