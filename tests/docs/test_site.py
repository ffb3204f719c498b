"""The site: built strictly, whole, readable without a network, and the README its start page."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from docs.pages import DOCS, ROOT
from docs.shell import TOOLS

LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
IDLE = {"canonical", "next", "prev"}
"""Links of a page's head that name another page and load nothing."""


class Loaded(HTMLParser):
    """Collects what a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("rel") not in IDLE:
            self.urls += [str(url) for name, url in given.items() if (tag, name) in LOADS]


def built(site: Path, config: Path = ROOT / "mkdocs.yml") -> "subprocess.CompletedProcess[str]":
    command = [str(TOOLS / "mkdocs"), "build", "--strict", "-f", str(config), "-d", str(site)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_stands_in_the_navigation(site: Path) -> None:
    pages = {str(path.relative_to(DOCS).with_suffix(".html")) for path in DOCS.rglob("*.md")}
    shown = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    assert shown == pages | {"index.html", "404.html"}
    assert not list(site.rglob("*.py"))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.urls
        for url in map(urlsplit, loaded.urls):
            assert not url.scheme or url.scheme == "data", page
            assert not url.netloc, page
            start = site if url.path.startswith("/") else page.parent
            assert not url.path or (start / unquote(url.path).lstrip("/")).is_file(), url
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text()), style


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A\n\n[b](c.md#d) [e](#f)\n")
    text = (ROOT / "mkdocs.yml").read_text()
    config = re.sub(r"^nav:\n( .*\n)+|^hooks.*\n|^extra_css.*\n", "", text, flags=re.M)
    (tmp_path / "mkdocs.yml").write_text(config)
    done = built(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "'c.md#d'" in done.stderr
    assert "'#f'" in done.stderr


def test_the_readme_s_links_lead_somewhere_in_the_repository() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_pages_name_no_command_of_make_that_there_is_not() -> None:
    there = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in (*DOCS.rglob("*.md"), ROOT / "README.md"):
        named = set(re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8")))
        assert named <= there, page


def test_the_configuration_asks_for_strictness() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert config["theme"]["font"] is False
    assert {rule for part in config["validation"].values() for rule in part.values()} == {"warn"}
