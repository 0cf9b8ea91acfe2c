"""The report of a study: one HTML page, the same in Markdown, and all figures as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from KDSegmentationLogic import __version__
from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.dependencies import require
from KDSegmentationLogic.errors import KDSegError
from KDSegmentationLogic.files import write_if_new
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.reporting import tables
from KDSegmentationLogic.studies.reporting.comparisons import (
    DICE,
    ECE,
    HD95,
    Answer,
    Metric,
    answers,
    best_member,
    structure_dice,
)
from KDSegmentationLogic.studies.reporting.content import ROLES, Content, Group, Run, gather
from KDSegmentationLogic.studies.reporting.html import html
from KDSegmentationLogic.studies.reporting.markdown import FIGURES, drawings, markdown
from KDSegmentationLogic.studies.reporting.page import (
    Block,
    Bullets,
    Code,
    Figure,
    Page,
    Section,
    Text,
)
from KDSegmentationLogic.studies.reporting.pixels import pixels
from KDSegmentationLogic.studies.results import ResultStore
from KDSegmentationLogic.training.dataset import find_dataset

_PACKAGES = ("torch", "monai", "numpy", "scipy", "SimpleITK", "openvino", "onnxruntime")
_SHOWN = 3  # models beside each other in the pictures of cases


def write_report(
    folder: RunFolder, out: Path, data: Path | None = None, command: str = ""
) -> list[Path]:
    """Write ``report.html``, ``report.md`` with its drawings, and ``comparisons.json``.

    Parameters
    ----------
    out : a folder; it is made where it is not there.
    data : the folder that holds the study's data set; without it the pictures of cases are
        left out, and the report says so.
    command : what makes the results again, as it was typed.

    Returns
    -------
    The files, the HTML page first.

    Raises
    ------
    UsageError : nothing has been measured yet.
    DependencyError : matplotlib is not installed.
    TrainingError : a file of results is damaged.
    """
    require("matplotlib")
    content = gather(folder, _plan(folder), command)
    if not command:
        content = replace(content, command=_command(folder, content.decisive))
    by_metric = {metric.name: answers(content, metric) for metric in _metrics(content)}
    page = build_page(content, by_metric, _pictures(content, folder, data))
    files = {out / "report.html": html(page), out / "report.md": markdown(page)}
    files |= {out / FIGURES / name: svg for name, svg in drawings(page).items()}
    found = {name: [asdict(answer) for answer in listed] for name, listed in by_metric.items()}
    files[out / "comparisons.json"] = json.dumps(found, indent=1) + "\n"
    for path, text in files.items():
        write_if_new(path, text)
    return list(files)


def build_page(content: Content, by_metric: dict[str, list[Answer]], pictures: Block) -> Page:
    """The page of what has been gathered. ``pictures``: of cases, or why there are none."""
    from KDSegmentationLogic.studies.reporting import figures

    limit = tables.dice_limit(content)
    time = figures.accuracy_against_time(content)
    cost = tables.costs(content)
    metrics = _metrics(content)
    noninferior = tables.non_inferiority(content, by_metric[DICE.name])
    accuracy: list[Block] = [tables.accuracy(content, split) for split in reversed(content.splits)]
    compared: list[Block] = [
        tables.comparisons(by_metric[metric.name], metric)
        for metric in metrics
        if by_metric[metric.name]
    ]
    if noninferior:
        compared.insert(1, noninferior)
    counted = [table for each in (False, True) if (table := pixels(content, each))]
    return Page(
        title=f"{content.study.bundle.title}: what the student kept of the ensemble",
        summary=_summary(content, by_metric),
        sections=[
            Section(
                "Accuracy",
                [accuracy[0], figures.box_plots(content, limit), *accuracy[1:], *counted],
            ),
            Section("Comparisons", compared or [Text("There is nothing to compare yet.")]),
            Section("The worst cases", [tables.tails(content), pictures]),
            Section(
                "Calibration",
                [tables.calibration(content), figures.reliability_diagram(content)],
            ),
            Section("Cost", [block for block in (cost, time) if block] or [_NO_COST]),
            Section("What was run", _what_was_run(content)),
            Section("The plan", [Code(content.plan)]),
        ],
    )


_NO_COST = Text("No cost was measured.")


def _metrics(content: Content) -> list[Metric]:
    names = content.protocol.names(content.study.labels)
    structures = [structure_dice(name) for name in names]
    return [DICE, *(structures if len(structures) > 1 else []), HD95, ECE]


def _summary(content: Content, by_metric: dict[str, list[Answer]]) -> list[Block]:
    """The claims in a sentence each, with the figures that they rest on."""
    split = content.decisive
    lead = Text(
        f"{content.study.dataset}, {split}: {content.counted(_case_names(content))}. Dice is the "
        "mean over structures and cases; differences have 95 % intervals over patients, and "
        "p-values by Wilcoxon's signed-rank test after Holm's correction within each claim; those "
        "of non-inferiority are one-sided and uncorrected."
    )
    sentences = [_claim(answer) for answer in by_metric[DICE.name]]
    sentences += [_noninferior(answer) for answer in by_metric[DICE.name] if answer.noninferiority]
    if split != "test":
        sentences.append("The test cases have not been opened: all figures are on validation.")
    if content.missing:
        number = len(content.missing)
        models = "1 model is" if number == 1 else f"{number} models are"
        sentences.append(f"Not everything was run: {models} missing.")
    return [lead, Bullets(sentences)] if sentences else [lead]


def _claim(answer: Answer) -> str:
    found = answer.comparison
    low, high = (100 * end for end in (found.interval.low, found.interval.high))
    say = {
        "first is better": "is better than",
        "first is worse": "is worse than",
        "no difference shown": "is not shown to differ from",
        "ranks and mean disagree": "differs by ranks, but not by the mean, from",
    }[tables.verdict(answer, DICE)]
    sentence = _minus(
        f"{answer.first} {say} {answer.second}: ",
        f"{100 * found.difference:+.2f} Dice points ({low:+.2f} to {high:+.2f}), "
        f"p {_relation(answer.corrected)}.",
    )
    if answer.too_few_patients:
        sentence += f" {found.units} patients could not have shown a difference."
    return sentence


def _noninferior(answer: Answer) -> str:
    found = answer.noninferiority
    assert found is not None
    is_shown = "is non-inferior to" if found.holds else "is not shown to be non-inferior to"
    return _minus(
        f"{answer.first} {is_shown} {answer.second} ",
        f"with a margin of {100 * found.margin:g} Dice points: lower end {100 * found.lower:+.2f}, "
        f"p {_relation(found.p_value)}.",
    )


def _minus(names: str, figures: str) -> str:
    """Names keep their hyphens, numbers get minus signs."""
    return names + figures.replace("-", "−")


def _relation(p: float) -> str:
    text = tables.p_text(p)
    return text if text.startswith("<") else f"= {text}"


def _pictures(content: Content, folder: RunFolder, data: Path | None) -> Figure | Text:
    """Of the student that is best by validation, beside its ensemble and its baseline."""
    if data is None:
        return Text("Pictures of cases were left out: the report was made without the data set.")
    from KDSegmentationLogic.studies.reporting import pictures

    try:
        dataset = find_dataset(content.study.dataset, data)
        chosen = pictured_runs(content)
        names = pictures.chosen_cases(chosen[0], content.decisive)
        cases = [(why, dataset.cases[name]) for why, name in names]
        return pictures.case_pictures(content, ResultStore(folder.root), chosen, cases)
    except KDSegError as error:
        return Text(f"Pictures of cases were left out. {error}")


def pictured_runs(content: Content) -> list[Run]:
    """The best student by validation, its ensemble, and the baseline or the best member."""
    split = content.decisive
    key = "val" if "val" in content.splits else split

    def validation(run: Run) -> float:
        cases = run.results[key].cases if key in run.results else ()
        return sum(case.dice for case in cases) / len(cases) if cases else -math.inf

    def best(groups: Sequence[Group]) -> Run | None:
        runs = [run for group in groups for run in group.measured(split)]
        return max(runs, key=validation, default=None)

    ensembles = content.of_role("ensemble")
    students = content.of_role("student")
    student = best(students)
    if student is not None:
        wanted = next(g.distils for g in students if student in g.runs)
        ensembles = [g for g in ensembles if g.name == wanted] or ensembles
    picked = [student, best(ensembles), best(content.of_role("baseline"))]
    if picked[-1] is None and ensembles:
        picked[-1] = best_member(content, ensembles[0])
    runs = [run for run in picked if run is not None]
    return (runs or [_first(content)])[:_SHOWN]


def _what_was_run(content: Content) -> list[Block]:
    versions = [f"KDSegmentation {__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {v}" for name in _PACKAGES if (v := _version(name))]
    missing = content.missing or ("Everything that the plan asks for was trained and measured.",)
    openings = [
        f"{opening.at}: study {opening.study}, {len(opening.arms)} models "
        f"({', '.join(opening.arms)})."
        for opening in content.openings
    ]
    return [
        Text("Made again by:"),
        Code(content.command),
        Text("The test cases were opened:" if openings else "The test cases were never opened."),
        *([Bullets(openings)] if openings else []),
        Text("Not run:"),
        Bullets(missing),
        Text(
            f"{_trained_with(content)}Measured by "
            f"{_first(content).results[content.decisive].engine}. This page was "
            f"written by {', '.join(versions)} on {platform.system()} {platform.machine()}."
        ),
        tables.every_run(content),
    ]


def _trained_with(content: Content) -> str:
    facts = [run.facts or {} for group in content.groups for run in group.runs]
    versions = sorted({version for each in facts for version in each.get("versions", ())})
    return f"Trained with {', '.join(versions)}. " if versions else ""


def _first(content: Content) -> Run:
    return content.of_role(*ROLES)[0].measured(content.decisive)[0]


def _case_names(content: Content) -> list[str]:
    return [case.case for case in _first(content).results[content.decisive].cases]


def _plan(folder: RunFolder) -> str:
    """The study's file where the run folder has it, else its content."""
    kept = folder.root / "study.yaml"
    if kept.is_file():
        return kept.read_text("utf-8")
    content: Any = encode(folder.study, omit_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _command(folder: RunFolder, decisive: str) -> str:
    until = "" if decisive == "test" else " --until validate"
    return f"kdseg study run study.yaml -o {folder.root.name} --data DATA{until}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
