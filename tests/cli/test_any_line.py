"""No line of words, however odd, ends in a defect."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe_doctor.cli.app import COMMANDS, load_command
from moe_doctor.cli.main import main
from moe_doctor.cli.pasted import is_pasted, parse_pasted
from moe_doctor.core.errors import UsageError
from tests.cli.fake_doctor import FakeDoctor

FLAGS = sorted(
    {
        flag
        for name in COMMANDS
        for each in load_command(name).params
        for flag in (*each.opts, *each.secondary_opts)
        if flag.startswith("-") and flag not in ("-o", "--output")
    }
)
WORDS = st.one_of(
    st.sampled_from([*FLAGS, *COMMANDS, "--", "vllm", "serve", "-h", "=", "-", "8", "json"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
    st.sampled_from(FLAGS).map(lambda flag: f"{flag}="),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(command=st.sampled_from([*COMMANDS, ""]), words=st.lists(WORDS, max_size=6))
def test_any_line_ends_in_a_report_or_in_a_clear_error(
    doctor: FakeDoctor, capsys: pytest.CaptureFixture[str], command: str, words: list[str]
) -> None:
    code = main([command, *words] if command else words)
    captured = capsys.readouterr()
    assert code in (0, 1, 2, 3)
    assert "Traceback" not in captured.err
    if code == 2:
        assert captured.err.startswith(("error: ", "note: "))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=8))
def test_any_pasted_line_is_parsed_or_refused(words: list[str]) -> None:
    arguments: tuple[str, ...] = ()
    with suppress(UsageError):
        arguments = parse_pasted(words).arguments if is_pasted(words) else ()
    assert all(isinstance(each, str) for each in arguments)
