"""Files of configs, read strictly; `test_config` looks at the numbers in them."""

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from sacp.errors import InputError
from sacp.plan import reading

SLIPS = {
    "no end": ("a: {b: 1\nc: [2\n", ", line 2: not YAML: expected ',' or '}', but got ':' (while parsing"),
    "tab": ("a:\n\tb: 1\n", ", line 2: not YAML: found character '\\t' that cannot start any token"),
    "two documents": ("a: 1\n---\nb: 1\n", ", line 2: not YAML: but found another document"),
    "control character": ("a: \x07\n", ": not YAML: unacceptable character #x0007"),
    "twice at the top": ("a: 1\nb: 1\n'a': 2\n", ", line 3: key 'a' stands in line 1 too, in the same mapping"),
    "twice below": ("a:\n  - {b: 1, c: 2,\n     b: 3}\n", ", line 3: key 'b' stands in line 2 too, in the same"),
    "twice in JSON": ('{"a": {"b": 1,\n\t"b": 2}}', ": key 'b' stands twice in one mapping; expected it once"),
    "octal": ("a: 1\nb: [010]\n", ", line 2: YAML reads 010 as 8; write that number"),
    "base 60": ("a: 1:30\n", ", line 1: YAML reads 1:30 as 90; write that number"),
    "empty": ("", ": no keys at the top level; expected a mapping of settings"),
    "a list": ("- a\n", ": no keys at the top level"),
    "a list in JSON": ("[1]", ": no keys at the top level"),
    "a tag of Python": ("a: 1\nb: !!python/name:os.system x\n", ", line 2: the tag tag:yaml.org,2002:python"),
    "an alias of itself": ("a: 1\nb: &b [1, *b]\n", ", line 2: what begins here holds an alias of itself"),
    "aliases of aliases": (
        "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
        ": more than 1000000 values, with what aliases repeat",
    ),
    "base 60 with a point": ("a: -1:30.5\n", ", line 1: YAML reads -1:30.5 as -90.5; write that number"),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_in_one_line_with_the_file_and_the_line(tmp_path: Path, slip: str) -> None:
    text, expected = SLIPS[slip]
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        reading.check_file(tmp_path / "my.yaml")
    message = str(caught.value).removeprefix(str(tmp_path / "my.yaml"))
    assert message.startswith(expected)
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: 1}\nc: {b: 1}\n",
        "a: &shared {b: 1}\nc: {<<: *shared, b: 2}\nd: *shared\n",
        "a: [0, 7, 0x10, 1_000, 07, 1.0e6, 1e6, '010', '1:30', 2026-01-31]\n",
        '{"a": 1,\n\t"b": {"a": 1}}',
        "?if x:\n  a: 1\n?else:\n  a: 2\n",
    ],
)
def test_what_is_right_passes(tmp_path: Path, text: str) -> None:
    (tmp_path / "my.yaml").write_text(text)
    reading.check_file(tmp_path / "my.yaml")


def test_a_file_that_cannot_be_read_is_named_once_with_the_line_where_it_is_not_utf_8(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: 1\n# gr\u00fcn\n".encode("latin-1"))
    for path, words in (
        (tmp_path / "missing.yaml", ": cannot be read (No such file or directory)"),
        (tmp_path, ": cannot be read (Is a directory)"),
        (latin, ", line 2: found the byte 0xfc, which is not UTF-8; expected UTF-8"),
    ):
        with pytest.raises(InputError) as caught:
            reading.check_file(path)
        assert str(caught.value) == f"{path}{words}"


def test_the_command_names_the_line_with_status_1_and_is_silent_where_all_is_right(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("a: [1\n")
    command = [sys.executable, "-m", "sacp.plan.reading", str(ROOT / "config/demo.yaml")]
    where = {"cwd": ROOT / "scripts", "text": True, "capture_output": True}
    right = subprocess.run(command, check=True, **where)  # type: ignore[call-overload]
    wrong = subprocess.run([*command, str(tmp_path / "my.yaml")], check=False, **where)  # type: ignore[call-overload]
    assert (right.stdout, right.stderr) == ("", "")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"error: {tmp_path / 'my.yaml'}, line 2: not YAML: ")
    assert wrong.stderr.count("\n") == 1


def test_shipped_configs_pass() -> None:
    for path in (ROOT / "config").glob("*.yaml"):
        reading.check_file(path)
