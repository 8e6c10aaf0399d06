"""The user's modules are found, kept apart and read anew after an edit; their faults are reported in one line."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from pipeline.engine import user_code
from pipeline.engine.reads import ANY_FILE, recording
from pipeline.engine.user_code import faults_of_the_user, import_factory, user_modules
from pipeline.errors import DataError, UsageError


def _write(folder: Path, **sources: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return folder


def test_a_factory_and_what_it_imports_when_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write(tmp_path / "a", my_one="def f(n):\n    import my_two\n    return my_two.X + n\n", my_two="X = 1\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert import_factory("my_one:f", Path("a"))(n=2) == 3
    assert import_factory("my_one:f", folder)(n=4) == 5
    assert sys.path == before
    assert not list(folder.rglob("*.pyc"))


def test_what_a_factory_imports_reports_to_no_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    source = "import os\nAT_IMPORT = os.environ.get('ORT_DISABLE_TELEMETRY')\ndef f():\n    return AT_IMPORT\n"
    assert import_factory("my_one:f", _write(tmp_path / "a", my_one=source))() == "1"


def test_two_folders_with_the_same_module_names_do_not_mix(tmp_path: Path) -> None:
    source = "import my_two\ndef f():\n    import my_three\n    return my_two.X + my_three.X\n"
    a = _write(tmp_path / "a", my_one=source, my_two="X = 'a'", my_three="X = 'a'")
    b = _write(tmp_path / "b", my_one=source, my_two="X = 'b'", my_three="X = 'b'")
    of_a, of_b = import_factory("my_one:f", a), import_factory("my_one:f", b)
    assert (of_a(), of_b(), of_a()) == ("aa", "bb", "aa")
    assert import_factory("my_one:f", b)() == "bb"


def test_folders_within_each_other_do_not_mix(tmp_path: Path) -> None:
    a, b = (_write(tmp_path / name, my_one=f"def f():\n    return '{name}'\n") for name in "ab")
    with user_modules(a):
        assert import_factory("my_one:f", b)() == "b"
        assert import_factory("my_one:f", a)() == "a"
        import my_one  # type: ignore[import-not-found]

        assert my_one.f() == "a"


def test_a_module_imported_elsewhere_under_the_same_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = _write(tmp_path / "elsewhere", my_namesake="def f():\n    return 'elsewhere'\n")
    folder = _write(tmp_path / "a", my_namesake="def f():\n    return 'a'\n")
    monkeypatch.syspath_prepend(elsewhere)
    import my_namesake  # type: ignore[import-not-found]

    try:
        assert import_factory("my_namesake:f", folder)() == "a"
        assert sys.modules["my_namesake"] is my_namesake
    finally:
        del sys.modules["my_namesake"]


def test_an_edit_within_the_same_second_is_noticed(tmp_path: Path) -> None:
    folder = _write(tmp_path / "a", my_one="import my_two\ndef f():\n    return my_two.X\n", my_two="X = 1\n")
    assert import_factory("my_one:f", folder)() == 1
    _write(folder, my_two="X = 2\n")
    assert import_factory("my_one:f", folder)() == 2


def test_a_dotted_module_in_a_package(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    package = _write(
        tmp_path / "a" / "nets", __init__="", small="from nets.base import X\ndef f():\n    return X\n", base="X = 7"
    )
    assert import_factory("nets.small:f", package.parent)() == 7


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("my_none:f", r"factory my_none:f: expected a module my_none in .* or installed, found none"),
        ("my_one:g", r"factory my_one:g: expected a function g in .*my_one\.py, found these functions: f"),
        (
            "my_missing:f",
            r"importing my_missing: ModuleNotFoundError: No module named 'no_such' \(.*my_missing\.py:1\)",
        ),
        ("my_wrong:f", r"importing my_wrong: SyntaxError: .* \(.*my_wrong\.py:2\)"),
        ("my_raising:f", r"importing my_raising: ZeroDivisionError: division by zero \(.*my_raising\.py:1\)"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, spec: str, text: str) -> None:
    folder = _write(
        tmp_path / "a",
        my_one="def f():\n    pass\n",
        my_missing="import no_such\n",
        my_wrong="\ndef f(:\n",
        my_raising="1 / 0\n",
    )
    with pytest.raises(UsageError, match=text) as caught:
        import_factory(spec, folder)
    assert "\n" not in str(caught.value)


def test_what_a_factory_raises_is_told_with_its_line(tmp_path: Path) -> None:
    folder = _write(tmp_path / "a", my_one="import json\ndef f(text):\n    return json.loads(text)\n")
    factory = import_factory("my_one:f", folder, failure=DataError)
    with pytest.raises(DataError, match=r"factory my_one:f: JSONDecodeError: Expecting value.* \(.*my_one\.py:3\)"):
        factory(text="x")
    with pytest.raises(
        UsageError, match=r"expected arguments of f\(text\), found: missing a required argument: 'text'"
    ):
        factory()


def test_our_own_packages_are_never_taken_for_the_users(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[3]
    import pipeline.errors

    with user_modules(checkout):
        pass
    with user_modules(tmp_path):
        assert sys.modules["pipeline.errors"] is pipeline.errors


def test_what_importing_a_module_reads_counts_for_every_stage_and_a_call_for_its_own(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(
        "from pathlib import Path\nHERE = Path(__file__).parent\nTABLE = (HERE / 'table.txt').read_text()\n"
    )
    (tmp_path / "my_data.py").write_text(
        "import shared\ndef load():\n    return (shared.HERE / 'rows.txt').read_text()\n"
    )
    (tmp_path / "my_nets.py").write_text(
        "import shared\ndef build():\n    return (shared.HERE / 'w.txt').read_text()\n"
    )
    for name in ("table.txt", "rows.txt", "w.txt"):
        (tmp_path / name).write_text("")
    import_factory("my_data:load", tmp_path, covered=[ANY_FILE])()  # as for data without a path
    with recording(tmp_path) as reads:
        import_factory("my_nets:build", tmp_path)()
    assert [name for name in reads.digests if name.endswith(".txt")] == ["table.txt", "w.txt"]


def test_what_a_module_reads_counts_for_the_factories_that_it_belongs_to_whatever_was_imported_before(
    tmp_path: Path,
) -> None:
    read = "from pathlib import Path\nTEXT = Path(__file__).with_suffix('.txt').read_text()\n"
    folder = _write(
        tmp_path / "a",
        shared=read,
        my_data=f"{read}import shared\ndef load():\n    return shared.TEXT\n",
        my_nets="import shared\ndef build():\n    return shared.TEXT\n",
    )
    for name in ("shared", "my_data"):
        (folder / f"{name}.txt").write_text("")
    import_factory("my_data:load", folder)()
    with recording(folder) as reads:
        import_factory("my_nets:build", folder)()
    assert [name for name in reads.digests if name.endswith(".txt")] == ["shared.txt"]


LATE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, values):
        hidden = self.layer(values)
        return hidden[values.shape[0]]

def build():
    return Net()

def library():
    return nn.Linear(7, 3)
"""


