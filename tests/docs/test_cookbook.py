"""Every recipe of the cookbook, word by word, against a real pair."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from docs.pages import blocks, documents, holds
from docs.shell import run
from e2e.conftest import Service, pair
from google.protobuf.descriptor import ServiceDescriptor

from eventdedup.config.v1 import config_admin_service_pb2, config_service_pb2
from eventdedup.matcher.v1 import matcher_service_pb2

__all__ = ["pair"]
"""A fixture."""
PAGE = blocks("cookbook.md")
TLS = "Over TLS"
SERVICES: dict[str, ServiceDescriptor] = {
    "S": config_service_pb2.DESCRIPTOR.services_by_name["ConfigService"],
    "A": config_admin_service_pb2.DESCRIPTOR.services_by_name["ConfigAdminService"],
    "M": matcher_service_pb2.DESCRIPTOR.services_by_name["MatcherService"],
}


@dataclass
class Recipe:
    """A script with what it prints, in part: documents, and words of an error."""

    heading: str
    script: str
    answers: list[Any] = field(default_factory=list)
    error: list[str] = field(default_factory=list)

    def judge(self, done: "subprocess.CompletedProcess[str]") -> None:
        assert (done.returncode != 0) == bool(self.error), done.stderr
        assert all(words in done.stderr for words in self.error), done.stderr
        if self.answers:
            found = list(documents(done.stdout))
            assert [one for one in self.answers if not any(holds(has, one) for has in found)] == []


def recipes() -> Iterator[Recipe]:
    recipe = None
    for block in PAGE[1:]:
        if block.language == "sh":
            if recipe:
                yield recipe
            recipe = Recipe(block.heading, block.text)
        elif recipe and block.language == "json":
            recipe.answers = list(documents(block.text))
        elif recipe:
            recipe.error = block.text.splitlines()
    if recipe:
        yield recipe


RECIPES = [recipe for recipe in recipes() if recipe.heading != TLS]


@pytest.mark.parametrize("recipe", RECIPES, ids=[one.heading for one in RECIPES])
def test_a_recipe_answers_what_the_page_shows(
    recipe: Recipe, pair: tuple[Service, Service], tmp_path: Path
) -> None:
    config, matcher = pair
    here = f"CONFIG={config.address} MATCHER={matcher.address}\n"
    recipe.judge(run(PAGE[0].text + here + recipe.script, tmp_path))


def test_every_recipe_says_what_it_answers() -> None:
    silent = [one.heading for one in RECIPES if not one.answers and not one.error]
    assert silent == ["What there is"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_rpc_is_left_out(name: str) -> None:
    used = {rpc for recipe in RECIPES for rpc in re.findall(rf"\${name}/(\w+)", recipe.script)}
    assert used == {method.name for method in SERVICES[name].methods}
    assert f"export {name}={SERVICES[name].full_name}\n" in PAGE[0].text
