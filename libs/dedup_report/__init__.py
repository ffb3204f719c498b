"""The report of a batch: one self-contained HTML page out of listings and results."""

from dedup_report.assemble import page
from dedup_report.results import Results
from dedup_report.selection import Limits

__all__ = ["Limits", "Results", "page"]
