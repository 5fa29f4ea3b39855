"""Content hashes: blind to what means nothing and to what no one uses, open to all that a job may run."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest
from checkout import ROOT
from sacp.artefacts.digests import code_digests, definitions, file_digest, modules

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
LIBRARY = {
    "stage.py": '"""A stage."""\nimport sacp\nfrom sacp.room import direct\nfrom sacp.room.named import value, g as h\n'
    "print(direct.f(value), h())\n",
    "sacp/__init__.py": "def load():\n    return 1\n",
    "sacp/room/__init__.py": '"""A room."""\n',
    "sacp/room/direct.py": "import sacp.hall.deep as deep\n\nSTEP = 1\nSPARE = 7\n\n"
    'def f(x, step=STEP):\n    """Add."""\n    return x + step + deep.one()  # why\n\n'
    "def unused():\n    from sacp.hall import lazy\n    return lazy.two(SPARE)\n",
    "sacp/room/named.py": "import json\nvalue: int = 2\nleft, (right, *rest) = 1, (2, 3)\n\n"
    "def g():\n    return K().m()\n\n"
    "class K:\n    size = 3\n    def m(self):\n        return right\n    def never_called(self):\n        return 4\n",
    "sacp/hall/__init__.py": "",
    "sacp/hall/deep.py": "from sacp.hall.deeper import two\n\n"
    "def one():\n    return two()\n\ndef other():\n    return json\n",
    "sacp/hall/deeper.py": "def two():\n    return 2\n",
    "sacp/hall/lazy.py": "def two(x):\n    return 2 * x\n",
    "sacp/hall/named.py": "value: int = 2\n",
    "sacp/stranger.py": "two = 2\nprint(two)\n",
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script whose library has two rooms; in the second, `deep` is two steps away and `named` is not imported."""
    write(tmp_path / "code", LIBRARY)
    return tmp_path / "code/stage.py"


def changes(script: Path, name: str, old: str, new: str, also: Iterable[str] = ()) -> bool:
    """Does an edit of a file change a digest?"""
    path, before = script.parent / name, code_digests(script, also)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return code_digests(script, also) != before


