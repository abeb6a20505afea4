"""The house rules that a program can check, over every file of the package, and proof that each rule can fail."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "facegraft"

MAY_IMPORT = {
    "": {
        "core",
        "cli",
        "data",
        "evaluate",
        "export",
        "faces",
        "methods",
        "provenance",
        "runtime",
        "train",
    },  # __init__, __main__
    "core": set(),
    "faces": {"core"},
    "tensors": {"core"},
    "data": {"core", "faces", "tensors"},
    "nn": {"core", "tensors"},
    "losses": {"core", "nn", "tensors"},
    "frozen": {"core", "nn", "tensors"},
    "methods": {"core", "frozen", "losses", "nn", "tensors"},
    "train": {"core", "data", "faces", "frozen", "losses", "methods", "nn", "tensors"},
    "export": {"core", "frozen", "methods", "nn", "provenance", "tensors", "train"},
    "provenance": {"core"},
    "runtime": {"core", "faces", "provenance"},
    "evaluate": {"core", "data", "faces"},
    "cli": {"core", "data", "evaluate", "export", "faces", "methods", "nn", "provenance", "runtime", "train"},
}
"""Folder, or module of the top, -> those of ours that it may import besides itself."""
TOP = {"__init__.py", "__main__.py"}
"""The files of folder ""; any other file beside them counts as a folder of its own."""
NO_TORCH = {"core", "evaluate", "faces", "provenance", "runtime"}
WITH_TORCH = {
    "augment",
    "camera",
    "colours",
    "decode",
    "jpeg",
    "loader",
    "moves",
    "occluders",
    "pairs",
    "remodel",
    "reshape",
    "triplets",
    "vary",
}
"""Files of data/ that may load torch when they are imported, as those of data/synth/; the others are light."""
FEWEST_FILES = {
    "": 2,
    "core": 14,
    "faces": 20,
    "provenance": 9,
    "runtime": 27,
    "evaluate": 50,
    "cli": 18,
    "data": 111,
    "nn": 13,
    "losses": 11,
    "frozen": 8,
    "methods": 10,
    "train": 39,
    "export": 5,
}
"""Raised as the package grows: a rule that looks at nothing finds nothing."""
MOST_LINES_OF_A_FILE = 400
MOST_BYTES_OF_WEIGHTS = 25_000_000
"""Of all files together: they travel with the tree to the machine that trains."""
MOST_LINES_OF_A_FUNCTION = 60
BANNED_MODULES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "torchvision"}
BANNED_CALLS = {"torch.load", "yaml.load", "eval", "exec"}
PICTURE_CALLS = {"imread", "imwrite", "imdecode", "imencode", "imreadmulti", "VideoCapture", "VideoWriter"}
BANNED_WORDS = {"source", "sources", "target", "targets", "src", "tgt", "dst", "img1", "img2"}
TERM_OF_OTHERS = re.compile(r"source_types?(?![a-z])", re.IGNORECASE)  # IPTC's "digital source type"


@dataclass(frozen=True)
class Module:
    """One file, parsed. `name` is its path inside the package, with slashes."""

    name: str
    text: str

    @property
    def folder(self) -> str:
        if "/" not in self.name:
            return "" if self.name in TOP else self.name.removesuffix(".py")
        return self.name.partition("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)


Complaints = Iterator[tuple[int, str]]
"""Line and what is wrong there."""


def imports(module: Module, part: ast.AST | None = None) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported anywhere in the file, lazily or for type checkers only too.

    Or, given a part of the file's tree, anywhere in that.
    """
    for node in ast.walk(part or module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "facegraft":
                names = [alias.name for alias in node.names if alias.name != "__version__"]
                yield from ((node.lineno, f"facegraft.{name}") for name in names)
            else:
                yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and called(node).endswith(("import_module", "__import__")):
            first = node.args[0] if node.args else None
            literal = first.values[0] if isinstance(first, ast.JoinedStr) else first
            if isinstance(literal, ast.Constant):
                yield node.lineno, str(literal.value)


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def imports_point_one_way(module: Module) -> Complaints:
    for line, name in imports(module):
        if name.startswith("."):
            yield line, f"relative import of {name}"
        parts = name.split(".")
        folder = parts[1] if len(parts) > 1 else ""
        if parts[0] == "facegraft" and folder in MAY_IMPORT and folder not in {"", module.folder}:
            if folder not in MAY_IMPORT.get(module.folder, set()):
                yield line, f"{module.folder or 'the top'} may not import {name}"
        elif parts[0] == "facegraft" and folder and folder != module.folder:
            yield line, f"{name} is in no folder of the table"
        elif name == "facegraft" and module.folder != "cli":
            yield line, "the public calls stand on this folder"


def no_torch(module: Module) -> Complaints:
    if module.folder in NO_TORCH:
        yield from ((line, name) for line, name in imports(module) if name.split(".")[0] == "torch")


def is_light(name: str) -> bool:
    """Files of data/ whose import loads no torch; a function of theirs may."""
    folder, _, file = name.rpartition("/")
    return folder == "data" and file.removesuffix(".py") not in WITH_TORCH


def light_files_load_no_torch(module: Module) -> Complaints:
    """What a light file imports at its top must itself be light, or stand below data/."""
    if not is_light(module.name):
        return
    for line, name in imports(module, ast.Module(statements_run_on_import(module.tree.body), [])):
        package, _, rest = name.partition(".")
        ours = package == "facegraft" and rest.partition(".")[0] in {"data", "tensors"}
        if package == "torch" or (ours and not is_light(f"{rest.replace('.', '/')}.py")):
            yield line, f"{name} loads torch"


def statements_run_on_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """All but functions and what only type checkers read."""
    kept = []
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            kept += statement.orelse
        elif isinstance(statement, ast.ClassDef | ast.If | ast.Try | ast.With):
            kept += statements_run_on_import(
                [n for name in ("body", "orelse", "finalbody") for n in getattr(statement, name, [])]
            )
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            kept.append(statement)
    return kept


def no_pickles(module: Module) -> Complaints:
    for line, name in imports(module):
        if name.split(".")[0] in BANNED_MODULES:
            yield line, f"import of {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            if called(node) in BANNED_CALLS:
                yield node.lineno, called(node)
            if any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords):
                yield node.lineno, "allow_pickle"


