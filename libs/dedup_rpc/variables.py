"""Reading environment variables: each reader refuses a bad value by the variable's name alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def path(variables: Mapping[str, str], name: str) -> Path | None:
    """Return a path, or None when the variable is unset or empty."""
    text = variables.get(name)
    return Path(text) if text else None


def number(
    variables: Mapping[str, str], name: str, default: float, low: float, high: float
) -> float:
    """Return a number from `low` to `high`; raises ValueError for anything else."""
    text = variables.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}")
    return value


def misspelt(variables: Mapping[str, str], prefix: str, known: Sequence[str]) -> list[str]:
    """Return the names with a prefix that nothing reads: probably misspelt."""
    return sorted(name for name in variables if name.startswith(prefix) and name not in known)


def log_level(variables: Mapping[str, str]) -> str:
    """Return the level of `LOG_LEVEL`, INFO when unset; raises ValueError for an unknown one."""
    level = (variables.get("LOG_LEVEL") or "INFO").upper()
    if level not in LEVELS:
        raise ValueError(f"LOG_LEVEL must be one of {', '.join(LEVELS)}")
    return level