def made(folder: Path, files: dict[str, str]) -> Path:
    """A script of its own files; packages are packages even if no file says so."""
    packages = {f"{Path(name).parent}/__init__.py": "" for name in files if Path(name).parent != Path()}
    write(folder, {"sacp/__init__.py": ""} | packages | files)
    return folder / "stage.py"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stage.py", '"""A stage."""', '"""Another docstring."""'),
        ("stage.py", '"""A stage."""\n', ""),
        ("stage.py", "print(", "# a comment\nprint("),
        ("sacp/room/direct.py", '"""Add."""', '"""Sum."""'),
        ("sacp/room/direct.py", "  # why", ""),
        ("sacp/room/direct.py", "x + step", "(x +\n        step)"),
        ("sacp/room/direct.py", "SPARE = 7", "SPARE = 8"),
        ("sacp/room/direct.py", "def f", "def new():\n    return 1\n\ndef f"),
        ("sacp/room/direct.py", "lazy.two", "lazy.three"),
        ("sacp/room/direct.py", "STEP = 1\nSPARE = 7\n", "SPARE = 7\nSTEP = 1\n"),
        ("sacp/room/named.py", "import json", "import json, pickle"),
        ("sacp/hall/deep.py", "return json", "return 5"),
        ("sacp/hall/named.py", "2", "3"),
        ("sacp/hall/lazy.py", "2 * x", "3 * x"),
        ("sacp/__init__.py", "return 1", "return 2"),
        ("sacp/stranger.py", "two = 2", "two = 3"),
    ],
)
def test_digest_is_blind_to_what_means_nothing_and_to_what_is_not_used(script, name, old, new):
    assert not changes(script, name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stage.py", "print(", "repr("),
        ("stage.py", "import direct", "import direct, named"),
        ("sacp/room/direct.py", "x + step", "x - step"),
        ("sacp/room/direct.py", "STEP = 1", "STEP = 2"),
        ("sacp/room/direct.py", "step=STEP", "step=SPARE"),
        ("sacp/room/named.py", "value: int = 2", "value: int = 3"),
        ("sacp/room/named.py", "(2, 3)", "(3, 3)"),
        ("sacp/room/named.py", "return 4", "return 5"),
        ("sacp/room/named.py", "size = 3", "size = 4"),
        ("sacp/room/named.py", "return K", "global value\n    value += 1\n    return K"),
        ("sacp/room/named.py", "class K", "from functools import cache\n@cache\nclass K"),
        ("sacp/hall/deep.py", "return two()", "return 2"),
        ("sacp/hall/deeper.py", "return 2", "return 3"),
        ("sacp/hall/deeper.py", "def two", "print(1)\ndef two"),
        ("sacp/room/__init__.py", '"""A room."""', "import sacp.stranger"),
    ],
)
def test_digest_follows_the_script_into_the_definitions_that_it_uses_however_deep(script, name, old, new):
    assert changes(script, name, old, new)


def test_each_digest_covers_what_its_own_name_reaches_and_stands_under_that_name(script):
    also = ["sacp.hall.lazy:two", "sacp.hall.named:value"]
    before = code_digests(script, also)
    assert list(before) == ["stage", *also]
    assert all(len(digest) == 64 for digest in before.values())
    assert {"stage": before["stage"]} == code_digests(script)
    for edited, name, old, new in (
        ("stage", "sacp/room/direct.py", "x + step", "x - step"),
        ("sacp.hall.lazy:two", "sacp/hall/lazy.py", "2 * x", "3 * x"),
        ("sacp.hall.named:value", "sacp/hall/named.py", "2", "3"),
    ):
        assert changes(script, name, old, new, also)
        after = code_digests(script, also)
        assert [each for each in after if after[each] != before[each]] == [edited]
        before = after


def test_what_a_script_is_told_to_load_has_one_digest_whatever_the_script(script):
    write(script.parent, {"other.py": "print(1)\n"})
    also = ["sacp.room.direct:f"]
    one, other = (code_digests(script.parent / name, also) for name in ("stage.py", "other.py"))
    assert one["sacp.room.direct:f"] == other["sacp.room.direct:f"]
    assert one["stage"] != other["other"]


def test_definitions_and_modules_of_a_script(script):
    counted = {name for name in definitions(script) if name.startswith("sacp")}
    assert counted == {
        "sacp.room.direct:f", "sacp.room.direct:STEP", "sacp.hall.deep:one", "sacp.hall.deeper:two",
        "sacp.room.named:value", "sacp.room.named:g", "sacp.room.named:K",
        "sacp.room.named:left", "sacp.room.named:right", "sacp.room.named:rest",
    }  # fmt: skip
    files = {path.relative_to(script.parent).as_posix() for path in modules(script)}
    strange = {"sacp/hall/lazy.py", "sacp/hall/named.py", "sacp/stranger.py"}
    assert files == LIBRARY.keys() - strange


def test_digest_does_not_depend_on_where_the_code_lies(script, tmp_path, monkeypatch):
    write(tmp_path / "elsewhere", LIBRARY)
    assert code_digests(tmp_path / "elsewhere/stage.py") == code_digests(script)
    monkeypatch.chdir(script.parent)
    assert code_digests("stage.py") == code_digests(script)


def test_digest_is_the_same_in_every_process(script):
    command = f"from sacp.artefacts.digests import code_digests; print(code_digests({str(script)!r}))"
    for seed in "12":
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == str(code_digests(script))


def test_files_of_one_name_in_two_rooms_are_told_apart(tmp_path):
    use = "from sacp.room import files\nfrom sacp.hall import files as others\nprint(files.f(), others.f())\n"
    text = {"room": "def f():\n    return 1\n", "hall": "def f():\n    return 2\n"}
    both = {"stage.py": use} | {f"sacp/{room}/files.py": text[room] for room in text}
    script = made(tmp_path / "both", both)
    exchanged = made(
        tmp_path / "exchanged", both | {"sacp/room/files.py": text["hall"], "sacp/hall/files.py": text["room"]}
    )
    assert code_digests(script) != code_digests(exchanged)
    alone = made(tmp_path / "alone", both | {"stage.py": "from sacp.hall import files\nprint(files.f())\n"})
    assert not changes(alone, "sacp/room/files.py", "1", "3")
    assert changes(alone, "sacp/hall/files.py", "2", "3")


@pytest.mark.parametrize(
    "use",
    [
        "from sacp.room.inner import f\nf()\n",
        "from sacp.room.inner import f as renamed\n",
        "from sacp.room import inner\ninner.f()\n",
        "from sacp.room import inner as renamed\nrenamed.f.name\n",
        "import sacp.room.inner\nsacp.room.inner.f()\n",
        "import sacp.room.inner as inner\nx = inner.f\n",
        "import sacp\nsacp.room.inner.f()\n",
        "from sacp import room\nroom.inner.f()\n",
        "from sacp.room import f\nf()\n",
        "from sacp.room import renamed\nrenamed()\n",
        "import sacp.room\nsacp.room.renamed()\n",
        "from sacp import handed\nhanded()\n",
        "from sacp.room import relative\nrelative.h()\n",
        "from sacp.room import module\nmodule.f()\n",
        "from sacp.room import starred\nstarred.f()\n",
        "from sacp.room.starred import f\n",
        "from sacp.room.starred import *\n",
        "def main():\n    from sacp.room.inner import f\n    return f()\n",
        "class A:\n    from sacp.room import inner\n    x = inner.f\n",
        "try:\n    from sacp.room.inner import f\nexcept ImportError:\n    f = None\n",
        "from sacp.room import tried\ntried.f()\n",
        "from sacp.room.lazily import h\nh()\n",
        "from sacp.room import inner\nprint(inner)\n",
        "from sacp.room import inner\ngetattr(inner, 'f')()\n",
        "import sacp\nprint(sacp)\n",
        "from sacp.room import inner\ninner.of_another_name()\n",
        "from sacp.room import by_name\nby_name.call('f')\n",
        "CHILD = 'sacp.room.inner'\n",
        "CRITERION = 'sacp.room.inner:f'\n",
        "CRITERION = 'sacp.room.inner.f'\n",
    ],
)  # fmt: skip
def test_every_way_to_name_a_definition_leads_to_it(tmp_path, use):
    files = {
        "stage.py": use,
        "sacp/__init__.py": "from .room.inner import f as handed\n",
        "sacp/room/__init__.py": "from . import inner as module, inner\nfrom .inner import f, f as renamed\n",
        "sacp/room/inner.py": "def f():\n    return 1\n",
        "sacp/room/relative.py": "from ..room import inner as x\ndef h():\n    return x.f()\n",
        "sacp/room/starred.py": "from sacp.room.inner import *\n",
        "sacp/room/tried.py": "try:\n    from sacp.room.inner import f\nexcept ImportError:\n    f = None\n",
        "sacp/room/lazily.py": "def h():\n    from sacp.room import inner\n    return inner.f()\n",
        "sacp/room/by_name.py": "from sacp.room.inner import f\ndef call(name):\n    return globals()[name]()\n",
        "sacp/room/idle.py": "from sacp.room.inner import f\ndef idle():\n    return f()\n",
    }
    script = made(tmp_path, files)
    assert "sacp.room.inner:f" in definitions(script)
    assert changes(script, "sacp/room/inner.py", "return 1", "return 2")


@pytest.mark.parametrize(
    "use",
    [
        "import sacp.room.inner\n",
        "from sacp.room import inner\nprint(inner.__file__)\n",
        "from sacp.room import idle\n",
        "from sacp.room.idle import other\nother()\n",
        "NO_SUCH = 'sacp.room.nobody', 'sacp.room.inner:nothing', 'see sacp.room.inner:f'\n",
        "def f():\n    'sacp.room.inner:f'\n",
    ],
)
def test_a_definition_that_nothing_names_is_not_reached(tmp_path, use):
    files = {
        "stage.py": use,
        "sacp/room/inner.py": "def f():\n    return 1\n",
        "sacp/room/idle.py": "from sacp.room.inner import f\ndef idle():\n    return f()\ndef other():\n    return 1\n",
    }
    script = made(tmp_path, files)
    assert "sacp.room.inner:f" not in definitions(script)
    assert not changes(script, "sacp/room/inner.py", "return 1", "return 2")


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("@register\ndef f():\n    return 1\n", True),
        ("@register('name')\nclass A:\n    x = 1\n", True),
        ("class A:\n    @register\n    def f(self):\n        return 1\n", True),
        ("class A(dict, name='f'):\n    x = 1\n", True),
        ("class A:\n    print(1)\n", True),
        ("TABLE['f'] = 1\n", True),
        ("TABLE |= {'f': 1}\n", True),
        ("_ = register(1)\n", True),
        ("if TABLE:\n    def f():\n        return 1\n", True),
        ("def f():\n    return 2\ndef f():\n    return 1\n", True),
        ("def f(x=register(1)): ...\n", True),
        ("def f(*, x=register(1)): ...\n", True),
        ("class A(register(1)): ...\n", True),
        ("class A:\n    def f(self, x=register(1)): ...\n", True),
        ("@dataclass(frozen=register(1))\nclass A: ...\n", True),
        ("def f(x=slice(1)): ...\n", False),
        ("@cache\ndef f():\n    return 1\n", False),
        ("@functools.lru_cache(maxsize=2)\ndef f():\n    return 1\n", False),
        ("@torch.no_grad()\ndef f():\n    return 1\n", False),
        ("@dataclass(frozen=True)\nclass A:\n    x = 1\n", False),
        ("class A:\n    @property\n    def f(self): return 1\n    @f.setter\n    def f(self, x): ...\n", False),
        ("x: int = register(1)\n", False),
        ("if __name__ == '__main__':\n    print(1)\n", False),
        ("from sacp.room.registry import cached as cache\n@cache\ndef f():\n    return 1\n", True),
    ],
)  # fmt: skip
def test_what_has_an_effect_when_its_module_is_imported_counts_unnamed(tmp_path, text, counts):
    start = "import functools, torch\nfrom functools import cache\nfrom dataclasses import dataclass\n"
    start += "from sacp.room.registry import TABLE, register\ndef used():\n    return 0\n"
    files = {"stage.py": "from sacp.room.module import used\nused()\n", "sacp/room/module.py": start + text}
    files["sacp/room/registry.py"] = (
        "TABLE = {}\ndef register(f):\n    TABLE[f] = f\n    return f\ndef cached(f):\n    ...\n"
    )
    script = made(tmp_path, files)
    assert ("sacp.room.registry:TABLE" in definitions(script)) == (counts and ("register" in text or "TABLE" in text))
    assert changes(script, "sacp/room/module.py", "1", "5") == counts


def test_order_counts_among_effects_and_around_them_but_not_among_definitions(tmp_path):
    module = "sacp/room/module.py"
    text = "print(1)\nx = 1\ny = 2\nprint(2)\ndef used():\n    return x, y\n"
    script = made(tmp_path, {"stage.py": "from sacp.room.module import used\nused()\n", module: text})
    assert not changes(script, module, "x = 1\ny = 2\n", "y = 2\nx = 1\n")
    assert changes(script, module, "print(1)\ny = 2\n", "y = 2\nprint(1)\n")
    assert changes(script, module, "x = 1\nprint(2)\n", "x = 1\nprint(3)\n")


ORDERED = [
    ("SIGN = 1\n", "SIGN = -1\n", "SIGN"),
    ("SIGN = 1\nSIGN = 2\n", "SIGN = 3\n", "SIGN"),
    ("SIGN = 1\nFACTOR = SIGN\n", "SIGN = 2\n", "FACTOR"),
    ("SIGN = 1\n", "if True:\n    SIGN = 2\n", "SIGN"),
    ("def f():\n    return 1\n", "def f():\n    return 2\n", "f"),
    ("f = abs\n", "def f():\n    return 2\n", "f"),
    ("from sacp.room.one import f\n", "from sacp.room.two import f\n", "f"),
    ("import numpy as f\n", "import torch as f\n", "f"),
    ("from sacp.room.one import f\n", "f = 1\n", "f"),
    ("FIRST = RNG.random()\n", "SECOND = RNG.random()\n", "FIRST, SECOND"),
    ("a = next(it)\n", "b = next(it)\n", "a, b"),
    ("a: int = next(it)\n", "b: list = [next(it)]\n", "a, b"),
    ("a = L.pop()\n", "L = [5]\n", "a, L"),
    ("a = L[0]\n", "b = L.pop()\n", "a, b"),
    ("a = [*L]\n", "b = L.pop()\n", "a, b"),
    ("a = L + L\n", "b = L.pop()\n", "a, b"),
    ("def f(x=L[0]):\n    return x\n", "b = L.pop()\n", "f, b"),
    ("class A(list if L else dict): ...\n", "b = L.pop()\n", "A, b"),
    ("class A:\n    x = len(L)\n", "b = L.pop()\n", "A, b"),
    ("a = len(L)\n", "def len(x):\n    return 1\n", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "used"), ORDERED)
@pytest.mark.parametrize("place", ["library", "script", "user"])
def test_order_counts_where_it_can_change_a_value(tmp_path, monkeypatch, place, one, other, used):
    start = "import random\nRNG = random.Random(0)\nit = iter(range(9))\nL = [1, 2]\n"
    name = {"library": "code/sacp/room/module.py", "script": "code/stage.py", "user": "user/mine.py"}[place]
    files = {"stage.py": f"from sacp.room.module import {used}\n", "sacp/room/one.py": "def f(): ...\n"}
    script = made(tmp_path / "code", files | {"sacp/room/two.py": "def f(): ...\n", "sacp/room/module.py": ""})
    write(tmp_path, {name: start + one + other})
    monkeypatch.syspath_prepend(str(tmp_path / "user"))
    assert changes(script, f"../{name}", one + other, other + one, ["mine:f"] if place == "user" else ())


@pytest.mark.parametrize(
    ("one", "other", "used"),
    [
        ("x = 1\n", "y = -2 * 3\n", "x, y"),
        ("x = {'a': f, 'b': [1, (2, 3)]}\n", "y = lambda x, n=2: x.random()\n", "x, y"),
        ("def g(x, n=1, *, m=f):\n    return RNG.random()\n", "def h():\n    return RNG.random()\n", "g, h"),
        ("class A(random.Random):\n    size: int = 1\n    def m(self): ...\n", "class B: ...\n", "A, B"),
        ("import numpy\n", "import torch\n", "numpy, torch"),
        ("import sacp.room.one\n", "import sacp.room.two\n", "sacp"),
        ("from sacp.room.one import a\n", "from sacp.room.one import b\n", "a, b"),
        ("a = RNG.random()\n", "unused = make()\n", "a"),
    ],
)
def test_definitions_of_the_library_may_change_places_where_that_means_nothing(tmp_path, one, other, used):
    start = "import random\nRNG = random.Random(0)\ndef f(): ...\ndef make(): ...\n"
    files = {"stage.py": f"from sacp.room.module import {used}\n", "sacp/room/module.py": start + one + other}
    files |= {"sacp/room/one.py": "a = b = 1\n", "sacp/room/two.py": ""}
    assert not changes(made(tmp_path, files), "sacp/room/module.py", one + other, other + one)


@pytest.mark.parametrize("place", ["code/stage.py", "user/mine.py"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = 1\n", "x = 1  # a comment\n\n\n"),
        ("x = 1\n", '"""A docstring."""\nx = 1\n'),
        ("y = (2, 3)\n", "y = (\n    2,\n    3,\n)\n"),
    ],
)
def test_layout_of_scripts_and_users_modules_means_nothing(tmp_path, monkeypatch, place, old, new):
    script = made(tmp_path / "code", {"stage.py": ""})
    write(tmp_path, {"user/mine.py": "", place: "x = 1\ny = (2, 3)\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "user"))
    assert not changes(script, f"../{place}", old, new, ["mine:f"])
    assert changes(script, f"../{place}", "x = 1", "x = 2", ["mine:f"])


@pytest.mark.parametrize("first", ["A = L.pop()", "A: int = take(L)", "A = [take(each) for each in [L]]"])
def test_what_a_definition_calls_is_changed_even_if_nothing_names_the_definition(tmp_path, first):
    text = (
        f"def take(x):\n    return x.pop()\nL, N = [1, 2], 3\n{first}\nB = L[0]\nUNUSED = abs(N)\nM = 4\nC = abs(M)\n"
    )
    files = {"stage.py": "from sacp.room.module import B, M\n", "sacp/room/module.py": text}
    script = made(tmp_path, files)
    assert changes(script, "sacp/room/module.py", first, "")
    assert not changes(script, "sacp/room/module.py", "C = abs(M)", "")


@pytest.mark.parametrize(
    "base",
    [
        "class Base: ...\ndef find(name):\n    return Base.__subclasses__()\n",
        "class Base:\n    def __init_subclass__(cls): ...\ndef find(name): ...\n",
        "class Meta(type): ...\nclass Base(metaclass=Meta): ...\ndef find(name): ...\n",
        "class Part:\n    def __set_name__(self, owner, name): ...\nclass Base: ...\ndef find(name): ...\n",
    ],
)
def test_a_subclass_counts_if_something_may_see_classes_that_nothing_names(tmp_path, base):
    files = {
        "stage.py": "from sacp.room import base, derived\nbase.find('A')\n",
        "sacp/room/base.py": base,
        "sacp/room/derived.py": "from sacp.room.base import Base\nclass A(Base):\n    x = 1\ndef f():\n    return 2\n",
    }
    script = made(tmp_path, files)
    assert changes(script, "sacp/room/derived.py", "x = 1", "x = 2")
    assert not changes(script, "sacp/room/derived.py", "return 2", "return 3")


def test_a_class_that_nothing_names_does_not_count_for_an_abstract_base_class_alone(tmp_path):
    files = {
        "stage.py": "from sacp.room import base, derived\n",
        "sacp/room/base.py": "from abc import ABCMeta\nclass Base(metaclass=ABCMeta): ...\n",
        "sacp/room/derived.py": "from sacp.room.base import Base\nclass A(Base):\n    x = 1\n",
    }
    assert not changes(made(tmp_path, files), "sacp/room/derived.py", "x = 1", "x = 2")


@pytest.mark.parametrize(
    ("use", "counts"),
    [
        ("return globals()['g']()", True),
        ("return vars()['g']()", True),
        ("return locals()['g']()", True),
        ("return eval('g()')", True),
        ("import builtins\n    return builtins.globals()['g']()", True),
        ("import sys\n    return sys.modules[__name__].g()", True),
        ("import sys as system\n    return system.modules[__name__].g()", True),
        ("from sys import modules\n    return modules[__name__].g()", True),
        ("return f.__globals__['g']()", True),
        ("return (lambda: 1).__globals__['g']()", True),
        ("import sys\n    return sys._getframe().f_globals['g']()", True),
        ("return vars(f)", False),
        ("import sys\n    return sys.argv", False),
        ("return f.eval()", False),
    ],
)
def test_code_that_can_ask_for_any_name_of_its_module_counts_all_of_it(tmp_path, use, counts):
    text = f"def f():\n    {use}\ndef g():\n    return 'one'\n"
    script = made(tmp_path, {"stage.py": "from sacp.room.module import f\nf()\n", "sacp/room/module.py": text})
    assert changes(script, "sacp/room/module.py", "'one'", "'two'") == counts


def test_the_names_of_another_module_are_open_to_who_has_a_function_of_it(tmp_path):
    files = {
        "stage.py": "from sacp.room.module import f\nf()\n",
        "sacp/room/module.py": "from sacp.room.other import h\ndef f():\n    return h.__globals__['g']()\n",
        "sacp/room/other.py": "def h(): ...\ndef g():\n    return 1\n",
    }
    assert changes(made(tmp_path, files), "sacp/room/other.py", "return 1", "return 2")


def test_names_that_are_exchanged_change_the_digest(tmp_path):
    files = {"stage.py": "from sacp.room.module import h\nh()\n", "sacp/room/other.py": "def f(): ...\ndef g(): ...\n"}
    files["sacp/room/module.py"] = (
        "from sacp.room.other import f as a, g as b\nimport numpy as x\ndef h():\n    a(b, x)\n"
    )
    script = made(tmp_path, files)
    assert changes(script, "sacp/room/module.py", "f as a, g as b", "g as a, f as b")
    assert changes(script, "sacp/room/module.py", "numpy as x", "torch as x")


def test_a_child_process_counts_whole_with_all_that_it_runs_as_a_program(tmp_path):
    files = {
        "stage.py": "from sacp.room import parent\nparent.start()\n",
        "sacp/room/parent.py": "CHILD = 'sacp.room.child'\ndef start():\n    return ['-m', CHILD]\n",
        "sacp/room/child.py": "def work():\n    return 1\nif __name__ == '__main__':\n"
        "    from sacp.room.tool import use\n    use(work)\n",
        "sacp/room/tool.py": "def use(f):\n    return 2\n",
    }
    script = made(tmp_path, files)
    assert tmp_path / "sacp/room/tool.py" in modules(script)
    assert changes(script, "sacp/room/child.py", "return 1", "return 3")
    assert changes(script, "sacp/room/child.py", "use(work)", "use(2)")
    assert changes(script, "sacp/room/tool.py", "return 2", "return 4")


def test_import_path_of_the_library_reaches_the_definition_that_it_names(tmp_path):
    files = {
        "stage.py": "print()\n",
        "sacp/room/thinet.py": "def orders():\n    return 1\ndef other():\n    return 2\n",
    }
    script, also = made(tmp_path, files), ["sacp.room.thinet:orders"]
    assert not changes(script, "sacp/room/thinet.py", "return 1", "return 3")
    assert changes(script, "sacp/room/thinet.py", "return 3", "return 4", also)
    assert not changes(script, "sacp/room/thinet.py", "return 2", "return 5", also)
    assert changes(script, "sacp/room/thinet.py", "return 5", "return 6", ["sacp.room.thinet"])
    assert modules(script, also) - modules(script) == {
        tmp_path / name for name in ("sacp/__init__.py", "sacp/room/__init__.py", "sacp/room/thinet.py")
    }


def test_a_users_own_module_counts_whole_with_what_it_imports_from_beside_it(tmp_path, monkeypatch):
    files = {"stage.py": "print()\n", "sacp/room/norms.py": "def l1():\n    return 1\ndef l2():\n    return 2\n"}
    script, also = made(tmp_path / "code", files), ["mypkg.taylor:f"]
    users = {
        "mypkg/__init__.py": "x = 1\n",
        "mypkg/taylor.py": "import json\nfrom . import near\nfrom sacp.room.norms import l1\ndef f():\n    'Doc.'\n",
        "mypkg/near.py": "def f():\n    import beside.further\n",
        "beside/further.py": "y = 1\n",  # in a folder without an __init__.py
        "beside/stranger.py": "z = 1\n",
    }
    write(tmp_path / "user", users)
    alone = code_digests(script, also)
    monkeypatch.syspath_prepend(str(tmp_path / "user"))
    assert code_digests(script, also) != alone
    assert code_digests(script, also) != code_digests(script)
    found = {path.relative_to(tmp_path / "user").as_posix() for path in modules(script, also) if "user" in path.parts}
    assert found == users.keys() - {"beside/stranger.py"}
    assert "mypkg" not in sys.modules
    name = "../user/mypkg"
    assert changes(script, f"{name}/taylor.py", "import json", "import json\nunused = 1", also)
    assert changes(script, f"{name}/__init__.py", "x = 1", "x = 2", also)
    assert changes(script, f"{name}/near.py", "def f", "def g", also)
    assert changes(script, "../user/beside/further.py", "y = 1", "y = 2", also)
    assert not changes(script, f"{name}/taylor.py", "'Doc.'", "'Another.'", also)
    assert changes(script, "sacp/room/norms.py", "return 1", "return 3", also)
    assert not changes(script, "sacp/room/norms.py", "return 2", "return 4", also)


def test_a_users_own_module_is_found_in_the_current_folder(tmp_path, monkeypatch):
    script = made(tmp_path / "code", {"stage.py": "print()\n"})
    write(tmp_path / "user", {"taylor.py": "x = 1\n"})
    monkeypatch.chdir(tmp_path / "user")
    assert tmp_path / "user/taylor.py" in modules(script, ["taylor:orders"])


def test_an_installed_package_is_followed_within_itself_alone(tmp_path, monkeypatch):
    script, also = made(tmp_path / "code", {"stage.py": "print()\n"}), ["one:f"]
    installed = {
        "one/__init__.py": "import two\nfrom one import inner\n",
        "one/inner.py": "x = 1\n",
        "two.py": "y = 1\n",
    }
    write(tmp_path / "site-packages", installed)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    assert changes(script, "../site-packages/one/inner.py", "x = 1", "x = 2", also)
    assert not changes(script, "../site-packages/two.py", "y = 1", "y = 2", also)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script and two folders of Python's path, `one` before `two`; the user's own module lies in the latter."""
    made(tmp_path / "code", {"stage.py": "print()\n"})
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / name))
    return tmp_path


