"""The tables of a report: a row an arm, over its seeds, and a row a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from KDSegmentationLogic.evaluation.statistics import bootstrap
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.evaluation.tails import (
    are_outliers,
    high_risk,
    outlier_limit,
    outlier_rate,
)
from KDSegmentationLogic.evaluation.uncertainty import auroc, spearman
from KDSegmentationLogic.studies.reporting.comparisons import (
    ALPHA,
    DICE,
    ECE,
    Answer,
    Metric,
    structure_dice,
)
from KDSegmentationLogic.studies.reporting.content import (
    ROLES,
    Content,
    Group,
    Measure,
    Run,
    nanmean,
)
from KDSegmentationLogic.studies.reporting.page import Table
from KDSegmentationLogic.studies.results import CaseResult, Cost

DASH = "–"


def number(value: float, digits: int) -> str:
    """With a true minus sign; a dash where it is undefined."""
    return DASH if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def over_runs(values: Sequence[float], digits: int) -> str:
    """The mean over runs, with their standard deviation where there are several."""
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return DASH
    text = number(float(np.mean(defined)), digits)
    if len(defined) > 1:
        text += f" ± {number(float(np.std(defined, ddof=1)), digits)}"
    return text


def p_text(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def count_text(value: float) -> str:
    """A large count with its unit's letter: 1.4 M, 63 G."""
    for factor, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.0f}"


def accuracy(content: Content, split: str) -> Table:
    """Dice with its interval, each structure's Dice, distances, surface Dice."""
    names = content.protocol.names(content.study.labels)
    unit = content.unit
    within = f"{content.protocol.surface_tolerance:g} {unit}"
    head = ["arm", "role", "seeds", "mean Dice", "95 % interval", *(f"Dice {n}" for n in names)]
    head += [f"HD95 ({unit})", f"ASSD ({unit})", f"surface Dice at {within}", "missed"]
    head.append("without distance")
    rows = []
    for group in _groups(content, split):
        cells = [group.name, group.role, str(len(group.measured(split)))]
        cells.append(over_runs(group.run_means(split, DICE.of), 4))
        interval = bootstrap(list(content.units(group.values(split, DICE.of)).values()))
        cells.append(f"{interval.low:.4f} to {interval.high:.4f}")
        cells += [over_runs(group.run_means(split, structure_dice(n).of), 4) for n in names]
        for metric, digits in (("hd95", 2), ("assd", 2), ("surface_dice", 4)):
            cells.append(over_runs(group.run_means(split, _mean_of(metric)), digits))
        structures = _structures(group, split)
        cells.append(str(sum(s.presence == "missed" for s in structures)))
        undefined = sum(math.isnan(s.hd95) for s in structures)
        rows.append([*cells, f"{undefined} of {len(structures)}"])
    counted = content.counted(_groups(content, split)[0].values(split, DICE.of))
    note = (
        f"{counted}. Means over cases; ± is the standard deviation "
        "over seeds. The interval is over patients (BCa bootstrap). Missed: structures that the "
        "reference has and the model does not, over all cases and seeds; they count as Dice 0. "
        "Without distance: these, and structures that the reference has not. HD95 and ASSD are "
        "means over the others, so that an arm that misses a hard structure may seem better by "
        "them; the comparisons take of each case the structures that both sides have."
    )
    folded = split != content.decisive
    return Table(f"Accuracy, {split} cases", head, rows, note, folded)


