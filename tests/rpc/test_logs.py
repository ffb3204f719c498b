"""Log lines as a machine and as a person reads them."""

import json
import logging
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from dedup_rpc.logs import FIELDS, JsonFormatter, LineFormatter

SECRET = "do-not-show-me"
NASTY = "a\r\nb\x00\x1b[31mc\u2028d\u202ee\x85f"
FORMATTERS = [JsonFormatter(), LineFormatter()]


def record(message: str, *args: object, error: bool = False, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("event_dedup.test")
    info = sys.exc_info() if error else None
    return logger.makeRecord(
        logger.name, logging.INFO, __file__, 1, message, args, info, "test", extra
    )


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    return json.loads(JsonFormatter().format(made))


def test_a_line_holds_time_level_logger_message_and_known_fields() -> None:
    line = as_json(record("revision %d by %s", 7, "anna", revision=7, method="/a.B/C"))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "event_dedup.test",
        "message": "revision 7 by anna",
        "method": "/a.B/C",
        "revision": 7,
    }


def test_unknown_and_empty_fields_are_left_out() -> None:
    line = as_json(record("x", request={"api_key": SECRET}, password=SECRET, reason="", code=None))
    assert set(line) == {"time", "level", "logger", "message"}


def test_every_known_field_is_written_as_text_or_number() -> None:
    given = {name: object() for name in FIELDS} | {"duration_ms": 1.5}
    line = as_json(record("x", **given))
    assert set(FIELDS) <= set(line)
    assert line["duration_ms"] == 1.5
    assert isinstance(line["code"], str)


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
def test_control_characters_never_break_a_line(formatter: logging.Formatter) -> None:
    made = formatter.format(record(f"{NASTY} %s", NASTY, method=NASTY))
    assert made.isprintable()
    assert len(made.splitlines()) == 1


def test_what_was_escaped_can_be_read_again() -> None:
    assert as_json(record(NASTY, method=NASTY))["message"] == NASTY


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
def test_an_exception_gives_its_type_and_place_and_never_its_text(
    formatter: logging.Formatter,
) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError:
        made = formatter.format(record("it failed", error=True))
    assert "KeyError at test_an_exception_gives" in made
    assert SECRET not in made
    assert "Traceback" not in made
    assert len(made.splitlines()) == 1


def test_within_a_span_a_line_names_its_trace() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("call") as span:
        line = as_json(record("x"))
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert line["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert "trace_id" not in as_json(record("x"))


def test_text_begins_with_the_time_in_utc() -> None:
    made = record("listening on %s", "127.0.0.1:1")
    made.created, made.msecs = 0.25, 250.0
    text = LineFormatter().format(made)
    assert text == "1970-01-01T00:00:00.250Z INFO event_dedup.test listening on 127.0.0.1:1"
