"""Do the settings of the four signals carry over? Fits them on some listings, judges them on others.

Prints the F1 of pairs with the defaults, with settings fitted on everything (in-fold) and with
settings fitted without the pairs that are judged (out-of-fold): by week and by source, each with a
95 % bootstrap interval over weeks. Labels come from `../shared/data` and `examples`.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.columns import Table, table_of
from matcher_service.engine.decide import ABOVE_HIGH, decide
from matcher_service.engine.records import read
from matcher_service.engine.scoring import score

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared/data/muensterland_de"
SEED, FOLDS, RESAMPLES = 2027, 5, 1000
STEEPNESS = 28.0
"""Log-odds a unit of combined score, as in an unconstrained logistic regression of these pairs."""
RIDGE = 4.0
"""Pull towards `START`, in log-likelihood a squared unit: few labels must not bend the settings."""
KEPT_SCORE = 0.4
"""Pairs below this score under `START` are far from any threshold; they count but are not fitted."""

START: dict[str, float] = {
    "scoring.same_source_odds": 0.5,
    "scoring.other_source_odds": 1.5,
    "scoring.other_city_odds": 0.5,
    "date.unknown_time_factor": 0.9,
    "date.other_source_factor": 0.3,
    "date.shifted_factor": 0.6,
    "geo.venue_words_share": 0.5,
    "title.coverage_share": 0.5,
    "title.one_sided_share": 0.5,
    "title.left_over_penalty": 0.1,
    "title.evidence_floor": 0.0,
    "title.evidence_ceiling": 0.8,
    "title.same_text_score": 0.5,
    "description.unlike_score": 0.3,
}
"""Round values chosen before any fit; every fit starts at them and is pulled towards them."""

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """The candidate pairs of one set, with the truth, the week and the sources of each."""

    table: Table
    pairs: Pairs
    same: Bools
    week: Ints
    sources: tuple[Ints, Ints]
    missed: int

    def only(self, rows: Bools) -> "Sample":
        """Return some of the pairs; what blocking missed stays with the whole."""
        pairs = Pairs(self.pairs.left[rows], self.pairs.right[rows])
        sources = self.sources[0][rows], self.sources[1][rows]
        return Sample(self.table, pairs, self.same[rows], self.week[rows], sources, 0)


def quiet(*_: object) -> None:
    """Hear no progress."""


def sample(raw: Iterable[Mapping[str, Any]], labels: Path) -> Sample:
    """Return the candidate pairs of labelled listings."""
    config = MatchingConfig()
    with labels.open(encoding="utf-8", newline="") as rows:
        gold = {row["event_id"]: row["cluster_id"] for row in csv.DictReader(rows)}
    listings = [one for one in read(raw, config).listings if one.id in gold]
    table = table_of(listings, config, quiet)
    pairs = candidates(table, config.blocking, quiet)
    cluster = np.array([gold[one.id] for one in listings])
    same = cluster[pairs.left] == cluster[pairs.right]
    true = sum(n * (n - 1) // 2 for n in np.unique(cluster, return_counts=True)[1].tolist())
    days = [
        min((entry.date.toordinal() for entry in one.event_dates), default=0) for one in listings
    ]
    week = np.array(days)[pairs.left] // 7
    source = table.source.codes
    sources = source[pairs.left], source[pairs.right]
    return Sample(table, pairs, same, week, sources, int(true - same.sum()))


def real() -> Sample:
    """Return the sample of real regional listings."""
    lines = (REAL / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return sample(map(json.loads, lines), REAL / "gold_clusters.csv")


def invented() -> Sample:
    """Return the sample of the invented listings under `examples`."""
    raw: list[dict[str, Any]] = []
    for path in sorted((ROOT / "examples/listings").iterdir()):
        text, code = path.read_text(encoding="utf-8"), path.name.split("_")[0]
        rows = json.loads(text)["events"] if path.suffix == ".json" else _lines(text)
        raw += [{"source_code": code} | row for row in rows]
    return sample(raw, ROOT / "examples/labels.csv")


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def configured(values: Iterable[float]) -> MatchingConfig:
    """Return the defaults with the settings of `START` replaced."""
    config = MatchingConfig()
    for path, value in zip(START, values, strict=True):
        section, name = path.split(".")
        part = getattr(config, section).model_copy(update={name: float(value)})
        config = config.model_copy(update={section: part})
    return config


def margins(one: Sample, config: MatchingConfig) -> Floats:
    """Return how far each pair is above the match threshold, or the title veto where that is nearer."""
    signals = score(one.table, one.pairs, config, quiet)
    combined = decide(one.table, one.pairs, signals, config).combined
    limits = config.thresholds
    return np.minimum(combined - limits.high, signals.title - limits.title_veto)


def matched(one: Sample, config: MatchingConfig) -> Bools:
    """Return which pairs are matches."""
    signals = score(one.table, one.pairs, config, quiet)
    result: Bools = decide(one.table, one.pairs, signals, config).reason == ABOVE_HIGH
    return result


def fitted(samples: list[Sample]) -> Floats:
    """Return the settings of the greatest penalised likelihood, rounded to 0.05."""
    start, limits = np.array(list(START.values())), _limits()
    near = [one.only(margins(one, configured(start)) > KEPT_SCORE - 1.0) for one in samples]

    def loss(values: Floats) -> float:
        config = configured(values)
        total = RIDGE * float(((values - start) ** 2).sum())
        for one in near:
            odds = STEEPNESS * margins(one, config)
            total += float(np.logaddexp(0, np.where(one.same, -odds, odds)).sum())
        return total

    found = minimize(
        loss, start, method="L-BFGS-B", bounds=limits, options={"maxiter": 15, "eps": 0.01}
    )
    return np.round(found.x * 20) / 20


def _limits() -> list[tuple[float, float]]:
    limits = []
    for path in START:
        section, name = path.split(".")
        info = type(getattr(MatchingConfig(), section)).model_fields[name]
        low = next(m.ge for m in info.metadata if hasattr(m, "ge"))
        high = next(m.le for m in info.metadata if hasattr(m, "le"))
        limits.append((float(low), float(high)))
    return limits


def out_of_fold(one: Sample, others: list[Sample], held: list[Bools]) -> Bools:
    """Return the matches of each held-out part under settings fitted without it."""
    found = np.zeros(len(one.pairs), bool)
    for part in held:
        values = fitted([one.only(~part), *others])
        found[part] = matched(one.only(part), configured(values))
    return found


def by_week(one: Sample) -> list[Bools]:
    """Return the parts of a seeded partition by week."""
    weeks = np.unique(one.week)
    fold = np.random.default_rng(SEED).permutation(len(weeks)) % FOLDS
    return [np.isin(one.week, weeks[fold == k]) for k in range(FOLDS)]


def by_source(one: Sample) -> list[Bools]:
    """Return a part a source, each pair with its less frequent source, so that none is in two."""
    size = np.bincount(np.concatenate(one.sources))
    left, right = one.sources
    key = np.where(size[left] <= size[right], left, right)
    return [key == code for code in np.unique(key)]


def figures(one: Sample, found: Bools) -> tuple[float, float, float]:
    """Return precision, recall and F1 of pairs; what blocking missed counts as not found."""
    right, true = int((found & one.same).sum()), int(one.same.sum()) + one.missed
    precision, recall = right / max(int(found.sum()), 1), right / max(true, 1)
    return precision, recall, 2 * right / max(int(found.sum()) + true, 1)


def interval(one: Sample, found: Bools) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of F1 over weeks."""
    weeks, code = np.unique(one.week, return_inverse=True)
    counts = [
        np.bincount(code, weights=x, minlength=len(weeks))
        for x in (found & one.same, found, one.same)
    ]
    draws = np.random.default_rng(SEED).integers(0, len(weeks), (RESAMPLES, len(weeks)))
    right, guessed, true = (count[draws].sum(axis=1) for count in counts)
    low, high = np.quantile(2 * right / np.maximum(guessed + true, 1), [0.025, 0.975])
    return float(low), float(high)