def files_are_short(module: Module) -> Complaints:
    lines = len(module.text.splitlines())
    if lines > MOST_LINES_OF_A_FILE:
        yield lines, f"{lines} lines, at most {MOST_LINES_OF_A_FILE}"


def functions_are_short(module: Module) -> Complaints:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines below its docstring"


def only_commands_print(module: Module) -> Complaints:
    if module.folder != "cli":
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and called(node) in {"print", "rich.print", "pprint"}:
                yield node.lineno, "print"


def one_door_for_pictures(module: Module) -> Complaints:
    """Only core/image.py reads and writes pictures, and only it ever sees BGR."""
    if module.name == "core/image.py":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and (node.attr in PICTURE_CALLS or "BGR" in node.attr):
            yield node.lineno, ast.unparse(node)
        for name in bound_names(node):
            if "bgr" in name.lower().split("_"):
                yield line_of(node), name


def one_door_for_sessions(module: Module) -> Complaints:
    """Networks run in turn, so each is opened with `core.session.session_options`, whose threads do not spin."""
    if module.name == "core/session.py":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] == "SessionOptions":
            yield node.lineno, "SessionOptions"


def names_are_the_fields(module: Module) -> Complaints:
    """People are identity and attribute: "source" and "target" change meaning from paper to paper."""
    for node in ast.walk(module.tree):
        for name in bound_names(node):
            ours = TERM_OF_OTHERS.sub("", name)
            words = set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", ours).lower().split("_"))
            if words & BANNED_WORDS:
                yield line_of(node), name


def bound_names(node: ast.AST) -> list[str]:
    """Names that this node gives to something of ours."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return [node.attr]
    return [node.asname] if isinstance(node, ast.alias) and node.asname else []


def line_of(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def modules_say_what_they_are(module: Module) -> Complaints:
    if not ast.get_docstring(module.tree):
        yield 1, "no docstring"


def no_global_state(module: Module) -> Complaints:
    yield from ((node.lineno, "global") for node in ast.walk(module.tree) if isinstance(node, ast.Global))


def silenced_checks_say_why(module: Module) -> Complaints:
    for number, line in enumerate(module.text.splitlines(), 1):
        if re.search(r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s*#\s*\w)", line):
            yield number, "type: ignore without a code or without `# reason`"
        if re.search(r"#\s*noqa(?!: [A-Z]+\d+(, [A-Z]+\d+)* - \w)", line):
            yield number, "noqa without a code or without `- reason`"


RULES: dict[Callable[[Module], Complaints], tuple[str, str]] = {
    imports_point_one_way: ("core/x.py", "def f():\n    from facegraft.faces import align"),
    no_torch: ("runtime/x.py", "def f():\n    import torch.nn"),
    light_files_load_no_torch: ("data/dataset.py", "try:\n    from facegraft.data.loader import x\nfinally: ..."),
    no_pickles: ("cli/x.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
    files_are_short: ("core/x.py", "x = 1\n" * 401),
    functions_are_short: ("core/x.py", "def f():\n    'Says.'\n" + "    x = 1\n" * 61),
    only_commands_print: ("core/x.py", "print(1)"),
    one_door_for_pictures: ("faces/x.py", "import cv2\ncv2.cvtColor(a, cv2.COLOR_RGB2BGR)"),
    one_door_for_sessions: ("faces/x.py", "import onnxruntime\noptions = onnxruntime.SessionOptions()"),
    names_are_the_fields: ("faces/x.py", "def swap(sourceFace): ..."),
    modules_say_what_they_are: ("faces/x.py", "x = 1"),
    no_global_state: ("core/x.py", "def f():\n    global x"),
    silenced_checks_say_why: ("core/x.py", "x = 1  # type: ignore[arg-type]"),
}
"""Rule -> a file's name and content that break it."""


