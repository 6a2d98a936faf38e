"""YAML 1.2 as data, with the line of every value; nothing in it is ever executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.tokens import (
    AliasToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
)

from hwnas.errors import StudyFileError

_LARGEST: Final = 1_000_000
_DEEPEST: Final = 50
_OPENING: Final = (
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingStartToken,
    FlowSequenceStartToken,
)
_CLOSING: Final = (BlockEndToken, FlowMappingEndToken, FlowSequenceEndToken)

Path_ = Sequence[str | int]
"""Keys and indices that lead to a value."""


@dataclass(frozen=True)
class Document:
    """A file's values and where they stand.

    Attributes:
        file: The file.
        values: The values: dictionaries, lists, strings, numbers, truth values, ``None``.
        root: The same as nodes with marks.
    """

    file: Path
    values: Any
    root: Node | None

    def line(self, path: Path_) -> int:
        """The line of the value at a path, from 1; that of the nearest parent if there is none."""
        node = self.root
        line = 1
        for key in path:
            if isinstance(node, MappingNode):
                found = [(k, v) for k, v in node.value if k.value == str(key)]
                if not found:
                    break
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
        return line


def read(file: Path) -> Document:
    """Reads a YAML file.

    Raises:
        StudyFileError: It cannot be read, is no YAML, has a key twice, is larger than 1 MB, is
            nested very deep, or uses aliases (a small file can unfold to a huge one by them).
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(
            f"cannot read {file}", [f"{file}: {_first_line(error)}"], where=str(file)
        ) from error
    if len(text) > _LARGEST:
        raise _bad(file, 1, f"the file has {len(text):,} characters; at most {_LARGEST:,} may be")
    yaml = YAML(typ="safe", pure=True)
    try:
        depth = 0
        for token in yaml.scan(StringIO(text)):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > _DEEPEST:
                raise _bad(file, token.start_mark.line + 1, f"nested more than {_DEEPEST} deep")
            if isinstance(token, AliasToken):
                raise _bad(file, token.start_mark.line + 1, "aliases (*name) are not allowed")
        values = YAML(typ="safe", pure=True).load(text)
        root = YAML(typ="safe", pure=True).compose(StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "not readable").strip().splitlines()[0]
        raise _bad(file, mark.line + 1 if mark else 1, f"this is no YAML: {problem}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise _bad(file, 1, f"this is no YAML: {_first_line(error)}") from error
    return Document(file, values, root)


def write(values: Any) -> str:
    """Plain values as YAML text."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 100
    stream = StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def _bad(file: Path, line: int, problem: str) -> StudyFileError:
    return StudyFileError(
        f"{file.name} is no study file", [f"{file}:{line}: {problem}"], where=str(file)
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
