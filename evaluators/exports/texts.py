"""Plain values as YAML text."""

from __future__ import annotations

from io import StringIO
from typing import Any


def yaml_text(values: Any) -> str:
    """YAML in block style, in the order given; lists of plain values on one line."""
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 4096
    yaml.representer.ignore_aliases = lambda *_: True
    stream = StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()
