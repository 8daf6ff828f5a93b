"""Every link inside the documentation leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.pages import ROOT, pages


def tokens(page: Path) -> Iterator[Token]:
    """Yield every token of a page, those inside of a line too."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def targets(page: Path) -> Iterator[str]:
    """Yield what a page links to inside the repository."""
    for token in tokens(page):
        target = token.attrs.get("href", token.attrs.get("src"))
        if isinstance(target, str) and not re.match(r"\w+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, spelled as GitHub spells them."""
    every = list(tokens(page))
    titles = (every[n + 1].content for n, token in enumerate(every) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def leads_nowhere(page: Path, target: str) -> bool:
    """Return whether a link has no file, or no heading, at its other end."""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return True
    return bool(anchor) and file.suffix == ".md" and anchor not in anchors(file)


def test_every_link_leads_somewhere() -> None:
    found = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in targets(page)
        if leads_nowhere(page, target)
    ]
    assert found == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Money & time\n\n[a](other.md) [b](#money--time) [c](#nothing)\n")
    assert [target for target in targets(page) if leads_nowhere(page, target)] == [
        "other.md",
        "#nothing",
    ]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        linked = [(page.parent / target.partition("#")[0]).resolve() for target in targets(page)]
        waiting += [file for file in linked if file.suffix == ".md" and file.exists()]
        waiting += [file for folder in linked if folder.is_dir() for file in folder.glob("*.md")]
    assert [str(page.relative_to(ROOT)) for page in pages() if page not in reached] == []
