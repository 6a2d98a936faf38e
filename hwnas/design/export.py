"""Designs as files for other tools: what an export is, and how its files get into a folder.

A plug-in under the entry points ``hwnas.exports`` writes one design in the format of one tool.
"""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final, NamedTuple

from hwnas import plugins
from hwnas.design.designs import Design
from hwnas.errors import PluginError, StorageError

GROUP: Final = "hwnas.exports"
MARK: Final = "export.json"
"""The file that says that a folder is an export, and what its layers stand for."""
_FORMAT: Final = 1


class ExportedLayer(NamedTuple):
    """What one layer in the files stands for.

    Attributes:
        name: Its name in the files.
        row: The row of ``design.layers`` that it stands for.
        times: How often its costs count: a tool that knows no groups gets one group of the row.
    """

    name: str
    row: int
    times: int


@dataclass(frozen=True)
class Exported:
    """A design in the format of a tool.

    Attributes:
        files: Relative path, with ``/``, to text or bytes.
        notes: What the tool does differently or cannot say, one sentence each.
        layers: The layers in the files, in the order of execution. Rows of the design without one
            are named in the notes.
    """

    files: Mapping[str, str | bytes]
    notes: tuple[str, ...]
    layers: tuple[ExportedLayer, ...]

    def __post_init__(self) -> None:
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or name == MARK:
                raise PluginError(
                    f"an export must not write the file {name!r}",
                    rule=f"relative paths inside its folder, other than {MARK}",
                )

    def write(
        self, folder: Path | str, *, force: bool = False, about: Mapping[str, Any] | None = None
    ) -> tuple[Path, ...]:
        """Writes all files into a folder: a new one is there as a whole, or not at all.

        An empty one stays the folder it is; ``export.json`` comes into it last.

        Args:
            folder: A folder that does not exist, or is empty.
            force: Whether an export that is there already is replaced; nothing else ever is.
            about: What to say more in ``export.json``, beside notes and layers.

        Returns:
            The files, ``export.json`` last.

        Raises:
            StorageError: The folder holds something, or cannot be written.
        """
        target = Path(folder)
        _refuse_what_is_there(target, force=force)
        mark = {
            "format": _FORMAT,
            **(about or {}),
            "notes": list(self.notes),
            "layers": [layer._asdict() for layer in self.layers],
        }
        texts = {**self.files, MARK: json.dumps(mark, indent=1, ensure_ascii=False) + "\n"}
        whole = target.absolute()
        beside = whole.with_name(f".{whole.name}.{os.getpid()}")
        try:
            beside.mkdir(parents=True)
            for name, text in texts.items():
                file = beside / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text if isinstance(text, bytes) else text.encode())
            if (whole / MARK).is_file():
                shutil.rmtree(whole)
            if whole.exists():
                for entry in sorted(beside.iterdir(), key=lambda entry: entry.name == MARK):
                    entry.replace(whole / entry.name)
            else:
                beside.replace(whole)
        except OSError as error:
            raise StorageError(
                "the export cannot be written",
                where=str(target),
                given=f"{type(error).__name__}: {error}",
                cure="check that the folder can be written to, or name another one",
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return tuple(target / name for name in texts)


class Export(ABC):
    """Writes a design in the format of one tool; is made without arguments.

    Attributes:
        name: The plug-in's name under the entry points ``hwnas.exports``.
    """

    name: ClassVar[str]

    @abstractmethod
    def files(self, design: Design) -> Exported:
        """The files of one design.

        Args:
            design: With a network and an accelerator.

        Raises:
            DesignError: The tool cannot have such an accelerator, or has none of the layers; the
                message says which. What is left out of the rest is in the notes.
        """

    def files_with(self, design: Design, evaluators: Sequence[object]) -> Exported:
        """The files of one design of a study; by default `files`.

        Override it where the study's evaluators know something that belongs into the files, e.g.
        how the network is trained.

        Args:
            design: See `files`.
            evaluators: The study's, without wrappers.

        Raises:
            DesignError: See `files`.
        """
        del evaluators
        return self.files(design)


def export(design: Design, tool: str, evaluators: Sequence[object] = ()) -> Exported:
    """Writes a design in the format of a tool.

    Args:
        design: With a network and an accelerator.
        tool: The name of an export, e.g. ``scalesim``; ``hwnas list exports`` shows them.
        evaluators: Those of its study, without wrappers; ``onnx`` trains with them.

    Raises:
        PluginError: There is no export of that name.
        DesignError: See `Export.files`.
    """
    plugin: Export = plugins.load(GROUP, tool)()
    return plugin.files_with(design, evaluators)


def _refuse_what_is_there(target: Path, *, force: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    ours = (target / MARK).is_file()
    if ours and force:
        return
    raise StorageError(
        f"{target} is not empty" if target.is_dir() else f"{target} is a file",
        rule="an export needs a new or empty folder",
        given=f"an export, with its {MARK}" if ours else "something else",
        cure="replace it with --force, or name another folder" if ours else "name another folder",
    )
