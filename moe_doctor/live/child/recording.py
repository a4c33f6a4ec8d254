"""Listens to vLLM while it chooses: every call of an oracle, and whom the oracle asks.

The oracles are the functions `select_*` of `vllm.model_executor.layers.fused_moe.oracle`, in every
release and fork; experts classes answer `is_supported_config`. Nothing is replaced in them: a
profile hook looks at the frames while an oracle runs.
"""

from __future__ import annotations

import enum
import functools
import importlib
import logging
import pkgutil
import re
import sys
import types
import typing

ORACLES = "vllm.model_executor.layers.fused_moe.oracle"
ELSEWHERE = (
    ("vllm.model_executor.layers.quantization.mxfp4", "get_mxfp4_backend", "legacy_mxfp4"),
    (
        "vllm.model_executor.layers.quantization.utils.humming_utils",
        "select_humming_moe_experts",
        "humming",
    ),
    (
        "vllm.model_executor.layers.quantization.utils.humming.moe",
        "select_humming_moe_experts",
        "humming",
    ),
)
"""Choosing functions outside the oracle package: module, function, name of the oracle."""

_NAME = re.compile(r"select_(\w+?)(?:_moe)?_backend$")
_ASKED = "is_supported_config"


class Recorder:
    """Wraps the oracles once; `calls` holds what was seen since the last `clear`."""

    def __init__(self) -> None:
        self.calls: list[dict[str, typing.Any]] = []
        self.notes: list[str] = []
        self._log = _Lines()
        self._once: list[typing.Any] = []

    def clear(self) -> None:
        """Forget the calls of an earlier build."""
        self.calls = []

    def install(self) -> None:
        """Wrap every oracle where it is defined and wherever it was imported to."""
        import vllm.logger

        self._once = [each for each in vars(vllm.logger).values() if hasattr(each, "cache_clear")]
        logger = logging.getLogger("vllm")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)
        replaced: dict[typing.Any, typing.Any] = {}
        for module, function, oracle in self._found():
            real = getattr(module, function)
            replaced[real] = self._wrap(real, oracle, module)
        for name, loaded in list(sys.modules.items()):
            if name.split(".")[0] != "vllm" or loaded is None:
                continue
            for attribute, value in list(vars(loaded).items()):
                if isinstance(value, types.FunctionType) and value in replaced:
                    setattr(loaded, attribute, replaced[value])

    def _found(self) -> list[tuple[types.ModuleType, str, str]]:
        found = []
        package = importlib.import_module(ORACLES)
        for info in pkgutil.iter_modules(package.__path__):
            name = f"{ORACLES}.{info.name}"
            try:
                module = importlib.import_module(name)
            except Exception as error:  # one broken oracle must not silence the others
                self.notes.append(f"{name} does not import: {type(error).__name__}: {error}")
                continue
            for function, value in vars(module).items():
                match = _NAME.match(function)
                if match and getattr(value, "__module__", "") == name:
                    # The file is called int_wna16, its function select_wna16_moe_backend.
                    oracle = info.name if match[1] == "wna16" else match[1]
                    found.append((module, function, oracle))
        for name, function, oracle in ELSEWHERE:
            try:
                module = importlib.import_module(name)
            except ImportError:  # another release's place
                continue
            if hasattr(module, function):
                found.append((module, function, oracle))
        return found

    def _wrap(
        self, real: typing.Any, oracle: str, module: types.ModuleType
    ) -> typing.Callable[..., typing.Any]:
        @functools.wraps(real)
        def listening(*args: typing.Any, **kwargs: typing.Any) -> typing.Any:
            call: dict[str, typing.Any] = {
                "oracle": oracle,
                "prefix": _prefix(sys._getframe(1)),
                "backend": None,
                "kernel": None,
            }
            self.calls.append(call)
            for each in self._once:
                each.cache_clear()
            self._log.lines = []
            hook = _Hook(real.__code__)
            before = sys.getprofile()
            sys.setprofile(hook)
            try:
                result = real(*args, **kwargs)
            except BaseException as error:
                call["error"] = {"type": type(error).__name__, "message": str(error)}
                raise
            finally:
                sys.setprofile(before)
                call["asked"] = hook.asked
                call["candidates"] = [backend.value for backend in hook.candidates]
                call["log"] = [line for line in self._log.lines if "backend" in line.lower()][:1]
            first, kernel = result[:2] if isinstance(result, tuple) else (result, None)
            if isinstance(first, type):
                first, kernel = None, first
            call["backend"] = first.value if isinstance(first, enum.Enum) else None
            call["kernel"] = kernel.__name__ if isinstance(kernel, type) else None
            _name_backends(module, hook, first)
            call["option"] = _option(module, first)
            call["rest"] = _ask_rest(module, hook, first)
            return result

        return listening