@pytest.mark.parametrize(
    "use",
    [
        "import helper\n",
        "from helper import f\n",
        "def g():\n    import helper\n",
        "import importlib\nimportlib.import_module('helper')\n",
        "__import__('helper')\n",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'helper'])\n",
        "CRITERION = 'helper:f'\n",
        "CRITERION = 'helper.f'\n",
        "import between\n",
        "import space.between\n",
        "from space import between\n",
    ],
)
@pytest.mark.parametrize("where", ["one/helper.py", "two/helper.py", "one/helper/__init__.py"])
def test_what_a_users_module_imports_is_followed_through_all_of_pythons_path(folders, use, where):
    write(folders, {"two/mine.py": use, where: "x = 1\n", "two/helper_of_none.py": "x = 1\n"})
    write(folders, {"one/between.py": "import helper\n", "two/space/between.py": "import helper\n"})
    (folders / "one/space").mkdir()
    script = folders / "code/stage.py"
    assert changes(script, f"../{where}", "x = 1", "x = 2", ["mine:f"])
    assert not changes(script, "../two/helper_of_none.py", "x = 1", "x = 2", ["mine:f"])
    assert "helper" not in sys.modules


PACKAGE = {
    "two/nets/__init__.py": "from .model import build\n",
    "two/nets/model.py": "from . import heads\nfrom .blocks import Block\nx = 1\n",
    "two/nets/heads.py": "x = 1\n",
    "two/nets/blocks/__init__.py": "from .residual import Block\n",
    "two/nets/blocks/residual.py": "from ..sizes import WIDTH\nx = 1\n",
    "two/nets/sizes.py": "x = 1\n",
}


