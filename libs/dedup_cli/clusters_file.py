"""Clusters as a CSV file: which listing is in which, found ones and true ones."""

import csv
from pathlib import Path

from dedup_model.errors import invalid


def read_clusters(path: Path) -> dict[str, str]:
    """Return cluster by listing of a CSV with the columns `event_id,cluster_id`.

    Raises `InvalidRequest` for another file, an incomplete row or a listing that stands twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            rows = [(row.get("event_id"), row.get("cluster_id")) for row in reader]
    except (UnicodeDecodeError, csv.Error):
        raise invalid(str(path), "FILE_FORMAT", "is no CSV in UTF-8") from None
    if not {"event_id", "cluster_id"} <= columns:
        raise invalid(str(path), "COLUMNS", "must have the columns event_id and cluster_id")
    return _clusters(path, rows)


def _clusters(path: Path, rows: list[tuple[str | None, str | None]]) -> dict[str, str]:
    clusters: dict[str, str] = {}
    for number, (listing, cluster) in enumerate(rows, 2):
        if not listing or not cluster:
            raise invalid(
                f"{path}:{number}", "INCOMPLETE", "the row names no listing or no cluster"
            )
        if listing in clusters:
            raise invalid(f"{path}:{number}", "REPEATED", "the listing stands twice")
        clusters[listing] = cluster
    return clusters
