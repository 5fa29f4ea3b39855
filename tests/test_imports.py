"""Functions that a config names by import path: the library's, and a user's."""

import os
import sys
from pathlib import Path

import pytest
from sacp import imports
from sacp.errors import InputError, Stopped

USERS = """\
import json
import sys

from sacp.errors import InputError

LIMIT = 3


def double(number, *, plus=0):
    return 2 * number + plus


def divide(number):
    return inner(number)


def inner(number):
    return 1 / number


def many_lines():
    raise ValueError("one\\ntwo  " + "x" * 1000)


def mistake():
    raise InputError("images: found none; expected some")


def read(text):
    return json.loads(text)


def stop():
    sys.exit(7)


def stop_in_silence():
    sys.exit()


def interrupt():
    raise KeyboardInterrupt


def give_up():
    raise GeneratorExit


class Wide:
    def __init__(self, *, width):
        self.width = width


def anything(*arguments, **named):
    return arguments, named
"""
BROKEN = {  # modules that cannot be imported, by name: their text, and what is raised in which line
    "raising_module": ("x = 1\ny = {}['no\\nsuch']\n", r"KeyError: 'no\nsuch'", 2),
    "silent_module": ("assert False\n", "AssertionError", 1),
    "ending_module": ("import sys\n\nsys.exit(0)\n", "SystemExit: 0", 3),
    "quitting_module": ("raise SystemExit\n", "SystemExit", 1),
    "needy_module": ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'", 1),
    "parsing_module": ("import json\nx = json.loads('{')\n", "JSONDecodeError: ", 2),
}


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a user, on Python's path."""
    path = tmp_path / "users_module.py"
    path.write_text(USERS)
    (tmp_path / "broken_module.py").write_text("def f(:\n")
    (tmp_path / "interrupted_module.py").write_text("raise KeyboardInterrupt\n")
    for name, (text, *_) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("users_module", "broken_module", "interrupted_module", *BROKEN):
        monkeypatch.delitem(sys.modules, name, raising=False)  # that of another test
    return path


@pytest.mark.parametrize("name", ["a:b", "package.module:function", "_p._m:_f", "p1.m2:f3", "réseaux.größe:网络"])
def test_a_module_and_a_name_in_it_are_an_import_path(name):
    assert imports.is_path(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "l1", "package.module", "a:", ":b", "a:b:c", "a.b:c.d", ".a:b", "a.:b", "a..b:c", "1a:b", "a:1b", "a b:c",
        "a:b ", "a:b\n", "a-b:c", "path/to.py:f", "https://a:b", "my-net:build", "a:b-c",
        "a::b", "a/b:c", "²:b",
    ],
)  # fmt: skip
def test_anything_else_is_none(name):
    assert not imports.is_path(name)


def test_what_a_path_names_is_loaded_whatever_it_is(users):
    assert imports.load("users_module:LIMIT") == 3
    assert imports.load("users_module:double")(4) == 8
    assert imports.load("sacp.errors:InputError") is InputError
    assert imports.load("pathlib:Path") is Path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("users_module:no_such", "has no attribute 'no_such'"),
        ("sacp.nobody:f", "No module named 'sacp.nobody'"),
        ("broken_module:f", "invalid syntax"),
        (":f", "Empty module name"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_in_one_line(users, path, words):
    with pytest.raises(InputError, match=f"cannot import '{path}'.*{words}.*; expected 'module:function'") as caught:
        imports.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("folders", "told"), [("a:b", "which is 'a:b'"), ("", "which is not set")])
def test_where_a_module_was_looked_for_is_told(monkeypatch, folders, told):
    monkeypatch.setenv("PYTHONPATH", folders)
    with pytest.raises(InputError) as caught:
        imports.load("no_such_module:f")
    assert str(caught.value).endswith(f"; expected 'module:function' in a folder on PYTHONPATH, {told}")


def test_the_file_that_has_no_such_name_is_told(users):
    with pytest.raises(InputError, match=rf"on PYTHONPATH, which has {users}$"):
        imports.load("users_module:no_such")


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_raises_or_ends_when_it_is_imported_is_one_line_with_the_file_and_the_line(users, name):
    _, raised, line = BROKEN[name]
    with pytest.raises(InputError) as caught:
        imports.load(f"{name}:f")
    text = str(caught.value)
    assert text.startswith(f"cannot import '{name}:f': {raised}")
    assert text.endswith(f" ({users.with_name(name)}.py, line {line})")
    assert "\n" not in text


def test_an_interrupt_while_a_module_is_imported_passes(users):
    with pytest.raises(KeyboardInterrupt):
        imports.load("interrupted_module:f")


def test_a_function_is_called_with_all_arguments(users):
    assert imports.call("users_module:double", 4, plus=1) == 9
    assert imports.call("sacp.errors:nearest", "treshold", known=["threshold"]) == " (did you mean 'threshold'?)"


