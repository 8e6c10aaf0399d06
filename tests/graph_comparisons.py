"""A small comparison of graphs, made by hand, in which every kind of change occurs."""

from __future__ import annotations

from pipeline.inspection.graph_comparison import (
    CallTime,
    Change,
    ChangeKind,
    GraphComparison,
    GraphFile,
    LayerRow,
    LayerSide,
    LayerTime,
)


def layer(
    kind: str,
    shape: tuple[int, ...],
    *,
    number_format: str = "fp32",
    parameters: int = 0,
    compute: float = 0.0,
    time: tuple[float, float] | None = None,
    stands_for: tuple[str, ...] = (),
    timed_with: str = "",
) -> LayerSide:
    """A layer; its time is microseconds and share."""
    return LayerSide(
        kind=kind,
        operators=(kind,),
        shape=shape,
        channels=shape[0] if parameters else None,
        parameters=parameters,
        macs=round(compute * 1e7),
        compute_share=compute,
        number_format=number_format,
        time=None if time is None else LayerTime(microseconds=time[0], share=time[1], stands_for=stands_for),
        timed_with=timed_with,
    )


def change(kind: ChangeKind, words: str) -> Change:
    """A change in words."""
    return Change(kind=kind, words=words)


def small_comparison() -> GraphComparison:
    """Float and a narrowed, quantized network."""
    relu_0, relu_1 = ("features.0", "features.1"), ("features.3", "features.4")
    rows = (
        LayerRow(
            name="preprocess",
            before=layer("Affine", (1, 28, 28), time=(61.0, 0.015)),
            after=layer("Affine", (1, 28, 28), time=(60.0, 0.11)),
            largest_difference=0.0,
            largest_value=2.04,
        ),
        LayerRow(
            name="features.0",
            before=layer("Conv2d", (32, 28, 28), parameters=320, compute=0.018, time=(900.0, 0.22), stands_for=relu_0),
            after=layer("Conv2d", (16, 28, 28), parameters=160, compute=0.1, time=(240.0, 0.44), stands_for=relu_0),
            changes=(change("narrowed", "narrowed: 32 to 16 channels"),),
            difference_note="another shape",
            first=True,
        ),
        LayerRow(
            name="features.1",
            before=layer("ReLU", (32, 28, 28), timed_with="features.0"),
            after=layer("ReLU", (16, 28, 28), timed_with="features.0"),
            difference_note="another shape",
        ),
        LayerRow(
            name="features.3",
            before=layer("Conv2d", (64, 14, 14), parameters=18496, compute=0.8, time=(2900.0, 0.71), stands_for=relu_1),
            after=layer("Conv2d", (16, 14, 14), number_format="int8", parameters=2320, compute=0.7, time=(120.0, 0.22)),
            changes=(
                change("narrowed", "narrowed: 64 to 16 channels"),
                change("quantized", "quantized: fp32 to int8"),
            ),
            difference_note="another shape",
        ),
        LayerRow(
            name="features.4",
            before=layer("ReLU", (64, 14, 14), timed_with="features.3"),
            after=None,
            changes=(change("fused", "fused into features.3"),),
        ),
        LayerRow(
            name="dropout",
            before=layer("Identity", (64, 7, 7), time=(2.0, 0.0005)),
            after=None,
            changes=(change("removed", "removed"),),
        ),
        LayerRow(
            name="gate",
            before=None,
            after=layer("Sigmoid", (16, 7, 7), time=(3.0, 0.005)),
            changes=(change("added", "added"),),
        ),
        LayerRow(
            name="classifier.4",
            before=layer("Linear", (10,), parameters=5130, compute=0.0004, time=(9.0, 0.002)),
            after=layer("Linear", (10,), parameters=650, compute=0.001, time=(4.0, 0.007)),
            changes=(change("weights", "other weights of the same form"),),
            largest_difference=1.27,
            largest_value=18.2,
        ),
    )
    return GraphComparison(
        before=_file("float.onnx.fp32", size=6_500_000, parameters=1_626_442, macs=12_850_000, call_us=4100.0),
        after=_file("slim5.28.onnx.int8-static", size=80_000, parameters=53_500, macs=880_000, call_us=545.0),
        rows=rows,
        inputs="32 of the validation examples",
    )


def _file(label: str, *, size: int, parameters: int, macs: int, call_us: float) -> GraphFile:
    return GraphFile(
        label=label,
        file="model.onnx",
        format="onnx",
        size=size,
        sha256="0" * 64,
        opset={"ai.onnx": 20},
        parameters=parameters,
        macs=macs,
        time=CallTime(
            batch_size=32, calls=300, call_us=call_us, profiled_us=call_us * 1.3, rest_us=call_us * 0.05, threads=1
        ),
    )
