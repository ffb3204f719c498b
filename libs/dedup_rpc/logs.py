"""Log lines: one line a record, as JSON or as text, and never an exception's text."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from dedup_rpc.trace_context import trace_ids

FIELDS = (
    "address",
    "method",
    "code",
    "reason",
    "principal",
    "peer",
    "duration_ms",
    "epoch",
    "revision",
    "error_id",
)
"""What a record may carry beside its message; other extra fields are dropped."""
FORMATS = ("json", "text")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class LineFormatter(logging.Formatter):
    """One line of text a record; control characters are escaped, exceptions give type and place."""

    default_time_format, default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self.converter = _utc

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        head = f"{self.formatTime(record)} {record.levelname} {record.name}"
        said = f"{head} {record.getMessage()}"
        error = _error(record)
        return _CONTROL.sub(_escaped, f"{said}; {error}" if error else said)


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message and the fields of `FIELDS` alone.

    Within a traced call `trace_id` and `span_id` join it to the trace.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        given = vars(record)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: _plain(given[name]) for name in FIELDS if given.get(name) not in (None, "")},
            **trace_ids(),
        }
        if error := _error(record):
            line["error"] = error
        return json.dumps(line)


def configure(level: str, form: str | None = None) -> None:
    """Send everything from `level` on to standard error, as `json` or `text`.

    Without a form it is text for a person at a terminal, and JSON for everything else.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter() if (form or _default()) == "text" else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    # it writes metadata that is no text as it came, credentials included
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


def _default() -> str:
    return "text" if sys.stderr is not None and sys.stderr.isatty() else "json"


def where(error: BaseException) -> str:
    """Return an exception's type and its place in the code: never its text, which may hold values."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"


def _error(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return where(error) if error else ""


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _utc(seconds: float | None) -> Any:
    return datetime.fromtimestamp(seconds or 0, UTC).timetuple()
