"""The top-level keys of the configs, as types."""

from typing import Literal, NotRequired, TypedDict

from pmodel.settings.ranges import Count, Seed, Text, Whole


class Paths(TypedDict):
    """conf/paths/"""

    log_dir: str
    kind: NotRequired[str]
    run_dir: str


class TrainConfig(TypedDict):
    """The top-level keys of conf/train.yaml; groups whose members are instantiated are checked by their `_target_`."""

    model: dict
    data: dict
    trainer: dict
    logger: dict[str, dict | None]
    callbacks: dict[str, dict | None]
    paths: Paths
    name: str
    seed: Seed
    threads: NotRequired[Literal["auto"] | Count]
    data_dir: Text
    resume: str | None
    check: bool


class Devices(TypedDict):
    """`trainer` in conf/eval.yaml and conf/sample.yaml"""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: int | str | list[int]


class Place(TypedDict):
    """`data` in conf/eval.yaml and conf/sample.yaml"""

    path: str | None


class Report(TypedDict):
    """`report` in conf/eval.yaml"""

    picture_height: Count | None
    widgets: bool


class EvalConfig(TypedDict):
    """The top-level keys of conf/eval.yaml."""

    run: str | list[str]
    split: Literal["train", "validation", "test"]
    answer: dict | None
    data_dir: str | None
    data: Place
    cache_dir: str | None
    batch_size: Count
    trainer: Devices
    metric: dict[str, dict | None]
    callbacks: dict[str, dict | None]
    report: Report
    paths: Paths


class SampleConfig(TypedDict):
    """The top-level keys of conf/sample.yaml."""

    run: str | list[str]
    n: Count
    out: Text
    classes: Literal["all"] | list[Whole] | None
    seed: Seed
    answer: dict | None
    data_dir: str | None
    data: Place
    trainer: Devices


class EncodeConfig(TypedDict):
    """The top-level keys of conf/encode.yaml."""

    run: str | list[str]
    out: Text
    data: NotRequired[dict]
    split: Literal["all", "train", "validation", "test"]
    answer: dict | None
    batch_size: Count
    seed: Seed
    data_dir: Text
    trainer: Devices
