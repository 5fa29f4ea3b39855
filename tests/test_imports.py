"""Functions that a config names by import path: the library's, and a user's."""

import os
import sys
from pathlib import Path

import pytest
from sacp import imports
from sacp.errors import InputError

USERS = """\
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


def stop():
    raise SystemExit(7)
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a user, on Python's path."""
    path = tmp_path / "users_module.py"
    path.write_text(USERS)
    (tmp_path / "broken_module.py").write_text("def f(:\n")
    (tmp_path / "raising_module.py").write_text("x = {}['no\\nsuch']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("users_module", "broken_module", "raising_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # that of another test
    return path


@pytest.mark.parametrize("name", ["a:b", "package.module:function", "_p._m:_f", "p1.m2:f3"])
def test_a_module_and_a_name_in_it_are_an_import_path(name):
    assert imports.is_path(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "l1", "package.module", "a:", ":b", "a:b:c", "a.b:c.d", ".a:b", "a.:b", "a..b:c", "1a:b", "a:1b", "a b:c",
        "a:b ", "a:b\n", "a-b:c", "path/to.py:f", "https://a:b",
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
        ("raising_module:x", "no"),
        (":f", "Empty module name"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_in_one_line(users, path, words):
    with pytest.raises(InputError, match=f"cannot import '{path}'.*{words}.*; expected 'module:function'") as caught:
        imports.load(path)
    assert "\n" not in str(caught.value)


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


def test_a_long_message_of_a_users_function_is_cut_to_one_line(users):
    with pytest.raises(InputError) as caught:
        imports.call("users_module:many_lines")
    text = str(caught.value)
    assert text.startswith("'users_module:many_lines' fails: ValueError: one two xxx")
    assert f"({users}, line " in text
    assert "\n" not in text
    assert len(text) < 400 + len(str(users))


def test_a_users_function_that_cannot_be_called_so_is_named(users):
    with pytest.raises(InputError, match=r"'users_module:double' fails: TypeError: double\(\) takes 1 positional"):
        imports.call("users_module:double", 1, 2)


def test_a_mistake_that_a_users_function_names_itself_passes_as_it_is(users):
    with pytest.raises(InputError, match=r"^images: found none; expected some$"):
        imports.call("users_module:mistake")


def test_an_end_that_a_users_function_asks_for_passes(users):
    with pytest.raises(SystemExit, match="7"):
        imports.call("users_module:stop")


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
