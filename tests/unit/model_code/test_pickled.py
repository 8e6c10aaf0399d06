"""Records of a TorchScript file are followed, not built."""

from __future__ import annotations

import pytest

from pipeline.model_code.pickled import PickleError, check_pickle
from pipeline.model_code.stored_values import DeclaredClass

_TENSOR = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR."
)


def test_a_tensor_as_torch_writes_it() -> None:
    check_pickle(_TENSOR, {"0": 24}, ())


def test_an_object_of_the_files_own_class() -> None:
    check_pickle(b"\x80\x02c__torch__.net\nNet\nq\x00)\x81}(X\x01\x00\x00\x00aK\x01ub.", {}, {"__torch__.net.Net"})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"K\x06tQ", b"K\x07tQ", "stored tensor 0: expected at most its 24 bytes, found a claim of 7 elements of 4"),
        (b"K\x06tQ", b"J\xff\xff\xff\xfftQ", "found a claim of -1 elements"),
        (b"K\x06tQ", b"NtQ", "expected a stored tensor's kind, key, device and size, found another tuple"),
        (
            b"\x00\x000X",
            b"\x00\x00/X",
            "expected a stored tensor of a known kind on cpu, found 'torch FloatStorage'",
        ),
        (b"FloatStorage", b"per_tensor_affine", "expected a stored tensor of a known kind on cpu"),
        (b"K\x02K\x03\x86K\x03", b"K\x03K\x03\x86K\x03", "expected a tensor inside its 6 stored elements"),
        (b"QK\x00", b"QK\x01", "expected a tensor inside its 6 stored elements"),
        (b"QK\x00", b"QJ\xff\xff\xff\xff", "expected a tensor inside its 6 stored elements"),
        (
            b"K\x03K\x01\x86\x89",
            b"J\xff\xff\xff\xffK\x01\x86\x89",
            "expected a tensor's storage, offset, sizes",
        ),
        (
            b"K\x03K\x01\x86\x89",
            b"K\x01\x85\x89",
            "sizes and strides, found others",
        ),
        (b"collections\nOrderedDict", b"os\nsystem", "torch's tensors, found 'os system'"),
        (b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_sparse_tensor", "_rebuild_sparse_tensor'"),
        (b")RtR", b"(ios\nsystem\ntR", "expected only operations that torch writes, found INST os system"),
        (b"\x80\x02", b"\x80\x04", "expected only operations that torch writes, found PROTO 4"),
        (b")RtR.", b")RtRN.", "expected one value and no open mark at its end, found 2 and 0"),
        (b")RtR.", b")RtR..", "found 1 bytes more"),
        (b")RtR.", b")RtR", "expected a whole record, found: pickle exhausted before seeing STOP"),
        (b")RtR.", b"tttt.", "expected a mark below the values, found none"),
        (b")RtR.", b")RtRr\xff\xff\xff\x7f.", "expected memo numbers to count up, 0 next, found 2147483647"),
        (b")RtR.", b")RtRh\x09.", "expected a memo number below 0, found 9"),
        (b")RtR.", b"RRRR.", "expected an enumeration or a function of torch to call, found another value"),
    ],
)
def test_what_torch_does_not_write(old: bytes, new: bytes, says: str) -> None:
    assert _TENSOR.count(old) == 1
    with pytest.raises(PickleError) as caught:
        check_pickle(_TENSOR.replace(old, new), {"0": 24}, ())
    assert says in str(caught.value)


_COLOUR = b"c__torch__.net\nColour\n"
_ENUMS = {"__torch__.net.Colour": DeclaredClass(base="Enum", values=(1, 2))}


@pytest.mark.parametrize(
    ("record", "says"),
    {
        # In torch, marks lie beside the stack and not on it: no value is a mark, and no value below the last mark can
        # be reached.
        b"](q\x00.": "expected a value above the last mark, found none",
        b"](K\x01a.": "expected only operations that torch writes, found APPEND None",
        b"}(K\x01K\x02s.": "expected only operations that torch writes, found SETITEM None",
        b"K\x01(\x85.": "expected a value above the last mark, found none",
        b"K\x01(K\x02\x86.": "expected a value above the last mark, found none",
        b"(tc__torch__.net\nNet\n()\x81.": "expected a value above the last mark, found none",
        b"c__torch__.net\nNet\n)\x81(b.": "expected a value above the last mark, found none",
        b"ccollections\nOrderedDict\n(R.": "expected a value above the last mark, found none",
        b")(Q.": "expected a value above the last mark, found none",
        b"K\x01(.": "expected one value and no open mark at its end, found 1 and 1",
        b"]K\x01(a\x86.": "expected only operations that torch writes, found APPEND None",
        b"K\x01(K\x02e.": "expected an empty List below what goes into it, found another value",
        b"}(K\x02e.": "expected an empty List below what goes into it, found another value",
        b"](K\x01K\x02u.": "expected an empty Dict below what goes into it, found another value",
        b"}(K\x01u.": "expected a value for each key of a dictionary, found a key without",
        b"](eq\x00(e.": "expected an empty List below what goes into it, found another value",
        b"]q\x00(e.": "expected a finished value to give a number, found another",
        b"K\x01q\x00q\x00.": "expected memo numbers to count up, 1 next, found 0",
        # torch reads both as numbers, and a call of a number calls the function that has this number.
        b"ctorch\nFloatStorage\n)R.": "expected an enumeration or a function of torch to call, found another value",
        b"ctorch\nper_tensor_affine\n)R.": "expected an enumeration or a function of torch to call, found another",
        b"ctorch\nFloatStorage\n)\x81}b.": "expected a class of the file and no arguments for an object, found others",
        b"c__torch__.net\nNet\n}b.": "expected a new object below its state, found another value",
        b"c__torch__.net\nNet\n)\x81.": "expected objects with their state, found one without",
        b"c__torch__.net\nNet\n}R.": "expected an enumeration or a function of torch to call, found another value",
        b"ccollections\nOrderedDict\nK\x01\x85R.": "expected an ordered dictionary of nothing, found one of arguments",
        # torch leaves nothing on its stack for the second call.
        _COLOUR + b"K\x03R.": "expected a value of the enumeration __torch__.net.Colour, found another",
        _COLOUR + b"\x88R.": "expected a value of the enumeration __torch__.net.Colour, found another",
        _COLOUR + b")\x81}b.": "expected a class of the file and no arguments for an object, found others",
        b"c__torch__\nnet Net\n)\x81}b.": "torch's tensors, found '__torch__ net Net'",
    }.items(),
)
def test_a_stack_that_torch_would_see_otherwise(record: bytes, says: str) -> None:
    with pytest.raises(PickleError) as caught:
        check_pickle(b"\x80\x02" + record, {}, {"__torch__.net.Net", "__torch__.net.Colour"}, _ENUMS)
    assert says in str(caught.value)


def test_a_value_of_an_enumeration() -> None:
    check_pickle(b"\x80\x02" + _COLOUR + b"K\x02R.", {}, _ENUMS, _ENUMS)