@pytest.mark.parametrize("path", ["nets:build", "nets.model:build"])
@pytest.mark.parametrize("name", ["model", "heads", "blocks/residual", "sizes"])
def test_relative_imports_in_a_users_package_are_followed(folders, path, name):
    write(folders, PACKAGE | {"two/nets/unused.py": "x = 1\n"})
    script = folders / "code/stage.py"
    assert changes(script, f"../two/nets/{name}.py", "x = 1", "x = 2", [path])
    assert not changes(script, "../two/nets/unused.py", "x = 1", "x = 2", [path])


@pytest.mark.parametrize("hidden", ["two/helper.py", "one/helper/readme.txt"])
def test_the_module_that_python_would_take_counts_and_no_other_of_its_name(folders, hidden):
    taken = "one/helper.py" if hidden.startswith("two") else "two/helper.py"
    write(folders, {"two/mine.py": "import helper\n", taken: "x = 1\n", hidden: "x = 1\n"})
    script = folders / "code/stage.py"
    assert changes(script, f"../{taken}", "x = 1", "x = 2", ["mine:f"])
    assert not changes(script, f"../{hidden}", "x = 1", "x = 2", ["mine:f"])


def test_a_compiled_module_counts_by_its_bytes(folders):
    helper = folders / f"one/helper{EXTENSION_SUFFIXES[0]}"
    write(folders, {"two/mine.py": "import helper\n"})
    helper.write_bytes(b"\x7fELF\0one")
    before = code_digests(folders / "code/stage.py", ["mine:f"])
    helper.write_bytes(b"\x7fELF\0two")
    assert code_digests(folders / "code/stage.py", ["mine:f"]) != before


