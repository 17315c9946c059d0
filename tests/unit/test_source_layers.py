"""The rules of the source: which package may import which, which names stay private, how long a file may be.

`tests/source_layers.py` reads the source, and the layers of the packages from the table in CONTRIBUTING.md. Each list
of exceptions below is exact: an exception that no longer exists fails a test until it is removed from its list.
"""

from __future__ import annotations

from graphlib import TopologicalSorter

from source_layers import (
    ENTRIES,
    SOURCE,
    attributes_by_name,
    inherited_private_names,
    layers,
    package_of,
    private_names_of_others,
    source_files,
)

MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 250, 50

# Each of their lines declares an option of a command.
LISTS_OF_OPTIONS = {"cli/image.py build", "cli/load.py command", "cli/run.py command", "cli/train.py command"}

# Too long today: each goes when it is split.
KNOWN_LONG_FILES: set[str] = set()
KNOWN_LONG_FUNCTIONS: set[str] = set()

# Their underscores do not mean private: the standard library documents them.
DOCUMENTED = {"os._exit", "sys._current_frames"}

# Attributes that may be accessed by name, because the object is not ours: package, attribute, and whose it is.
FOREIGN_ATTRIBUTES = {
    "base": {"predict": "what a user puts a piece around", "name": "what a user puts a piece around"},
    "cli": {"ctx": "a click exception", "reason": "a URLError", "strerror": "an OSError"},
    "launch": {
        "references": "an app of another framework",
        "__file__": "a module",
        "predict": "what a user's file defines",
    },
    "load": {"strerror": "an OSError"},
    "models": {
        "strerror": "an OSError",
        "ndim": "a value of ONNX Runtime",
        "terminate": "RunOptions of ONNX Runtime, which has no types",
        "add_external_initializers_from_files_in_memory": "SessionOptions: only newer versions have it",
        "__call__": "a function of the user",
        "detach": "a tensor of torch",
        "close": "an iterator of the user",
        "__qualname__": "a function of the user",
    },
    "onnx_format": {"ListFields": "a message of protobuf"},
    "programs": {"__len__": "a value of a database driver"},
    "scaffold": {"decorator_list": "a node of a syntax tree"},
    "server": {
        "__name__": "a function of the user",
        "predict": "what a user serves",
        "fields": "a log record, a type",
        "TCP_INFO": "the module socket: only Linux has it",
    },
    "settings_fields": {"sched_getaffinity": "the module os: only Linux has it"},
    "testing": {"predict": "an app or a predictor of the user"},
    "training": {"calibrated_classifiers_": "an estimator", "reason": "a URLError"},
    "user_code": {"__notes__": "an exception"},
}
ESTIMATORS = {"exporting"}  # this package reads estimators, boosters and networks of a dozen libraries

# Objects of our own whose attribute a type should say: each line goes when it does.
KNOWN_OWN_ATTRIBUTES: set[str] = set()


def test_every_package_has_a_row_in_the_table_of_contributing() -> None:
    packages = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert packages - ENTRIES == set(layers())


def test_no_package_uses_one_above_it_or_beside_it() -> None:
    """Not even inside a function or for a type: a package imports from itself and from the layers below."""
    wrong = [
        f"{file.path}:{each.line} uses {package_of(each.module)}"
        for file in source_files()
        if file.package not in ENTRIES
        for each in file.imports
        if package_of(each.module) not in ("", file.package)
        and layers()[package_of(each.module)] <= layers()[file.package]
    ]
    assert wrong == []


def test_only_patterns_import_from_the_package_itself() -> None:
    """Every other package names the module that defines a name, so that the dependencies can be seen."""
    others = [file for file in source_files() if file.package != "patterns"]
    found = {(file.path, each.name) for file in others for each in file.imports if not package_of(each.module)}
    assert {(path, name) for path, name in found if name != "__version__"} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside a function or for a type."""
    modules = {file.module: file for file in source_files()}
    arrows: dict[str, set[str]] = {}
    for name, file in modules.items():
        used = {(f"{each.module}.{each.name}", each.module) for each in file.imports}
        arrows[name] = {whole if whole in modules else module for whole, module in used} - {name, "mlpatterns"}
    TopologicalSorter(arrows).prepare()


def test_the_parts_of_training_and_of_the_database_stay_out_of_serving() -> None:
    """Not even inside a function: a server asks the model DB's tables itself."""
    serving = {"registry", "server", "models", "pieces", "programs", "stores", "oip", "service"}
    above = {"training", "exporting", "testing", "patterns", "cli", "model_db"}
    used = {package_of(each.module) for file in source_files() if file.package in serving for each in file.imports}
    assert used & above == set()


def test_no_package_takes_a_private_name_of_another() -> None:
    found = {each for file in source_files() for each in private_names_of_others(file)}
    assert {each for each in found if each.rpartition(" ")[2] not in DOCUMENTED} == set()


def test_no_class_takes_or_replaces_a_private_method_of_a_class_in_another_package() -> None:
    assert [each for file in source_files() for each in inherited_private_names(file)] == []


def test_attributes_of_our_own_objects_are_not_asked_by_their_names() -> None:
    """A protocol or a base class says what an object has, so that mypy sees it."""
    found = {(file.package, name) for file in source_files() for name in attributes_by_name(file)}
    ours = {(package, name) for package, name in found if package not in ESTIMATORS}
    foreign = {(package, name) for package, names in FOREIGN_ATTRIBUTES.items() for name in names}
    assert {f"{package} {name}" for package, name in ours - foreign} == KNOWN_OWN_ATTRIBUTES


def test_no_file_is_too_long() -> None:
    lengths = {file.path: len(file.text.splitlines()) for file in source_files()}
    assert {path for path, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == KNOWN_LONG_FILES


def test_no_function_is_too_long() -> None:
    """A list of options may be: each of its lines is one."""
    long = {
        f"{file.path} {function.name}"
        for file in source_files()
        for function in file.functions
        if (function.end_lineno or 0) - function.lineno >= MOST_LINES_OF_A_FUNCTION
    }
    assert long - LISTS_OF_OPTIONS == KNOWN_LONG_FUNCTIONS
