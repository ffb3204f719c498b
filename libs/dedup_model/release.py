"""Which release of event-dedup this is."""

from importlib import metadata


def release() -> str:
    """Return the installed version; empty where the code runs without being installed."""
    try:
        return metadata.version("event-dedup")
    except metadata.PackageNotFoundError:
        return ""
