"""Where a model will run and how long it will take, in words. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.scene.view.text import duration
from KDSegmentationLogic.scene.view.text import tr as _

DEVICES = ("auto", "cpu", "cuda", "mps")


def engines() -> tuple[str, ...]:
    """The engines to choose from."""
    from KDSegmentationLogic.inference.engines.registry import ENGINES

    return ("auto", *ENGINES)


def device_title(device: str) -> str:
    """A device's name in the list."""
    titles = {
        "auto": _("Automatic"),
        "cpu": _("CPU"),
        "cuda": _("NVIDIA GPU (CUDA)"),
        "mps": _("Apple GPU"),
    }
    return titles[device]


def engine_title(engine: str) -> str:
    """An engine's name in the list."""
    titles = {
        "auto": _("Automatic"),
        "torch": "PyTorch",
        "openvino": "OpenVINO",
        "onnxruntime": "ONNX Runtime",
    }
    return titles.get(engine, engine)


def device_reason(wanted: str, found: tuple[str, str] | None) -> str:
    """Which device will be used and why.

    ``found`` is the device and the reason that the engine gave, None before it was asked.
    """
    if wanted == "auto" and found is None:
        return _("A GPU is used where there is one, else the CPU.")
    if found is None:
        return _("{device}, as you chose.").format(device=device_title(wanted))
    device, reason = found
    if wanted == "auto":
        text = _("{reason}: {device}.").format(reason=reason, device=device_title(device))
        return text[0].upper() + text[1:]
    return _("{device}, as you chose.").format(device=device_title(wanted))


def expected_seconds(model: Bundle, last: float | None) -> float | None:
    """What one case will take: as the last run here, else as it was measured for the bundle."""
    if last is not None:
        return last
    measured = [m.seconds_per_case for m in model.description.measured if m.seconds_per_case]
    return measured[0] if measured else None


def time_text(model: Bundle, last: float | None = None) -> str:
    """The estimate as a sentence; empty where nothing was measured."""
    seconds = expected_seconds(model, last)
    if seconds is None:
        return ""
    if last is not None:
        return _("About {time}, as the last time here.").format(time=duration(seconds))
    hardware = next((m.hardware for m in model.description.measured if m.seconds_per_case), None)
    if hardware:
        return _("About {time} (measured on {hardware}).").format(
            time=duration(seconds), hardware=hardware
        )
    return _("About {time}.").format(time=duration(seconds))


def progress_text(text: str, seconds_left: float | None, waiting: int = 0) -> str:
    """What stands beside the progress bar."""
    parts = [text[:1].upper() + text[1:]] if text else []
    if seconds_left is not None and seconds_left >= 0.5:
        parts.append(_("about {time} left").format(time=duration(round(seconds_left))))
    if waiting:
        parts.append(_("{count} more in the queue").format(count=waiting))
    return " · ".join(parts)


def where_it_ran(notices: Sequence[str]) -> str:
    """Of a run's notices the one that says on which device and engine it ran, and why."""
    return next((notice for notice in notices if notice.startswith(_RAN)), "")


def worth_saying(notices: Sequence[str]) -> list[str]:
    """The other notices."""
    return [notice for notice in notices if not notice.startswith(_RAN)]


# How inference begins the notice; it is the only text of it that is relied upon.
_RAN = "Running on "
