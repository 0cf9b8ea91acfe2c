"""The report says what was measured, and nothing else; made results stand in for a training."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import TrainingError, UsageError
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.report import pictured_runs, write_report
from KDSegmentationLogic.studies.reporting import tables
from KDSegmentationLogic.studies.reporting.comparisons import DICE, answers
from KDSegmentationLogic.studies.reporting.content import Content, Run, gather
from KDSegmentationLogic.studies.results import Assessed, ResultStore
from Testing.studies.made_results import CASES, made_run, study
from Testing.studies.made_results import DICE as MADE

pytest.importorskip("matplotlib", reason="needs matplotlib")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return made_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def content(folder: RunFolder) -> Content:
    return gather(folder, "the plan", "kdseg study run")


@pytest.fixture(scope="module")
def written(folder: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    write_report(folder, out, command="kdseg study run <study>.yaml")
    return out


class Outline(HTMLParser):
    """The tags of a page, checked to be closed in order, and its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        self.links += [value or "" for name, value in attributes if name == "xlink:href"]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_the_page_is_whole_and_fetches_nothing(written: Path) -> None:
    page = (written / "report.html").read_text("utf-8")
    outline = Outline(page)
    assert (outline.faults, outline.open) == ([], [])
    assert "script" not in outline.tags
    assert all(link.startswith(("#", "data:")) for link in outline.links)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(ids)
    assert "url(http" not in page
    assert "@import" not in page


def test_names_with_marks_of_html_and_markdown_are_shown_as_they_are(written: Path) -> None:
    page = (written / "report.html").read_text("utf-8")
    assert "left &amp; &lt;right&gt;" in page
    assert "<right>" not in page
    assert "kdseg study run &lt;study&gt;.yaml" in page
    assert r"left & \<right>" in (written / "report.md").read_text("utf-8")


def test_html_and_markdown_hold_the_same_numbers(written: Path) -> None:
    page, text = ((written / f"report.{ending}").read_text("utf-8") for ending in ("html", "md"))
    page = re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.DOTALL)
    pattern = r"\d\.\d{3,4}\b"
    assert len(re.findall(pattern, text)) > 100
    assert set(re.findall(pattern, text)) == set(re.findall(pattern, page))


def test_the_drawings_of_the_markdown_are_beside_it(written: Path) -> None:
    named = re.findall(r"\]\((.+?)\)", (written / "report.md").read_text("utf-8"))
    assert len(named) == 3
    for name in named:
        svg = (written / name).read_text("utf-8")
        assert svg.startswith("<svg ")
        assert svg.count("<svg") == 1
        assert "currentColor" not in svg


def test_the_page_takes_the_readers_colours(written: Path) -> None:
    page = (written / "report.html").read_text("utf-8")
    assert "color-scheme: light dark" in page
    assert "#010203" not in page
    assert page.count("currentColor") > 50