@cache
def read_modules() -> list[Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [Module(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[Module], Complaints]) -> None:
    found = [f"facegraft/{m.name}:{line}: {what}" for m in read_modules() for line, what in rule(m)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_can_fail(rule: Callable[[Module], Complaints]) -> None:
    name, text = RULES[rule]
    assert list(rule(Module(name, text)))


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("faces/x.py", "from facegraft.core.types import Frame", True),
        ("faces/x.py", "from facegraft.runtime import session", False),
        ("faces/x.py", "from facegraft import runtime", False),
        ("faces/x.py", "import facegraft.cli.main", False),
        ("faces/x.py", "import importlib\nimportlib.import_module('facegraft.cli.main')", False),
        ("core/x.py", "from . import types", False),
        ("core/x.py", "import facegraft", False),
        ("core/x.py", "from facegraft import analyse", False),
        ("core/x.py", "from facegraft import __version__", True),
        ("runtime/x.py", "from facegraft.nowhere import x", False),
        ("runtime/x.py", "from facegraft.provenance.manifest import sign", True),
        ("provenance/x.py", "if TYPE_CHECKING:\n    from facegraft.faces.align import x", False),
        ("cli/x.py", "import importlib\nimportlib.import_module(f'facegraft.cli.{name}')", True),
        ("__main__.py", "from facegraft.cli.main import main", True),
        ("data/synth/x.py", "from facegraft.tensors import SwapBatch", True),
        ("data/x.py", "from facegraft.runtime import session", False),
        ("tensors.py", "from facegraft.core.types import Frame", True),
        ("tensors.py", "from facegraft.data import dataset", False),
        ("faces/x.py", "from facegraft.tensors import SwapBatch", False),
        ("train/eyes/x.py", "from facegraft.frozen.detector import Detector", True),
        ("frozen/x.py", "from facegraft.losses.points import wing", False),
        ("losses/x.py", "from facegraft.data.regions import NAMES", False),
        ("export/x.py", "from facegraft.train.recipe import Recipe", True),
        ("export/x.py", "from facegraft.runtime import session", False),
        ("train/x.py", "from facegraft.export import run", False),
        ("data/x.py", "from facegraft.train.recipe import Recipe", False),
        ("other.py", "import facegraft.core", False),
    ],
)
def test_import_table(name: str, text: str, allowed: bool) -> None:
    assert (not list(imports_point_one_way(Module(name, text)))) is allowed


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("data/dataset.py", "import torch", False),
        ("data/ingest_filters.py", "class X:\n    import torch.nn", False),
        ("data/ingest.py", "def f():\n    import torch", True),
        ("data/report.py", "if TYPE_CHECKING:\n    from facegraft.data.synth.people import Person", True),
        ("data/report.py", "from facegraft.data.dataset import open_dataset", True),
        ("data/report.py", "from facegraft.tensors import Images", False),
        ("data/synth/people.py", "import torch", True),
    ],
)
def test_light_table(name: str, text: str, allowed: bool) -> None:
    assert (not list(light_files_load_no_torch(Module(name, text)))) is allowed


def test_every_folder_is_in_the_table_and_nothing_shrank() -> None:
    folders = [module.folder for module in read_modules()]
    assert set(folders) | {"tensors"} == set(MAY_IMPORT)
    assert {
        folder: folders.count(folder) for folder in FEWEST_FILES if folders.count(folder) < FEWEST_FILES[folder]
    } == {}
    assert len(RULES) >= 12


def tracked_files() -> list[Path]:
    try:
        done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=False)
    except OSError:
        pytest.skip("git is not installed")
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_tracked_files_are_small_and_hold_no_key() -> None:
    files = tracked_files()
    assert len(files) > 30
    key = re.compile(rb"BEGIN (RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?PRIVATE KEY-")
    weights = [path for path in files if path.suffix in {".onnx", ".safetensors"}]
    assert sum(path.stat().st_size for path in weights) < MOST_BYTES_OF_WEIGHTS
    large = [path for path in files if path.stat().st_size > 512_000 and path not in weights]
    assert large == [ROOT / "examples" / "clip.mp4"]
    assert [path for path in files if key.search(path.read_bytes())] == []


def test_tracked_files_name_no_path_of_one_machine() -> None:
    pattern = re.compile(r"/(" + "|".join(("work", "root", "home/[a-z]", "Users/[A-Za-z]", "tmp")) + r")/[a-z]")
    hits = []
    for path in tracked_files():
        if path.suffix in {".py", ".md", ".toml", ".ini", ".yaml", ".json", ".sh", ".txt"} and path.name != "uv.lock":
            text = path.read_text(encoding="utf-8")
            hits += [f"{path.relative_to(ROOT)}: {found.group()}" for found in pattern.finditer(text)]
    assert hits == []
