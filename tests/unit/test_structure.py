"""The rooms of the house: which may use which. An arrow the wrong way is found here, not by the next reader."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import mlpatterns

SOURCE = Path(mlpatterns.__file__).parent

# A room uses the rooms on the lines before its own, and itself.
FLOORS = (
    {"error_codes"},
    {"durable", "errors", "ids", "interfaces", "evidence", "markup", "redaction", "user_code"},
    {"onnx_format", "settings_fields", "settings_sources"},
    {"settings_values"},
    {"context", "headers", "metrics", "operation", "settings", "references"},
    {"metadata"},
    {"analysis"},
    {"predictor"},
    {"base", "tensors"},
    {"stores"},
    {"runtime"},
    {"programs"},
    {"pieces"},
    {"oip"},
    {"registry"},
    {"models"},
    {"service"},
    {"server"},
    {"model_db"},
    {"server_process", "training"},
    {"edge", "exporting", "load"},
    {"testing"},
    {"patterns"},
    {"catalog"},
    {"gallery", "launch"},
    {"scaffold"},
    {"release"},
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FACES = {"__init__", "__main__"}  # what hands names on


def imports(file: Path, *, everywhere: bool = False) -> Iterator[str]:
    """The rooms of mlpatterns that a file imports when it is imported itself; with `everywhere` those inside of
    functions too, which come later."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlpatterns."):
            yield (node.module or "").split(".")[1]


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - FACES == set(FLOOR)


def test_no_room_uses_one_above_it() -> None:
    wrong = [
        f"{file.relative_to(SOURCE)} uses {used}"
        for file in sorted(SOURCE.rglob("*.py"))
        for room in [file.relative_to(SOURCE).parts[0].removesuffix(".py")]
        if room not in FACES
        for used in imports(file)
        if used != room and FLOOR[used] >= FLOOR[room]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside a function or for a type; only the package itself names what imports it."""
    files = {".".join(("mlpatterns", *file.relative_to(SOURCE).with_suffix("").parts)): file
             for file in SOURCE.rglob("*.py")}  # fmt: skip
    modules = {name.removesuffix(".__init__"): file for name, file in files.items() if name != "mlpatterns.__init__"}
    TopologicalSorter({name: {*imported(file, modules)} - {name} for name, file in modules.items()}).prepare()


def imported(file: Path, modules: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in names)


def test_the_parts_of_training_and_of_the_database_stay_out_of_serving() -> None:
    """Not even inside a function: a server asks the model DB's tables itself."""
    rooms = [SOURCE / room for room in ("registry", "server", "models", "pieces", "stores", "oip")]
    served = [*(file for room in rooms for file in room.rglob("*.py")), SOURCE / "service.py"]
    above = {"training", "exporting", "testing", "patterns", "cli", "model_db"}
    assert not {used for file in served for used in imports(file, everywhere=True)} & above
