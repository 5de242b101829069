"""XML files of unknown origin: whole or refused, with the line; none may declare entities."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from lhg_jax.util.errors import UserError


class _RefusedError(Exception):
    """The file has a document type, in which entities are declared that grow without bound."""


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, *_: object) -> None:
        """Called before anything that a document type declares is read."""
        raise _RefusedError


def read_xml(path: Path) -> ElementTree.Element:
    """The root element of a file. Raises `UserError`: not there, not well-formed, or with a document type."""
    try:
        parser = ElementTree.XMLParser(target=_Builder())
        return ElementTree.parse(path, parser).getroot()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise UserError(f"{path}: not an XML file, or damaged ({error})") from None
    except _RefusedError:
        raise UserError(f"{path}: declares a document type, which is not read") from None


def local_name(tag: str) -> str:
    """The name of an element or attribute without its name space."""
    return tag.rsplit("}", 1)[-1]