class Hook:
    """An import hook, as an editable install leaves it: it knows where one package lies, and fails for others."""

    def __init__(self, package: Path) -> None:
        self.package = package

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        assert name == "helper"
        return spec_from_file_location(name, self.package / "__init__.py", submodule_search_locations=[self.package])


def test_a_package_that_an_import_hook_finds_is_followed_from_a_users_module(folders, monkeypatch):
    files = {"__init__.py": "x = 1\n", "inner.py": "from helper.near import z\ny = 1\n", "near.py": "z = 1\n"}
    write(folders, {"two/mine.py": "from helper import inner\nimport nobody\n"})
    write(folders / "elsewhere/source", files)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Hook(folders / "elsewhere/source")])
    script = folders / "code/stage.py"
    for name, old in (("__init__", "x = 1"), ("inner", "y = 1"), ("near", "z = 1")):
        assert changes(script, f"../elsewhere/source/{name}.py", old, f"{old}0", ["mine:f"])
    assert "helper" not in sys.modules


def test_installed_packages_and_pythons_own_modules_count_by_their_names(folders, monkeypatch):
    write(folders, {"two/mine.py": "import json, sys, other, pandas\nNAME = 'other'\n", "two/sys.py": "x = 1\n"})
    write(folders, {"site-packages/other.py": "x = 1\n"})
    monkeypatch.syspath_prepend(str(folders / "site-packages"))
    script = folders / "code/stage.py"
    found = {path.relative_to(folders).as_posix() for path in modules(script, ["mine:f"])}
    assert found == {"code/stage.py", "two/mine.py"}
    assert changes(script, "../two/mine.py", "pandas", "numpy", ["mine:f"])