def test_a_report_of_the_same_results_is_not_written_again(
    folder: RunFolder, written: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*.*")}
    files = write_report(folder, written, command="kdseg study run <study>.yaml")
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*.*")} == before
    assert set(files) <= set(before)


def test_arms_have_their_roles_and_seeds(content: Content) -> None:
    roles = {group.name: (group.role, len(group.runs)) for group in content.groups}
    assert roles == {
        "ensemble": ("ensemble", 1),
        "student": ("student", 2),
        "plain": ("baseline", 2),
        "slices": ("member", 1),
        "volume": ("member", 1),
    }


def test_every_model_is_listed_with_its_seed(content: Content) -> None:
    seeds = {row[0]: row[2] for row in tables.every_run(content).rows}
    assert seeds == {
        **{"ensemble": "–", "slices": "1", "volume": "2"},
        **{"student-s1": "1", "student-s2": "2", "plain-s1": "1", "plain-s2": "2"},
    }


def test_the_members_set_the_limit_of_outliers(content: Content) -> None:
    pooled = [
        case.dice
        for name in ("slices", "volume")
        for case in content.run(name).results["test"].cases
    ]
    assert tables.dice_limit(content) == pytest.approx(np.percentile(pooled, 5))


def test_costs_tell_how_many_times_faster_the_student_is(content: Content) -> None:
    table = tables.costs(content)
    assert table is not None
    rows = {row[0]: row for row in table.rows}
    place = list(table.head).index("times faster than the ensemble")
    assert rows["student"][place] == "× 36.7"
    assert rows["ensemble"][place] == "–"


def timed(content: Content, name: str, **changes: Any) -> Content:
    """With another cost of one group's runs."""

    def run_of(run: Run) -> Run:
        assert run.cost is not None
        return replace(run, cost=replace(run.cost, **changes))

    groups = [
        replace(group, runs=tuple(map(run_of, group.runs))) if group.name == name else group
        for group in content.groups
    ]
    return replace(content, groups=tuple(groups))


def test_the_costs_tell_the_largest_load_under_which_any_arm_was_timed(content: Content) -> None:
    calm, busy = tables.costs(content), tables.costs(timed(content, "ensemble", load=3.2))

    assert calm is not None
    assert "busy" not in calm.note
    assert busy is not None
    assert "busy with other work (load of up to 3.2" in busy.note


def test_the_costs_name_every_engine_that_was_timed(content: Content) -> None:
    table = tables.costs(timed(content, "student", engine="openvino"))

    assert table is not None
    assert (
        "torch on cpu, 2 threads on 2 cores, or openvino on cpu, 2 threads on 2 cores" in table.note
    )


def test_the_margin_of_pictures_is_in_pixels_in_the_drawing_too(content: Content) -> None:
    from KDSegmentationLogic.studies.reporting.figures import reliability_diagram

    def run_of(run: Run) -> Run:
        return replace(run, results={s: in_pixels(found) for s, found in run.results.items()})

    def in_pixels(found: Assessed) -> Assessed:
        cases = [
            replace(case, structures=tuple(replace(s, unit="px") for s in case.structures))
            for case in found.cases
        ]
        return replace(found, cases=tuple(cases))

    groups = [replace(group, runs=tuple(map(run_of, group.runs))) for group in content.groups]

    figure = reliability_diagram(replace(content, groups=tuple(groups)))

    assert figure.caption.startswith("Reliability within 5 px of the structures")


def test_cases_without_structures_are_told_and_spare_the_figures_of_uncertainty(
    content: Content,
) -> None:
    def run_of(run: Run) -> Run:
        found = run.results["test"]
        bare, *others = found.cases
        bare = replace(bare, nll=math.nan, brier=math.nan, entropy=math.nan)
        cases = replace(found, cases=(bare, *others))
        return replace(run, results={**run.results, "test": cases})

    groups = [replace(group, runs=tuple(map(run_of, group.runs))) for group in content.groups]
    table = tables.calibration(replace(content, groups=tuple(groups)))

    place = list(table.head).index("Spearman, entropy and Dice")
    assert {row[place].split(" ± ")[0] for row in table.rows} == {"−1.00"}
    assert "The reference of 1 of 16 cases has no structure" in table.note
    assert "has no structure" not in tables.calibration(content).note


def test_the_report_is_imported_without_matplotlib() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; import KDSegmentationLogic.studies.report"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_that_is_not_finished_tells_its_whole_story(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", left_out="Ball-student-s2")
    ResultStore(folder.root).note_opening("test", study(), ["Ball-ensemble", "slices"])
    (folder.root / "study.yaml").write_text("# why this rate\ndataset: made\n", "utf-8")
    write_report(folder, tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "- student-s2 was not trained" in text
    assert "Not everything was run: 1 model is missing." in text
    assert "2 models (Ball-ensemble, slices)" in text
    assert "# why this rate" in text


def test_a_missing_member_takes_its_ensembles_comparison_away(tmp_path: Path) -> None:
    folder = made_run(tmp_path, left_out="slices")
    pairs = {(a.first, a.second) for a in answers(gather(folder, "", ""), DICE)}
    assert pairs == {("student", "plain"), ("student", "ensemble")}


def test_without_test_cases_and_data_the_report_is_on_validation_and_says_so(
    tmp_path: Path,
) -> None:
    folder = made_run(tmp_path / "run", splits=("val",))
    write_report(folder, tmp_path / "out", tmp_path / "nowhere")
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "The test cases have not been opened" in text
    assert "The test cases were never opened." in text
    assert "Accuracy, test cases" not in text
    assert "Pictures of cases were left out." in text


def test_without_results_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Nothing has been measured"):
        write_report(RunFolder(tmp_path, study()), tmp_path / "out")


def test_the_comparisons_are_there_for_programs_too(written: Path) -> None:
    listed = json.loads((written / "comparisons.json").read_text("utf-8"))
    assert {"Dice", "ECE", "HD95"} <= set(listed)
    assert all("p_value" in entry["comparison"] for entry in listed["Dice"])


def test_the_pictured_student_is_the_best_on_validation(content: Content) -> None:
    names = [run.name for run in pictured_runs(content)]
    assert names[1] == "ensemble"
    val = {
        run.name: np.mean([case.dice for case in run.results["val"].cases])
        for group in content.groups
        if group.role == "student"
        for run in group.runs
    }
    assert names[0] == max(val, key=lambda name: val[name])


def write_images(folder: RunFolder, data: Path, models: list[str]) -> None:
    """The data set's images and what the models said of them: a box each, moved for each model."""
    dataset = data / folder.study.dataset
    (dataset / "imagesTr").mkdir(parents=True)
    (dataset / "labelsTr").mkdir()
    labels = np.zeros((4, 24, 24), np.uint8)
    labels[2, 6:16, 6:16] = 1
    labels[2, 10:16, 6:16] = 2
    for case in CASES:
        grey = np.random.default_rng(0).normal(0, 10, labels.shape) + 100.0 * labels
        for kind, array in (("images", grey.astype(np.float32)), ("labels", labels)):
            image = sitk.GetImageFromArray(array)
            sitk.WriteImage(image, str(dataset / f"{kind}Tr" / f"{case}.nii.gz"))
        for shift, model in enumerate(models):
            said = sitk.GetImageFromArray(np.roll(labels, shift, axis=2))
            place = folder.root / "results" / f"test-{model}-made"
            ResultStore(folder.root).save_labels(place, case, said)
    description = {"modality": {"0": "MR"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    (dataset / "dataset.json").write_text(json.dumps(description), "utf-8")
    splits = {"train": [CASES[0]], "val": [], "test": list(CASES[1:])}
    (dataset / "splits.json").write_text(json.dumps(splits), "utf-8")


def test_the_best_median_and_worst_case_are_pictured(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run")
    write_images(folder, tmp_path / "data", list(MADE))
    write_report(folder, tmp_path / "out", tmp_path / "data")
    svg = (tmp_path / "out" / "figures" / "cases.svg").read_text("utf-8")
    for word in ("best", "median", "worst", "image", "ensemble", "left &amp; &lt;right&gt;"):
        assert f">{word}" in svg
    assert svg.count("<image") == 12


def test_a_damaged_list_of_results_is_named(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    folder.report("val-files.json").write_text('{"arms": [', "utf-8")

    with pytest.raises(TrainingError, match=r"val-files\.json cannot be read"):
        gather(folder, "the plan", "kdseg study run")
