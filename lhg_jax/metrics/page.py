"""The report's page: the files in assets/report, with `$name` where `report.py` fills something in."""

import string
from collections.abc import Mapping
from importlib import resources

ASSETS = resources.files("lhg_jax") / "assets" / "report"


def read(name: str) -> str:
    """One of the page's files."""
    return (ASSETS / name).read_text(encoding="utf-8")


def fill(parts: Mapping[str, str]) -> str:
    """The page with these parts, HTML all of them. Raises KeyError where one is missing."""
    page = string.Template(read("page.html"))
    return page.substitute(parts, style=read("style.css"), script=read("script.js"))