def comparisons(answers: Sequence[Answer], metric: Metric) -> Table:
    """A row an answer."""
    head = ["first", "against", "claim", "patients", "left out", f"difference in {metric.name}"]
    head += ["95 % interval", "p", "p (Holm)", "verdict"]
    rows = []
    for answer in answers:
        found = answer.comparison
        low, high = (_signed(end, metric) for end in (found.interval.low, found.interval.high))
        cells = [answer.first, answer.second, answer.claim, str(found.units)]
        cells.append(f"{answer.left_out} of {answer.parts}")
        cells += [_signed(found.difference, metric), f"{low} to {high}", p_text(found.p_value)]
        says = "too few patients" if answer.too_few_patients else verdict(answer, metric)
        rows.append([*cells, p_text(answer.corrected), says])
    better = "" if metric.higher else " Lower is better."
    note = (
        f"Difference: first minus second, mean over patients.{better} Left out: structures over "
        "all cases (by ECE: cases) that do not count for either side, since one of them, in one of "
        "its seeds, has no such figure there. p: two-sided Wilcoxon "
        "signed-rank test, then corrected by Holm among the tests of one claim; the claims are the "
        "same for every study, whatever its results. Better or worse: the corrected p is below "
        f"{ALPHA:g} and the interval of the mean on that side of zero; with such a p alone, ranks "
        "and mean disagree, as where one patient makes the mean. All are about these trained "
        "networks: how much another training would differ is not in them."
    )
    if any(answer.too_few_patients for answer in answers):
        note += (
            " Too few patients: even if all of them agreed, the corrected p would not be below "
            f"{ALPHA:g}, so that this number could not have shown a difference."
        )
    folded = metric not in (DICE, ECE)
    return Table(f"Comparisons by {metric.name}", head, rows, note, folded)


def verdict(answer: Answer, metric: Metric) -> str:
    """In words: better, worse, or no difference shown.

    The test is of ranks and the interval of the mean, which one patient can turn the other way:
    which side is better is said only where the interval is on that side of zero.
    """
    if answer.corrected >= ALPHA:
        return "no difference shown"
    interval = answer.comparison.interval
    if interval.low <= 0 <= interval.high:
        return "ranks and mean disagree"
    return "first is better" if (interval.low > 0) == metric.higher else "first is worse"


def non_inferiority(content: Content, answers: Sequence[Answer]) -> Table | None:
    """Students against their ensembles; None without any."""
    rows = []
    for answer in answers:
        found = answer.noninferiority
        if found is not None:
            cells = [answer.first, answer.second, _signed(found.difference, DICE)]
            cells += [_signed(found.lower, DICE), p_text(found.p_value)]
            rows.append([*cells, "non-inferior" if found.holds else "not shown"])
    if not rows:
        return None
    margin = content.protocol.margin
    head = [
        "student",
        "ensemble",
        "difference in Dice",
        "lower end of the interval",
        "p",
        "verdict",
    ]
    note = (
        f"Margin {margin:g} Dice. Non-inferior: the lower end of the two-sided 95 % interval of "
        f"the mean difference is above −{margin:g}, and the one-sided signed-rank test of "
        f"(difference + {margin:g}) > 0 has p < 0.025. Both are asked for. Uncorrected: each is a "
        "question decided on beforehand."
    )
    return Table("Non-inferiority", head, rows, note)


def calibration(content: Content) -> Table:
    """NLL, Brier score and ECE near the structures; uncertainty against error."""
    split, limit = content.decisive, dice_limit(content)
    head = ["arm", "temperature", "NLL (nats)", "Brier score", "ECE", "ECE of pooled voxels"]
    head += ["Spearman, entropy and Dice", "AUROC, wrong voxels", "AUROC, failed cases", "failed"]
    rows = []
    for group in content.of_role(*ROLES):
        measures: list[Measure] = [lambda c: c.nll, lambda c: c.brier, lambda c: c.reliability.ece]
        temperatures = [run.temperature for run in group.measured(split)]
        cells = [group.name, over_runs(temperatures, 2)]
        cells += [over_runs(group.run_means(split, of), 4) for of in measures]
        cells.append(number(group.pooled_reliability(split).ece, 4))
        cells.append(_over(group, split, lambda r: _entropy_against_dice(r, split), 2))
        cells.append(over_runs(group.run_means(split, lambda c: c.error_auroc), 3))
        cells.append(_over(group, split, lambda r: _failure_auroc(r, split, limit), 2))
        failed = sum(v < limit for r in group.measured(split) for v in _dice(r, split))
        rows.append([*cells, str(failed)])
    p = content.protocol
    note = (
        f"Over the voxels within {p.foreground_margin:g} {content.unit} of the reference's "
        "structures, the same for all arms; means over cases. Temperature: fitted on validation, "
        "over such voxels; a member's is that of its ensemble. Brier score: sum over classes, 0 to "
        f"2. ECE: {p.bins} bins of equal width of the largest probability. Spearman: mean entropy "
        "of a case against its Dice (−1: it knows on which case it is wrong). AUROC: entropy as "
        "a sign of a wrong voxel, and a case's mean entropy as a sign of a failed case, one with a "
        f"Dice below the outlier limit of {limit:.4f}; 0.5 is chance."
    )
    cases = content.of_role(*ROLES)[0].measured(split)[0].results[split].cases
    if bare := sum(math.isnan(case.nll) for case in cases):
        note += (
            f" The reference of {bare} of {len(cases)} cases has no structure: of these, none of "
            "the figures but the count of failed cases."
        )
    return Table(f"Calibration and uncertainty, {split} cases", head, rows, note)


