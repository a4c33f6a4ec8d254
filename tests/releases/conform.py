"""Our tables beside a real release: fresh random questions, put to both.

    python -m tests.releases.conform --release 0.33.0 --queries 2000 --seed 7

The real answers come from the truth harness (../shared/truth/README.md says how it works and how
to set it up); MOE_DOCTOR_TRUTH names the folder that holds its `.truth`. Exit codes: 0 = all agree,
1 = something differs, 2 = usage, 3 = the real release could not be asked.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.oracle.recorded import INNER_CALLS, other_answers, other_judgements
from tests.releases.questions import SURROUNDINGS, Question, Surroundings, questions
from tests.truth import SHARED

VARIABLE = "MOE_DOCTOR_TRUTH"
Record = dict[str, Any]


class CannotAskError(Exception):
    """The real release gave no answers."""


class Tally(NamedTuple):
    """How a release's oracle was met."""

    release: str
    """The release."""
    oracle: str
    """The oracle."""
    agree: int
    """Questions with the same answer and the same verdicts."""
    total: int
    """Questions that the release could answer."""


def truth_folder() -> Path:
    """The folder of MOE_DOCTOR_TRUTH; raises CannotAskError with what is missing."""
    named = os.environ.get(VARIABLE)
    if not named:
        raise CannotAskError(f"{VARIABLE} is not set; it names the folder that holds .truth")
    folder = Path(named).resolve()
    for needed in (folder / ".truth" / "venv" / "bin" / "python", _script()):
        if not needed.exists():
            raise CannotAskError(f"{needed} is not there; set the truth harness up first")
    return folder


def known_releases(folder: Path) -> list[str]:
    """Releases whose sources are set up, oldest first."""
    found = (path.name.removeprefix("vllm-") for path in (folder / ".truth/src").glob("vllm-*"))
    return sorted(found, key=lambda text: [int(part) for part in text.split(".")])


def ask_real(
    folder: Path, release: str, place: Surroundings, asked: Sequence[Question]
) -> list[Record]:
    """The release's own answers as records; raises CannotAskError when the harness fails."""
    source = folder / ".truth" / "src" / f"vllm-{release}"
    if not source.is_dir():
        raise CannotAskError(f"{source} is not there; run the harness's setup.sh for {release}")
    command = [
        *(".truth/venv/bin/python", str(_script()), "--src", str(source), "--no-log"),
        *("--platform", place.platform, "--capability", place.capability),
        *("--packages", place.packages),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        input="".join(json.dumps(one) + "\n" for one in asked),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != len(asked):
        raise CannotAskError(
            f"the harness gave {len(lines)} answers to {len(asked)} questions on {place} "
            f"(exit code {done.returncode}): {done.stderr[-600:]}"
        )
    head = {"v": release, "cap": place.capability, "pk": place.packages}
    head["platform"] = place.platform
    return [head | {"q": one} | json.loads(line) for one, line in zip(asked, lines, strict=True)]


def differences(record: Record) -> list[Any]:
    """What our answer differs in: outcome, backend, kernel, exception, or a class's verdict."""
    answers = other_answers([record])
    if answers or not _has_trace(record):
        return answers
    return other_judgements([record], INNER_CALLS)


def is_answer(record: Record) -> bool:
    """Whether the release could be asked: it has the oracle, the field and the member."""
    return not ({"unrepresentable", "harness_error", "stage"} & record.keys() or is_guess(record))


def is_guess(record: Record) -> bool:
    """Whether the harness answers for compiled code, and otherwise than it does.

    On 12.x it says yes for mxfp4_experts_quant_supported(), where every published wheel says no
    (tests/oracle/test_recorded_mxfp4.py).
    """
    asked = {name for name, *_ in record.get("visited", ())}
    return record["cap"].startswith("12") and "CutlassExpertsMxfp4" in asked


def drawn_machines(seed: str, release: str, count: int) -> list[Surroundings]:
    """Some of the machines, other ones for another seed or release; all where `count` is large."""
    draw = random.Random(f"{seed} {release}")
    return draw.sample(SURROUNDINGS, max(1, min(count, len(SURROUNDINGS))))


def conform(
    folder: Path, release: str, count: int, seed: str, places: Sequence[Surroundings]
) -> tuple[list[Tally], list[tuple[Record, list[Any]]], Counter[str]]:
    """Ask both; tallies by oracle, the records that differ, and why others could not be asked."""
    agree: Counter[str] = Counter()
    total: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    differ = []
    shares = _shares(count, len(places))
    for place, share in zip(places, shares, strict=True):
        asked = questions(f"{seed} {release} {place}", share, place.platform)
        for record in ask_real(folder, release, place, asked):
            if not is_answer(record):
                left_out[_why_not(record)] += 1
                continue
            oracle = record["q"]["oracle"]
            found = differences(record)
            total[oracle] += 1
            agree[oracle] += not found
            if found:
                differ.append((record, found))
        told = f"{release} {place}: {sum(agree.values())} of {sum(total.values())} agree so far"
        print(told, file=sys.stderr, flush=True)
    tallies = [Tally(release, name, agree[name], total[name]) for name in sorted(total)]
    return tallies, differ, left_out


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.releases.conform", description=__doc__)
    parser.add_argument("--release", action="append", required=True, help="may be repeated")
    parser.add_argument("--queries", type=int, default=2000, help="for each release")
    parser.add_argument("--seed", default="1")
    parser.add_argument(
        "--machines",
        type=int,
        default=len(SURROUNDINGS),
        help="how many of the emulated machines are drawn; all by default",
    )
    parser.add_argument("--show", type=int, default=5, help="differences to print")
    parser.add_argument("--keep", type=Path, help="file for the records that differ, JSON lines")
    options = parser.parse_args(arguments)
    try:
        folder = truth_folder()
        code = 0
        for release in options.release:
            places = drawn_machines(options.seed, release, options.machines)
            found = conform(folder, release, options.queries, options.seed, places)
            code |= _report(release, *found, options.show)
            if options.keep is not None:
                with options.keep.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(record) + "\n" for record, _ in found[1])
    except CannotAskError as error:
        print(f"conform: {error}", file=sys.stderr)
        return 3
    return code


def _report(
    release: str,
    tallies: Sequence[Tally],
    differ: Sequence[tuple[Record, list[Any]]],
    left_out: Counter[str],
    show: int,
) -> int:
    for one in tallies:
        print(f"{release:8} {one.oracle:20} {one.agree:6} of {one.total}")
    print(f"{release:8} not asked: {dict(left_out)}", flush=True)
    for record, found in differ[:show]:
        place = Surroundings(record["platform"], record["cap"], record["pk"])
        print(f"  {place}: {json.dumps(record['q'])}")
        for line in found[:2]:
            print(f"    {line[:-1]}")
    return 1 if differ or not tallies else 0


def _why_not(record: Record) -> str:
    if "unrepresentable" in record:
        return " ".join(str(record["unrepresentable"]).split()[:3])
    if is_guess(record):
        return "guess of the harness"
    return f"harness error: {record['harness_error']}" if "harness_error" in record else "config"


def _has_trace(record: Record) -> bool:
    """Whether the release asks classes at all: the first oracles fix them without asking."""
    since = (0, 20, 0) if record["q"]["oracle"] == "unquantized" else (0, 16, 0)
    return tuple(map(int, record["v"].split("."))) >= since


def _shares(count: int, places: int) -> list[int]:
    return [count // places + (number < count % places) for number in range(places)]


def _script() -> Path:
    return SHARED / "truth" / "oracle_truth.py"


if __name__ == "__main__":
    sys.exit(main())
