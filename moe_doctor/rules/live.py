"""4xx selection: the installed engine asked for itself."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.rules.rule import Rule

DIFFERS = Rule(
    "MOE431",
    "live-differs-from-tables",
    Severity.WARNING,
    "The installed engine answers otherwise than moe-doctor's tables for the same release.",
    "The engine's own code was run, so its answer is the one that is reported. The installation "
    "may be patched, a package may behave otherwise than its version says, or the tables are "
    "wrong.",
    "Trust the engine's answer; report the difference if the installation is unchanged.",
)
NOT_IN_TABLES = Rule(
    "MOE432",
    "live-release-not-in-tables",
    Severity.INFO,
    "The installed version is in no table: its answer was compared with nothing.",
    "A fork, a development build or a newer release follows its own rules. The engine itself was "
    "asked, so the answer holds; what happens after the choice is known for releases alone.",
    "",
)
NOT_ASKED = Rule(
    "MOE433",
    "live-failed",
    Severity.WARNING,
    "The installed engine could not be asked, and the tables answered in its place.",
    "Asking runs the engine's configuration and its model class in a child process. Where that "
    "fails for a reason other than the experts, the answer of the same release's tables stands.",
    "Read the reason; --engine vllm@VERSION asks the tables without trying.",
)
EMULATED = Rule(
    "MOE434",
    "live-on-emulated-machine",
    Severity.INFO,
    "The installed engine was asked about a machine that was emulated for it.",
    "Capability, name and memory of the device came from the options; the packages, the compiled "
    "code and everything that is concluded from them are this environment's.",
    "",
)
STOOD_IN = Rule(
    "MOE435",
    "live-stand-in",
    Severity.INFO,
    "Something that the installed engine asks for was not there and was stood in for.",
    "Compiled code that does not load, a configuration class that is remote code, a package that "
    "is claimed and not installed: the answer holds as far as the stand-in does.",
    "",
)
ASKED_OTHERS = Rule(
    "MOE436",
    "live-asks-other-candidates",
    Severity.INFO,
    "The installed engine chooses as the tables say, after asking other candidates.",
    "The choice agrees; the list of classes that were asked, or a reason, does not.",
    "",
)

RULES = (DIFFERS, NOT_IN_TABLES, NOT_ASKED, EMULATED, STOOD_IN, ASKED_OTHERS)
