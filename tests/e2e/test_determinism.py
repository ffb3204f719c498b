"""The same listings under the same settings give the same bytes."""

import json
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    "canonical.json",
    "canonical.jsonl",
    "clusters.csv",
    "decisions.jsonl",
    "quarantine.jsonl",
    "report.html",
)


def shuffled(folder, seed):
    """Write the sample files with their records in another order; returns the files in another."""
    order = random.Random(seed)
    folder.mkdir()
    made = []
    for path in sorted((ROOT / "examples" / "listings").iterdir()):
        target = folder / path.name
        if path.suffix == ".json":
            document = json.loads(path.read_text())
            order.shuffle(document["events"])
            target.write_text(json.dumps(document))
        else:
            lines = path.read_text().splitlines()
            order.shuffle(lines)
            target.write_text("\n".join(lines) + "\n")
        made.append(str(target))
    order.shuffle(made)
    return made


def outputs(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def plain(event_dedup, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    files = sorted(map(str, (ROOT / "examples" / "listings").iterdir()))
    answer = event_dedup("dedup", *files, "-o", str(folder), PYTHONHASHSEED="0")
    assert answer.status == 0, answer.err
    return outputs(folder)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_order_of_records_and_files_and_hash_seed_change_no_byte(
    event_dedup, tmp_path, plain, seed
):
    files = shuffled(tmp_path / "in", seed)
    out = tmp_path / "out"
    answer = event_dedup("dedup", *files, "-o", str(out), PYTHONHASHSEED=str(seed))
    assert answer.status == 0, answer.err
    found = outputs(out)
    differing = [name for name in FILES if found[name] != plain[name]]
    assert differing == []
