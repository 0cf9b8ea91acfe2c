"""The benchmark beside its peers, on a tiny case."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "kdseg--OpenVINO-.0.json"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.peers")


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.reporting")


def run_script(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "peers.py"), "-o", str(folder)]
    command += ["--cases", "tiny-4", "--rounds", "1", "--threads", "1", "--steps", "2"]
    command += ["--methods", "kdseg (OpenVINO)", "MONAI"]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("monai")
    pytest.importorskip("openvino")
    folder: Path = tmp_path_factory.mktemp("peers")
    run_script(folder)
    return folder


def test_our_engine_and_monai_are_measured_on_one_image(measured: Path) -> None:
    rows = json.loads((measured / "peers.json").read_text())["cases"]["tiny-4"]["methods"]
    assert set(rows) == {"kdseg (OpenVINO)", "MONAI"}
    assert all(row["seconds"] > 0 and row["peak_gib"] > 0 for row in rows.values())
    assert rows["MONAI"]["agreement"] > 0.5


def test_a_second_run_measures_only_what_is_missing(measured: Path) -> None:
    case = measured / "tiny-4"
    (case / "matrix-product.0.json").unlink()
    kept = (case / NAME).stat().st_mtime_ns
    said = run_script(measured).stderr
    assert "matrix product" in said
    assert "MONAI" not in said
    assert (case / NAME).stat().st_mtime_ns == kept


def test_a_method_that_takes_too_much_memory_is_ended_and_listed(peers: ModuleType) -> None:
    command = [sys.executable, "-c", "import time; a = b'x' * 300_000_000; time.sleep(60)"]
    found = peers.run_child(command, 1, 0.1, 1)
    assert found == {"failed": "did not fit in 0.1 GiB"}


def test_a_failed_method_is_listed_with_its_last_words(peers: ModuleType) -> None:
    found = peers.run_child([sys.executable, "-c", "raise ValueError('no such thing')"], 1, 8, 1)
    assert found == {"failed": "ValueError: no such thing"}


@pytest.mark.parametrize(
    ("found", "turn", "done"),
    [
        ({"seconds": 400}, 1, True),
        ({"seconds": 90}, 1, False),
        ({"seconds": 90}, 2, True),
        ({"seconds": 5}, 2, False),
        ({"failed": "did not fit"}, 1, True),
    ],
)
def test_slow_methods_have_fewer_turns(
    peers: ModuleType, tmp_path: Path, found: dict[str, Any], turn: int, done: bool
) -> None:
    (tmp_path / "first.json").write_text(json.dumps(found))
    assert peers._slow_or_failed(tmp_path / "first.json", turn) is done


def test_a_target_is_judged_by_the_measured_ratio(reporting: ModuleType) -> None:
    ours = {"seconds": 2.0, "peak_gib": 1.0, "gflops": 80.0, "stages": {"network": 1.2}}
    peer = {"seconds": 31.0, "peak_gib": 4.0, "agreement": 0.9995}
    case = {"methods": {"kdseg (OpenVINO)": ours, "nnU-Net": peer}, "matrix_gflops": 100.0}
    rows = {
        (row["target"].case, row["target"].figure, row["target"].peer): row
        for row in reporting.judged({"cases": {"ct128-4": case, "ct128-20": case}})
    }
    assert rows["ct128-4", "time ratio", "nnU-Net"]["found"] == 15.5
    assert rows["ct128-4", "time ratio", "nnU-Net"]["reached"] is True
    assert rows["ct128-20", "time ratio", "nnU-Net"]["reached"] is False
    assert rows["ct128-20", "memory ratio", "nnU-Net"]["reached"] is True
    assert rows["ct128-4", "rate", ""]["reached"] is True
    assert rows["ct128-4", "time ratio", "MONAI"]["reached"] is None


def test_the_line_through_a_curve_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    found = import_module("benchmarks.curves").line([1, 2, 4], [3, 5, 9])
    assert found == pytest.approx({"slope": 2, "intercept": 1, "r2": 1})
