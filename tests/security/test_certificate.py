"""When certificates expire, as a scrape sees it: judged against what made them."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry
from security.conftest import Authority

from dedup_rpc.certificate import add_gauge, not_after
from dedup_rpc.telemetry import Telemetry, TelemetryEnv

NAME = "eventdedup_certificate_not_after_seconds"


def expiry(path: Path) -> dt.datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


@pytest.mark.parametrize("days", [-3, 0, 30, 9_000, 20_000])
def test_the_expiry_is_the_one_that_was_signed(authority: Authority, days: int) -> None:
    cert, _ = authority.issue("x", [x509.DNSName("a" * 60)] * 10, days)
    assert not_after(cert) == expiry(cert)


def test_the_first_certificate_of_a_chain_counts(authority: Authority) -> None:
    cert, _ = authority.issue("leaf", [], 5)
    leaf = expiry(cert)
    cert.write_bytes(b"a comment\n" + cert.read_bytes() + authority.file.read_bytes())
    assert not_after(cert) == leaf != not_after(authority.file)


def test_the_certificate_in_use_counts_and_a_broken_one_shows_no_number(
    authority: Authority,
) -> None:
    telemetry = Telemetry(TelemetryEnv(), "test")
    registry: CollectorRegistry = telemetry.metrics.registry
    cert, _ = authority.issue("x", [], 5)
    held, _ = authority.issue("y", [], 5)
    add_gauge(telemetry.metrics, cert, held)
    before = registry.get_sample_value(NAME, {"use": "server"})
    authority.issue("x", [], 50)
    authority.issue("y", [], 50)
    after = registry.get_sample_value(NAME, {"use": "server"})
    assert before
    assert after
    assert 44 < (after - before) / 86_400 < 46
    assert registry.get_sample_value(NAME, {"use": "client"}) == pytest.approx(before, abs=60)
    garbled = cert.read_text().replace("A", "B")
    for broken in ("no certificate", cert.read_text()[:200], "\ufeffx", garbled):
        cert.write_text(broken)
        assert registry.get_sample_value(NAME, {"use": "server"}) is None
        assert registry.get_sample_value(NAME, {"use": "client"})


def test_a_file_without_a_certificate_is_refused_by_its_name(authority: Authority) -> None:
    cert, key = authority.issue("x", [])
    with pytest.raises(ValueError, match=r"x.key holds no certificate"):
        not_after(key)
    with pytest.raises(FileNotFoundError):
        not_after(cert.with_name("none.pem"))