def tails(content: Content) -> Table:
    """The worst cases; outliers as in ``evaluation.tails``."""
    split, limit = content.decisive, dice_limit(content)
    risky = _risky(content, limit)
    head = ["arm", "5th percentile", "worst", "worst case", "outlier rate", "on high-risk cases"]
    rows = []
    for group in content.of_role(*ROLES):
        runs = group.measured(split)
        worst = min((c for r in runs for c in r.results[split].cases), key=lambda c: c.dice)
        percentiles = [float(np.percentile(_dice(run, split), 5)) for run in runs]
        rates = [outlier_rate(_dice(run, split), limit) for run in runs]
        on_risky = [
            outlier_rate([c.dice for c in r.results[split].cases if c.case in risky], limit)
            for r in runs
        ]
        rows.append(
            [
                *(group.name, over_runs(percentiles, 4), number(worst.dice, 4), worst.case),
                *(_percent(nanmean(rates)), _percent(nanmean(on_risky))),
            ]
        )
    cases = len(content.of_role(*ROLES)[0].values(split, DICE.of))
    note = (
        f"Outlier: a case's Dice below {limit:.4f}, the 5th percentile of all members' results "
        "pooled, or 0. High-risk cases, on which at least one member is an outlier: "
        f"{len(risky)} of {cases}. After Petrov et al. 2023 (PMC10502003)."
    )
    return Table(f"The worst cases, {split}", head, rows, note)


def costs(content: Content) -> Table | None:
    """What each arm costs; None where nothing was measured."""
    head = ["arm", "parameters", "MACs a case", "file (MB)", "seconds a case", "of the networks"]
    head += ["times faster than the ensemble", "CPU seconds a case", "peak memory (GiB)"]
    head.append("training (min)")
    rows: list[list[str]] = []
    every: list[Cost] = []
    for group in content.of_role(*ROLES):
        found = [run.cost for run in group.measured(content.decisive) if run.cost]
        if not found:
            continue
        every += found
        some = found[0]
        seconds = [cost.network_seconds for cost in found]
        cells = [group.name, count_text(some.parameters), count_text(some.macs)]
        cells += [f"{some.file_bytes / 1e6:.2f}", over_runs([c.seconds for c in found], 3)]
        cells += [over_runs(seconds, 3), _speed_up(content, group, found)]
        cells.append(over_runs([cost.cpu_seconds for cost in found], 3))
        cells.append(over_runs([cost.peak_memory_gib for cost in found], 2))
        rows.append([*cells, _training_minutes(content, group)])
    return Table("Cost", head, rows, _cost_note(every)) if every else None


def every_run(content: Content) -> Table:
    """A row a trained model."""
    head = ["model", "arm", "seed", *(f"Dice, {split}" for split in content.splits)]
    head += ["best step", "training (min)"]
    rows = []
    for group in content.groups:
        for run in group.runs:
            facts = run.facts or {}
            dice = [
                number(nanmean(_dice(run, s)) if s in run.results else math.nan, 4)
                for s in content.splits
            ]
            seconds = _training_seconds(run)
            seed = DASH if run.seed is None else str(run.seed)
            cells = [run.name, group.name, seed, *dice]
            cells.append(str(facts.get("best_step", DASH)))
            rows.append([*cells, DASH if math.isnan(seconds) else f"{seconds / 60:.1f}"])
    return Table("Every model", head, rows, folded=True)


def dice_limit(content: Content) -> float:
    """The outlier limit: of the members, or of all arms in a study whose members are missing."""
    return outlier_limit([_dice(run, content.decisive) for run in _limiting(content)])