class _Lines(logging.Handler):
    """Keeps what vLLM logs at INFO and above."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


class _Hook:
    """A profile function: notes the outermost `is_supported_config` calls and their answers."""

    def __init__(self, oracle: types.CodeType) -> None:
        self.asked: list[dict[str, typing.Any]] = []
        self.candidates: list[typing.Any] = []
        self.question: dict[str, typing.Any] = {}
        self._oracle = oracle
        self._inside: types.FrameType | None = None

    def __call__(self, frame: types.FrameType, event: str, value: typing.Any) -> None:
        """Called by the interpreter for every Python function that starts or returns."""
        if event == "call":
            if self._inside is None and frame.f_code.co_name.startswith(_ASKED):
                self._inside = frame
        elif event == "return":
            if frame is self._inside:
                self._inside = None
                self._note(frame, value)
            elif frame.f_code is self._oracle:
                self.candidates = _candidates(frame.f_locals)

    def _note(self, frame: types.FrameType, value: typing.Any) -> None:
        seen = frame.f_locals
        kernel = seen.get("cls")
        self.question = dict(seen)
        fits, reason = value if isinstance(value, tuple) else (None, "raised an exception")
        backend = self._backend(frame.f_back)
        self.asked.append(
            {
                "backend": backend.value if backend is not None else None,
                "kernel": kernel.__name__ if isinstance(kernel, type) else None,
                "accepted": bool(fits),
                "reason": reason,
                "format": getattr(seen.get("activation_format"), "name", ""),
            }
        )

    def _backend(self, frame: types.FrameType | None) -> enum.Enum | None:
        """The member on whose behalf a class is asked: the nearest local that is one."""
        while frame is not None:
            found = frame.f_locals.get("backend")
            if not _is_backend(found):
                found = next((one for one in frame.f_locals.values() if _is_backend(one)), None)
            if isinstance(found, enum.Enum):
                return found
            if frame.f_code is self._oracle:
                return None
            frame = frame.f_back
        return None


def _is_backend(value: typing.Any) -> bool:
    return isinstance(value, enum.Enum) and type(value).__name__.lower().endswith("backend")


def _candidates(local: typing.Mapping[str, typing.Any]) -> list[typing.Any]:
    """The oracle's own ordered list: the longest local list of backend members."""
    lists = [
        list(value)
        for value in local.values()
        if isinstance(value, (list, tuple)) and value and all(_is_backend(one) for one in value)
    ]
    return max(lists, key=len, default=[])


def _prefix(frame: types.FrameType | None) -> str:
    """Name of the layer that is being built: the nearest `prefix` up the stack."""
    while frame is not None:
        prefix = frame.f_locals.get("prefix")
        if isinstance(prefix, str) and prefix:
            return prefix
        layer = frame.f_locals.get("layer")
        name = getattr(layer, "layer_name", None)
        if isinstance(name, str) and name:
            return name
        frame = frame.f_back
    return ""


def _finder(module: types.ModuleType) -> typing.Any:
    """The module's own function from a backend to its classes, or None."""
    names = [name for name in vars(module) if name.endswith("backend_to_kernel_cls")]
    return vars(module)[names[0]] if names else None


def _name_backends(module: types.ModuleType, hook: _Hook, chosen: typing.Any) -> None:
    """Whose class it is that was asked outside the oracle's own loop."""
    find = _finder(module)
    if find is None or not isinstance(chosen, enum.Enum):
        return
    for entry in hook.asked:
        if entry["backend"] is not None:
            continue
        for backend in type(chosen):
            try:
                classes = find(backend)
            except Exception:  # a member whose package is absent owns no class here
                continue
            owned = classes if isinstance(classes, (list, tuple)) else [classes]
            if entry["kernel"] in [getattr(one, "__name__", None) for one in owned]:
                entry["backend"] = backend.value
                break


def _option(module: types.ModuleType, backend: typing.Any) -> str | None:
    """The `--moe-backend` value that asks for `backend`, by the module's own mapping."""
    try:
        from vllm.config.kernel import MoEBackend
    except ImportError:  # before 0.17 there was no such option
        return None
    for name, mapping in vars(module).items():
        if not (name.startswith("map_") and name.endswith("_backend") and callable(mapping)):
            continue
        for option in typing.get_args(MoEBackend):
            try:
                mapped = mapping(option)
            except (ValueError, KeyError):  # this oracle has no such backend
                continue
            if mapped == backend or (isinstance(mapped, (list, tuple)) and backend in mapped):
                return str(option)
    return None


def _ask_rest(
    module: types.ModuleType, hook: _Hook, chosen: typing.Any
) -> list[dict[str, typing.Any]]:
    """What the candidates that the oracle never came to would have answered."""
    find = _finder(module)
    asked = {one["backend"] for one in hook.asked}
    question = hook.question
    known = ("moe_config", "weight_key", "activation_key", "activation_format")
    rest: list[dict[str, typing.Any]] = []
    for backend in hook.candidates:
        if backend == chosen or backend.value in asked:
            continue
        entry: dict[str, typing.Any] = {"backend": backend.value, "kernel": None}
        entry.update(accepted=False, reason="")
        rest.append(entry)
        if find is None or not all(name in question for name in known):
            continue
        try:
            classes = find(backend)
            for one in classes if isinstance(classes, (list, tuple)) else [classes]:
                entry["kernel"] = one.__name__
                arguments = [question[name] for name in known]
                entry["accepted"], entry["reason"] = one.is_supported_config(one, *arguments)
                if entry["accepted"]:
                    break
        except Exception as error:  # the engine never asked: what it would raise is a reason
            entry["reason"] = f"{type(error).__name__}: {error}"
    return rest