def show(name: str, one: Sample, found: Bools) -> None:
    """Print a line of figures."""
    line = "P {:.3f} R {:.3f} F1 {:.3f}".format(*figures(one, found))
    print(f"{name:44} {line} [{'{:.3f} {:.3f}'.format(*interval(one, found))}]", flush=True)


def main() -> None:
    """Print the figures of every set under defaults, in-fold and out-of-fold."""
    sets = {"examples": invented()}
    if REAL.exists():
        sets["muensterland_de"] = real()
    else:
        print("../shared/data is absent: examples only")
    for name, one in sets.items():
        show(f"{name}: defaults", one, matched(one, MatchingConfig()))
    everything = fitted(list(sets.values()))
    print(json.dumps(dict(zip(START, everything.tolist(), strict=True))))
    for name, one in sets.items():
        others = [other for key, other in sets.items() if key != name]
        show(f"{name}: fitted on all", one, matched(one, configured(everything)))
        folds: dict[str, Callable[[Sample], list[Bools]]] = {"week": by_week, "source": by_source}
        if "--folds" in sys.argv:
            for what, parts in folds.items():
                show(f"{name}: without its {what}", one, out_of_fold(one, others, parts(one)))
        if others:
            show(f"{name}: fitted elsewhere", one, matched(one, configured(fitted(others))))


if __name__ == "__main__":
    main()
