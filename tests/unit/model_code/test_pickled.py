"""Records of a TorchScript file are followed, not built."""

from __future__ import annotations

import pytest

from pipeline.model_code.pickled import PickleError, check_pickle

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
        (b")RtR.", b")RtRN.", "expected one value at its end, found 2"),
        (b")RtR.", b")RtR..", "found 1 bytes more"),
        (b")RtR.", b")RtR", "ValueError: pickle exhausted before seeing STOP"),
        (b")RtR.", b"tttt.", "expected a mark below the values, found none"),
        (b")RtR.", b")RtRr\xff\xff\xff\x7f.", "expected memo numbers to count up from 0, found 2147483647"),
        (b")RtR.", b")RtRh\x09.", "KeyError: 9"),
        (b")RtR.", b"RRRR.", "found "),
    ],
)
def test_what_torch_does_not_write(old: bytes, new: bytes, says: str) -> None:
    assert _TENSOR.count(old) == 1
    with pytest.raises(PickleError) as caught:
        check_pickle(_TENSOR.replace(old, new), {"0": 24}, ())
    assert says in str(caught.value)