@pytest.mark.parametrize(("function", "place"), [("build", "my_late.py:11"), ("library", "linear.py:")])
def test_what_a_network_raises_later_is_its_owners_fault(tmp_path: Path, function: str, place: str) -> None:
    import torch

    from pipeline.models.preprocess import ToFloat
    from pipeline.models.spec import Deployable

    folder = _write(tmp_path / "a", my_late=LATE)
    network = import_factory(f"my_late:{function}", folder)()
    model = Deployable(preprocess=ToFloat(), network=network)
    with pytest.raises(UsageError) as told, faults_of_the_user("stage train"):
        model(torch.zeros(4, 2))
    text = str(told.value)
    assert text.startswith("stage train: your own code raised ")
    assert place in text
    assert "\n" not in text


def test_what_our_own_code_raises_stays_ours(tmp_path: Path) -> None:
    from pipeline.engine.source import library_versions

    folder = _write(tmp_path / "a", my_one="def f(call):\n    return call\n")
    call = import_factory("my_one:f", folder)(call=library_versions)
    with pytest.raises(TypeError), faults_of_the_user("stage train"):
        call(3)


def test_pythons_own_modules_below_a_recipes_folder_are_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    above_python = Path(sysconfig.get_path("stdlib")).parent
    monkeypatch.setattr(user_code, "_loaded", {above_python: {}})  # as with an environment of conda beside the recipe
    with pytest.raises(json.JSONDecodeError), faults_of_the_user("stage data"):
        json.loads("no document of the user's")
