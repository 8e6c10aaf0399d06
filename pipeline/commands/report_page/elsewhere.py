"""How to run the packed file: code to copy, after `docs/elsewhere.md`, with the names of this very archive."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import assert_never

from pipeline._handlers.description import Serving
from pipeline._handlers.runtimes import RuntimeKind
from pipeline.archive.mar import Archive
from pipeline.commands.report_page.own_example import own_example
from pipeline.pages.report.document import Snippet


@dataclass(frozen=True, kw_only=True)
class _Python:
    """How a file is run by a library in Python."""

    file: str
    needs: str
    one: str
    several: str


# The archive that the page's code is about, and what is said of its model there.
_DEMO = "model_store/fashion-cnn.mar"
_DECIDES = 'print(serving["labels"][int(logits[-1].argmax())])'
# By library: the template, what it needs, and the lines that take one output and several.
_PYTHON: dict[RuntimeKind, _Python] = {
    "onnxruntime": _Python(
        file="onnxruntime.py.txt",
        needs="pip install onnxruntime numpy safetensors",
        one="        (logits,) = session.run(None, batch)\n",
        several="        answers = session.run(None, batch)\n"
        "        logits = np.concatenate([answer.reshape(len(answer), -1) for answer in answers], axis=1)\n",
    ),
    "torchscript": _Python(
        file="torchscript.py.txt",
        needs="pip install torch numpy safetensors",
        one="            logits = model(*(values[start : start + size] for values in inputs)).numpy()\n",
        several="            answers = model(*(values[start : start + size] for values in inputs))\n"
        "            answers = answers if isinstance(answers, tuple) else (answers,)\n"
        "            logits = torch.cat([answer.reshape(len(answer), -1) for answer in answers], dim=1).numpy()\n",
    ),
}
_CPP_TYPES = {"uint8": "std::uint8_t", "float32": "float", "int64": "std::int64_t"}


def elsewhere_of(archive: Archive) -> tuple[Snippet, ...]:
    """Write how to serve the archive, and how to run its file in another program."""
    return tuple(_snippets(archive))


def _snippets(archive: Archive) -> Iterator[Snippet]:
    serving, name = archive.serving, archive.path.name
    quoted = shlex.quote(name)
    yield Snippet(
        name="Serve it over HTTP",
        text=f"With the package pipeline, beside {name}, the archive that the build made. The server replays the "
        "archive's golden inputs (examples that were packed with their answers) before it takes a request.",
        code=f"pipeline verify {quoted} --digest {archive.digest}\npipeline serve {quoted} --detach --port 8080\n"
        f"{_ask(serving)}\npipeline stop --port 8080\n",
    )
    kind = serving.runtime.kind
    needs = _PYTHON[kind].needs
    yield Snippet(
        name="Python, without this package",
        text=f"{needs}. It replays the golden inputs, which are examples that the archive holds with their answers: "
        "raw values in, preprocessing is in the file.",
        code=_python(serving, name),
    )
    yield own_example(serving)
    yield Snippet(
        name="Take the file out",
        text="An archive is a zip. serving.json names inputs, labels and what the outputs are.",
        code=f"unzip -p {quoted} {shlex.quote(serving.runtime.file)} > {shlex.quote(serving.runtime.file)}\n"
        f"unzip -p {quoted} serving.json\n",
    )
    if kind == "onnxruntime" and (code := _cpp(serving)):
        yield Snippet(
            name="C++, with ONNX Runtime",
            text="Raw values of one example on standard input, the outputs on standard output. Java, Triton and KServe "
            "are in the package's documentation, on its page elsewhere.md.",
            code=code,
        )


def _ask(serving: Serving) -> str:
    url = f"http://127.0.0.1:8080/predictions/{serving.name}"
    if len(serving.inputs) == 1 and serving.inputs[0].decoding is not None:
        return f"curl --data-binary @picture.png {url}"
    return f"curl --json @request.json {url}  # http://127.0.0.1:8080/ in a browser shows an example of a request"


def _python(serving: Serving, name: str) -> str:
    python = _PYTHON[serving.runtime.kind]
    code = _text(python.file).replace(f'"{_DEMO}"', json.dumps(name))
    if serving.outputs:
        code = code.replace(python.one, python.several)
    task = serving.task
    match task:
        case "classification":
            return code
        case "multi-label" | "regression" | "outputs":
            return code.replace(_DECIDES, "print(logits[-1])")
        case _:
            assert_never(task)


def _cpp(serving: Serving) -> str:
    """Write the program; empty where it would have to know more than one input and one output of fixed sizes."""
    [spec, *others] = serving.inputs
    if others or spec.dynamic_axes or serving.outputs or not spec.name.isidentifier():
        return ""
    sizes, kind = " * ".join(map(str, spec.shape)) or "1", _CPP_TYPES[spec.dtype]
    changes: Mapping[str, str] = {
        "28 * 28": sizes,
        "{1, 1, 28, 28}": "{1, " + ", ".join(map(str, spec.shape)) + "}" if spec.shape else "{1}",
        "shape, 4)": f"shape, {len(spec.shape) + 1})",
        '"image"': f'"{spec.name}"',
        "index < 10": f"index < {len(serving.labels)}",
        "std::vector<std::uint8_t>": f"std::vector<{kind}>",
        "CreateTensor<std::uint8_t>": f"CreateTensor<{kind}>",
        "std::fread(pixels.data(), 1,": "std::fread(pixels.data(), sizeof pixels[0],",
    }
    code = _text("onnxruntime.cc.txt")
    for old, new in changes.items():
        code = code.replace(old, new)
    return code if math.prod(spec.shape) else ""


def _text(name: str) -> str:
    return resources.files("pipeline.pages.report").joinpath("snippets", name).read_text(encoding="utf-8")