def test_a_script_does_not_follow_words_that_happen_to_name_a_users_module(folders):
    write(folders, {"code/stage.py": "print('helper')\n", "one/helper.py": "x = 1\n"})
    assert not changes(folders / "code/stage.py", "../one/helper.py", "x = 1", "x = 2")


def test_import_paths_that_lead_nowhere_count_by_their_names_and_text_that_is_no_python_as_it_is(tmp_path, monkeypatch):
    script = made(tmp_path / "code", {"stage.py": "print()\n"})
    found = code_digests(script, ["no_such:f", "no_such:g", "sacp.nobody:f"])
    assert len(set(found.values())) == 4
    assert code_digests(script, ["sacp.nobody:f", "no_such:g", "no_such:f", "no_such:f"]) == found
    write(tmp_path / "user", {"broken.py": "def f(:\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "user"))
    assert changes(script, "../user/broken.py", "def f", "def g", ["broken:f"])


def test_imports_in_circles_come_to_an_end(tmp_path):
    files = {
        "stage.py": "from sacp.room import a\na.x()\na.y()\na.nothing()\n",
        "sacp/room/a.py": "from sacp.room.b import *\nfrom sacp.room.b import y\ndef f():\n    return 1\n",
        "sacp/room/b.py": "from sacp.room.a import *\nfrom sacp.room.a import y\ndef x():\n    return 2\n",
    }
    script = made(tmp_path, files)
    assert changes(script, "sacp/room/a.py", "return 1", "return 3")
    assert changes(script, "sacp/room/b.py", "return 2", "return 4")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_of_the_workflow_depends_on_the_library(script):
    names = {path.name for path in modules(script)}
    assert {script.name, "job.py", "errors.py"} <= names
    assert "sacp.compute.job:running" in definitions(script)


def test_digests_of_all_scripts_differ_and_take_little_time():
    started = time.perf_counter()
    assert len({code_digests(script)[script.stem] for script in SCRIPTS}) == len(SCRIPTS)
    print(f"{len(SCRIPTS)} scripts: {time.perf_counter() - started:.2f} s")


def test_file_digest_is_that_of_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_what_the_catalogue_names_counts_where_a_job_is_told_to_load_it_and_nowhere_else(tmp_path):
    files = {
        "stage.py": "from sacp.catalogue.names import NAMES\nprint(NAMES)\n",
        "sacp/catalogue/names.py": "NAMES = {'f': 'sacp.room.direct:f'}\n",
        "sacp/room/direct.py": "def f():\n    return 1\n",
    }
    script, edit = made(tmp_path / "code", files), ("sacp/room/direct.py", "return 1", "return 2")
    assert not changes(script, *edit)
    assert changes(script, "sacp/room/direct.py", "return 2", "return 1", also=["sacp.room.direct:f"])
    assert changes(script, "sacp/catalogue/names.py", "'f'", "'g'")


def test_what_only_a_type_checker_reads_leads_nowhere(tmp_path):
    files = {
        "stage.py": "import sacp\nsacp.g(1)\n",
        "sacp/__init__.py": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from sacp.inner import F\ndef g(x: F) -> F:\n    return x\n",
        "sacp/inner.py": "class F:\n    pass\n",
    }
    script = made(tmp_path, files)
    assert "sacp:g" in definitions(script)
    assert not changes(script, "sacp/inner.py", "pass", "x = 1")
    assert changes(script, "sacp/__init__.py", "return x", "return [x]")
