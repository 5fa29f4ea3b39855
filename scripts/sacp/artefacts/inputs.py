"""What is read is what was written: files that a job reads, compared with the records beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sacp.artefacts import lookup
from sacp.artefacts.digests import file_digest
from sacp.errors import InputError

ANEW = "delete it and run the same command again"
SHORT = 12  # characters shown of a digest


@dataclass(frozen=True)
class Input:
    """A file that a job reads."""

    path: Path
    digest: str  # SHA-256
    made: lookup.Record | None  # its record; None of a file that the pipeline did not make


def checked(paths: Iterable[str | Path], results: Path | None = None, largest: float = float("inf")) -> list[Input]:
    """The files of a job, each as its record says that it was written, and made from one another.

    Args:
        paths: the files.
        results: the folder of all that the run makes; what lies in it has a record. None if it is not known.
        largest: files of more bytes are not read; they are taken to be what their records say.

    Raises:
        InputError: a file is missing, was changed since it was written, belongs to another place, has no record
            although the pipeline made it, or was made from other files than those that the job reads with it.
    """
    found = [_checked(Path(path), results, largest) for path in paths]
    if results is not None:
        _check_sources([each for each in found if each.path.is_relative_to(results)], results)
    return found


def _checked(path: Path, results: Path | None, largest: float) -> Input:
    try:
        pair = lookup.find(path)
        expected = pair[1]["outputs"].get(path.name) if pair else None
        digest = expected if expected and path.stat().st_size > largest else file_digest(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {ANEW}") from None
    except InputError as error:  # of a record, which is made anew with its files alone
        anew = ANEW if path.name.endswith(lookup.SUFFIX) else f"delete {path.name} and run the same command again"
        raise InputError(f"{error}; {anew}") from None
    ours = results if results is not None and path.is_relative_to(results) else None
    if pair is None:
        if ours:
            raise InputError(f"{path}: no record beside it says how it was made; {ANEW}, or move it if it is your own")
        return Input(path, digest, None)
    holder, made = pair
    if expected not in (None, digest):
        raise InputError(
            f"{path}: damaged or changed since it was written (SHA-256 {digest[:SHORT]}, expected "
            f"{expected[:SHORT]} as in {holder.name}); {ANEW}"
        )
    # A record that was copied with its file from another seed, method or experiment says where it was written.
    if ours and made["place"] != (here := holder.relative_to(ours).as_posix()):
        raise InputError(f"{path}: made as {made['place']}, found as {here}; {ANEW}")
    return Input(path, digest, made)


def _check_sources(found: Sequence[Input], results: Path) -> None:
    """Files of one job that come from one file come from the same bytes of it, and from those that the job reads."""
    known = {each.path.relative_to(results).as_posix(): (each.digest, "the one that is there") for each in found}
    for each in found:
        made = each.made or {"inputs": {}, "results": None}
        for source, digest in made["inputs"].items():
            if made["results"] is None or not Path(source).is_relative_to(made["results"]):
                continue
            name = Path(source).relative_to(made["results"]).as_posix()  # the results may have been moved
            other, words = known.setdefault(name, (digest, f"that of {each.path}"))
            if other != digest:
                raise InputError(
                    f"{each.path}: made from another {source} than {words} (SHA-256 {digest[:SHORT]}, expected "
                    f"{other[:SHORT]}); {ANEW}"
                )