def _limiting(content: Content) -> list[Run]:
    groups = content.of_role("member") or content.of_role(*ROLES)
    return [run for group in groups for run in group.measured(content.decisive)]


def _risky(content: Content, limit: float) -> set[str]:
    runs = _limiting(content)
    names = [case.case for case in runs[0].results[content.decisive].cases]
    risky = high_risk([_dice(run, content.decisive) for run in runs], limit)
    return {name for name, one in zip(names, risky, strict=True) if one}


def _groups(content: Content, split: str) -> list[Group]:
    return [g for role in ROLES for g in content.groups if g.role == role and g.has(split)]


def _mean_of(metric: str) -> Measure:
    return lambda case: case.mean(metric)


def _dice(run: Run, split: str) -> list[float]:
    return [case.dice for case in run.results[split].cases]


def _structures(group: Group, split: str) -> list[StructureResult]:
    """Of all cases and seeds."""
    cases = (case for run in group.measured(split) for case in run.results[split].cases)
    return [structure for case in cases for structure in case.structures]


def _over(group: Group, split: str, of: Callable[[Run], float], digits: int) -> str:
    return over_runs([of(run) for run in group.measured(split)], digits)


def _entropy_against_dice(run: Run, split: str) -> float:
    cases = _doubted(run, split)
    return spearman(np.array([c.entropy for c in cases]), np.array([c.dice for c in cases]))


def _doubted(run: Run, split: str) -> list[CaseResult]:
    """The cases that have an entropy."""
    return [case for case in run.results[split].cases if not math.isnan(case.entropy)]


def _failure_auroc(run: Run, split: str, limit: float) -> float:
    cases = _doubted(run, split)
    doubt = np.array([case.entropy for case in cases])
    return auroc(doubt, are_outliers([case.dice for case in cases], limit))


def _speed_up(content: Content, group: Group, found: Sequence[Cost]) -> str:
    """Against the ensemble that a student learnt from; of a study's only one for a baseline."""
    ensembles = {g.name: g for g in content.of_role("ensemble")}
    if group.role == "baseline" and len(ensembles) == 1:
        teacher = next(iter(ensembles.values()))
    else:
        teacher = ensembles.get(group.distils or "", group)
    costs_there = [run.cost for run in teacher.measured(content.decisive) if run.cost]
    if teacher is group or not costs_there:
        return DASH
    own = float(np.median([cost.network_seconds for cost in found]))
    return f"× {costs_there[0].network_seconds / own:.1f}"


def _cost_note(costs: Sequence[Cost]) -> str:
    cost, load = costs[0], max(cost.load for cost in costs)
    ran = dict.fromkeys(
        f"{c.engine} on {c.device}, {c.threads} threads on {c.cores} cores" for c in costs
    )
    note = (
        f"MACs: multiply-accumulates of convolutions for the case {cost.timed_on}, all windows and "
        f"views. Seconds: from the image in memory to the label map, median of {cost.cases} cases "
        f"after a first; {', or '.join(ran)}. Memory: a process that loads the model and segments "
        "one case, Python and its libraries included."
    )
    if load > 0.5:
        note += (
            f" The machine was busy with other work (load of up to {load:.1f} when timing began), "
            "so that seconds are too long and their ratios uncertain; CPU seconds, of all cores, "
            "suffer less."
        )
    return note


def _training_minutes(content: Content, group: Group) -> str:
    by_name = {run.name: run for g in content.groups for run in g.runs}
    names = group.members or tuple(run.name for run in group.runs)
    seconds = [_training_seconds(by_name[name]) for name in names if name in by_name]
    if group.members:
        return DASH if any(map(math.isnan, seconds)) else f"{sum(seconds) / 60:.0f} in all"
    return over_runs([second / 60 for second in seconds], 0)


def _training_seconds(run: Run) -> float:
    facts = run.facts or {}
    found = facts.get("seconds", facts.get("cost", {}).get("seconds"))
    return math.nan if found is None else float(found)


def _signed(value: float, metric: Metric) -> str:
    return f"{value:+.{metric.digits}f}".replace("-", "−")


def _percent(share: float) -> str:
    return DASH if math.isnan(share) else f"{100 * share:.1f} %"
