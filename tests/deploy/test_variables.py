"""Variables in manifests, compose file and images: each is read by its service, none is forgotten."""

import re
from collections.abc import Iterator

import pytest
from deploy.conftest import DEPLOY, OVERLAYS, compose, deployments, environment, maintenance, pod

from config_service.env import VARIABLES as CONFIG
from matcher_service.env import VARIABLES as MATCHER

SHARED = {"EVENT_DEDUP_ENV", "LOG_FORMAT", "LOG_LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT"}
LIMITS = {"MAX_CALLS", "MAX_STREAMS", "MAX_STREAMS_PER_PRINCIPAL", "CALLS_PER_SECOND"}
READ = {
    "config-service": SHARED | set(CONFIG) | {"EVENT_DEDUP_ENCRYPTION_KEY"},
    "matcher-service": SHARED | set(MATCHER) | {"EVENT_DEDUP_GEMINI_API_KEY"},
}
LEFT_OUT = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "only where there is a collector: the component otlp sets it, and opens a way",
    "CONFIG_KEYRING": "a secret in a variable; CONFIG_KEYRING_FILE holds it in a file",
    "EVENT_DEDUP_ENCRYPTION_KEY": "for taking an earlier system's settings over, once, by hand",
    "EVENT_DEDUP_GEMINI_API_KEY": "for the bootstrap rung alone, which no manifest allows",
    "CONFIG_ALLOW_PLAIN": "for taking an earlier system's settings over, once, by hand",
    "CONFIG_BOOTSTRAP_FILE": "an installation's own settings, if it has any",
    "MATCHER_BOOTSTRAP_FILE": "for the bootstrap rung alone, which no manifest allows",
    "CONFIG_KEEP_DAYS": "the default suits",
    "CONFIG_KEEP_REVISIONS": "the default suits",
    "CONFIG_POLL_SECONDS": "the default suits",
    "MATCHER_CONFIG_TIMEOUT_SECONDS": "the default suits",
    "MATCHER_MAX_STALENESS_SECONDS": "the default suits",
    "MATCHER_CONFIG_TLS_SERVER_NAME": "addresses in manifests are the names in the certificates",
    "MATCHER_AI_BASE_URL": "the language model is off by default, and its own address suits",
    "MATCHER_AI_FAILURE": "the default suits",
    "MATCHER_MAX_QUEUED": "the default suits",
    "MATCHER_STALL_SECONDS": "the default suits",
} | {f"{prefix}_{name}": "the default suits" for prefix in ("CONFIG", "MATCHER") for name in LIMITS}
"""Variables that no overlay, compose file or image sets, and why."""


def given() -> Iterator[tuple[str, str, set[str]]]:
    """Yield where variables are set, for which service, and their names."""
    for name in OVERLAYS:
        for service, deployment in deployments(name).items():
            for one in (*pod(deployment).get("initContainers", ()), *pod(deployment)["containers"]):
                yield f"{name}/{one['name']}", service, set(environment(one))
        (one,) = maintenance(name)["spec"]["containers"]
        yield f"{name}/tools", "config-service", set(environment(one))
    for service, spec in compose()["services"].items():
        if spec["image"].startswith("event-dedup/"):
            role = spec["image"].partition("/")[2].partition(":")[0]
            yield f"compose/{service}", role, set(spec["environment"])
    stages = re.split(r"^FROM .* AS ", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    for stage in stages:
        service = stage.partition("\n")[0]
        if service in READ:
            yield f"Dockerfile/{service}", service, set(re.findall(r"\b([A-Z_]+)=\d", stage))


GIVEN = list(given())


@pytest.mark.parametrize(("where", "service", "names"), GIVEN, ids=[one[0] for one in GIVEN])
def test_a_service_reads_every_variable_that_it_is_given(
    where: str, service: str, names: set[str]
) -> None:
    assert names
    assert names <= READ[service]


def test_every_variable_is_set_somewhere_or_left_out_for_a_reason() -> None:
    used = {name for _, _, names in GIVEN for name in names}
    every = READ["config-service"] | READ["matcher-service"]
    assert used | set(LEFT_OUT) == every
    assert not used & set(LEFT_OUT)


def test_every_stage_of_the_images_is_judged() -> None:
    assert {where for where, _, _ in GIVEN} >= {
        "Dockerfile/config-service",
        "Dockerfile/matcher-service",
    }