def test_a_users_function_that_raises_is_one_line_with_the_file_and_the_line(users):
    line = 1 + USERS.splitlines().index("    return 1 / number")
    with pytest.raises(InputError) as caught:
        imports.call("users_module:divide", 0)
    assert str(caught.value) == (
        f"'users_module:divide' fails: ZeroDivisionError: division by zero ({users}, line {line})"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_line_is_the_users_and_none_of_the_libraries_that_it_calls(users):
    line = 1 + USERS.splitlines().index("    return json.loads(text)")
    with pytest.raises(
        InputError, match=rf"'users_module:read' fails: JSONDecodeError: .* \(.*, line {line}\)$"
    ) as caught:
        imports.call("users_module:read", "{")
    assert f"({users}, line {line})" in str(caught.value)


def test_the_line_is_a_librarys_where_nothing_else_has_run(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "installed_module.py").write_text("def f():\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(InputError, match=r"ZeroDivisionError: division by zero \(.*installed_module\.py, line 2\)$"):
        imports.call("installed_module:f")
    monkeypatch.delitem(sys.modules, "installed_module")


def test_a_long_message_of_a_users_function_is_cut_to_one_line(users):
    with pytest.raises(InputError) as caught:
        imports.call("users_module:many_lines")
    text = str(caught.value)
    assert text.startswith("'users_module:many_lines' fails: ValueError: one two xxx")
    assert f"({users}, line " in text
    assert "\n" not in text
    assert len(text) < 400 + len(str(users))


def test_a_users_function_that_cannot_be_called_so_is_named(users):
    with pytest.raises(InputError, match=r"'users_module:double' fails: TypeError: double\(\) takes 1 pos.*") as caught:
        imports.call("users_module:double", 1, users, plus=[3])
    assert str(caught.value).endswith(f" (called with (1, {type(users).__name__}, plus=list))")
    assert "imports.py" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "arguments", "named"),
    [
        ("users_module:double", ("number",), ()),
        ("users_module:double", ("number",), ("plus",)),
        ("users_module:Wide", (), ("width",)),
        ("users_module:anything", ("a", "b"), ("c",)),
        ("builtins:max", ("a", "b"), ("c",)),  # does not say what it takes
        ("sacp.errors:nearest", ("word", "known"), ()),
    ],
)
def test_a_function_that_can_be_called_so_passes_the_check(users, path, arguments, named):
    assert imports.check_call(path, arguments, named) is None


@pytest.mark.parametrize(
    ("path", "arguments", "named", "words"),
    [
        (
            "users_module:double", ("a", "b"), (),
            "'users_module:double' takes (number, *, plus=0), expected a function that can be called with (a, b): too "
            "many positional arguments",
        ),
        ("users_module:double", (), ("num_classes",), "can be called with (num_classes=): missing a required argument"),
        ("users_module:stop", ("task",), (), "'users_module:stop' takes (), expected a function that can be called"),
        ("users_module:Wide", ("width",), (), "'users_module:Wide' takes (*, width), expected"),
        ("sacp.errors:nearest", ("word",), (), "'sacp.errors:nearest' takes (word, known), expected"),
        ("users_module:LIMIT", (), (), "'users_module:LIMIT' is no function"),
        ("users_module:absent", (), (), "cannot import 'users_module:absent'"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_called_so_fails_the_check(users, path, arguments, named, words):
    with pytest.raises(InputError) as caught:
        imports.check_call(path, arguments, named)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_that_a_users_function_names_itself_passes_as_it_is(users):
    with pytest.raises(InputError, match=r"^images: found none; expected some$"):
        imports.call("users_module:mistake")


@pytest.mark.parametrize(
    ("function", "raised", "line"),
    [
        ("stop", "SystemExit: 7", "    sys.exit(7)"), ("stop_in_silence", "SystemExit", "    sys.exit()"),
        ("give_up", "GeneratorExit", "    raise GeneratorExit"),
    ],
)  # fmt: skip
def test_an_end_that_a_users_function_asks_for_is_a_mistake_of_its_own(users, function, raised, line):
    number = 1 + USERS.splitlines().index(line)
    with pytest.raises(InputError) as caught:
        imports.call(f"users_module:{function}")
    assert str(caught.value) == f"'users_module:{function}' fails: {raised} ({users}, line {number})"


def test_an_interrupt_passes(users):
    with pytest.raises(KeyboardInterrupt):
        imports.call("users_module:interrupt")


def test_the_end_that_a_signal_asks_for_passes_a_users_function(users, monkeypatch):
    def ended(*_):
        raise Stopped(143)

    monkeypatch.setattr("json.loads", ended)
    with pytest.raises(SystemExit, match="143"):
        imports.call("users_module:read", "{}")


@pytest.mark.parametrize(
    ("path", "arguments", "error"),
    [
        ("sacp.errors:nearest", ("word", 3), TypeError),
        ("sacp.artefacts.digests:file_digest", ("no/such/file",), FileNotFoundError),
        ("sacp.artefacts.files:read_json", ("no/such/file",), InputError),
    ],
)
def test_exceptions_of_the_librarys_own_functions_pass_as_they_are(path, arguments, error):
    with pytest.raises(error) as caught:
        imports.call(path, *arguments)
    assert type(caught.value) is error


def test_a_path_to_call_that_leads_nowhere_is_refused():
    with pytest.raises(InputError, match="cannot import 'no_such_module:f'"):
        imports.call("no_such_module:f")


@pytest.mark.parametrize(("before", "after"), [(None, "{0}"), ("a:b", "{0}:a:b"), ("a:{0}:b", "{0}:a:b"), ("", "{0}")])
def test_a_folder_is_searched_first_by_child_processes_and_named_once(tmp_path, monkeypatch, before, after):
    monkeypatch.setenv("PYTHONPATH", (before or "").format(tmp_path))
    if before is None:
        monkeypatch.delenv("PYTHONPATH")
    imports.search_first(tmp_path)
    assert os.environ["PYTHONPATH"] == after.format(tmp_path)
