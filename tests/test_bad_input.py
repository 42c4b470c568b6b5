"""What users type by mistake, and the one line that says so: exit code 2, nothing written, nothing lost.

Each row is `what is typed → the line`, in which @ is the last word that is typed and … stands for anything.
"""
# ruff: noqa: E501

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

import pytest
import torch
from conftest import Run, train_in
from support import config

from pmodel.commands.command_line import checked_command_line
from pmodel.commands.directories import finish_sweep
from pmodel.runs.results import Number, write_results
from pmodel.runs.saved import read_results
from pmodel.runs.typed import CONFIG_DIR
from pmodel.settings.annotations import accepts
from pmodel.settings.signatures import signature

# Said within a second, before PyTorch is imported. There are a file `afile` and a folder `images`.
EARLY = """
model.latent_dim=0 → @: expected a whole number, at least 1
model.latent_dim=2.5 → @: expected a whole number, at least 1
model.latent_dim=true → @: expected a whole number, at least 1
model.latent_dim=two → @: expected a whole number, at least 1
model.latent_dim=null → @: expected a whole number, at least 1
model.beta=-1 → @: expected a finite number, at least 0
model.beta=nan → @: expected a finite number, at least 0
model.ema_decay=1.5 → @: expected a finite number, more than 0 and less than 1, or null
model.likelihood=bernouli → @: expected one of bernoulli, categorical, discretized_logistic, gaussian; did you mean bernoulli?
model.compile=maybe → @: expected true or false
model.network.encoder.hidden_dims=[0] → @: expected a list of whole numbers, each at least 1
model.network.encoder.hidden_dims=64 → @: expected a list of whole numbers, each at least 1
model.network.encoder.activation=rellu → @: expected one of relu, silu, gelu, elu, leaky_relu, tanh, softplus; did you mean relu?
model/network=conv model.network.encoder.channels=[] → @: expected a list of one or more whole numbers, each at least 1
model.optimizer.lr=fast → @: expected a finite number, at least 0
model.optimizer.betas=[1.5,0.9] → @: expected a list of 2 finite numbers, each at least 0 and less than 1
model/schedule=cosin → @: model/schedule has no option 'cosin'; did you mean cosine? (options: …
model/encoder=run → @: model=vae has no encoder to choose
model=kmeans model/network=conv → @: model=kmeans has no network to choose
model/optimizer=[adam,sgd] → @: model/optimizer takes one option at a time (options: …
model=kmeans model.start=first → @: expected one of k-means++, random, far
model=kde model.bandwidth=0 → @: expected one of scott, silverman, held_out, or a finite number, more than 0
data.num_validation=1.5 → @: expected a whole number, at least 0, or a finite number, at least 0 and less than 1
data.limit=0 → @: expected a whole number, at least 1, or null
data=points_csv → @: expected a name of this version; it is called data=table now
data=points data.name=csv → @: expected a name of this version; it is called data=table now
model=classifier model.features=nowhere → @: expected a name of this version; it is called model/encoder=run model.encoder.run now
logger=default → @: expected a name of this version; it is called logger=tensorboard now
data.dequantize=1 → @: expected true or false
data=image_folder → data.path must be set: type data.path=… (conf/data/image_folder.yaml leaves it open)
data=image_folder data.path=nowhere → @: there is no such file or folder
data=table → data.path must be set: type data.path=… (conf/data/table.yaml leaves it open)
data=table data.path=nowhere.csv → @: there is no such file or folder
data=table data.path=table.csv data.header=maybe → @: expected auto, or true or false
data=table data.path=table.csv data.columns=2 → @: expected a list of one or more texts or whole numbers, each at least 0, or null
data=table data.path=table.csv data.columns=[1,3] → @: there is no column 3 in table.csv; its columns are 1, 2
data=table data.path=table.csv data.label_column=kind → @: there is no column kind in table.csv; its columns are 1, 2
data=mnist,digits → @: several values need --multirun (-m), which runs a job for each
data_dir=afile → @: expected a folder, and it is a file
trainer.max_epochs=-3 → @: expected a whole number, at least -1, or null
trainer.max_time=tomorrow → @: expected days:hours:minutes:seconds, such as 00:01:30:00
trainer.max_time=90 → @: expected a text or null
trainer.accelerator=quantum → @: expected one of auto, cpu, gpu, cuda, mps
trainer.devices=0 → @: expected a number of at least 1, a list of them, or auto
trainer.devices=two → @: expected a number of at least 1, a list of them, or auto
trainer.devices=[0,0] → @: expected each device once
trainer.devices=100000 → @: expected at most … on this machine
trainer=cpu trainer.devices=[0] → @: expected a number of processes, with trainer.accelerator=cpu
trainer.strategy=dpp → @: expected one of auto, ddp, ddp_find_unused_parameters_true, ddp_find_unused_parameters_false, ddp…
trainer.precision=17 → @: expected one of 32-true, 16-mixed, bf16-mixed, 16-true, bf16-true, 64-true, bf16, 16, 32, 64
trainer.limit_train_batches=0 → @: expected a whole number, at least 1, a finite number, more than 0 and at most 1, or null
trainer.deterministic=sometimes → @: expected warn, true or false, or null
callbacks.figures.include.interpolations.num_steps=1 → @: expected a whole number, at least 2
callbacks.progress.refresh_per_second=0 → @: expected a finite number, more than 0
seed=-1 → @: expected a whole number, at least 0 and at most 4294967295
seed=1099511627776 → @: expected a whole number, at least 0 and at most 4294967295
threads=0 → @: expected auto, or a whole number, at least 1
name=../../x → name='../../x': expected a folder's name, in which there is no / and no control character
name=null → @: expected a text
paths.log_dir='' → @'': expected a folder; . is the one that you are in
paths.log_dir=afile → @: expected a folder, and afile is none
hydra.run.dir='' → @'': expected a folder; . is the one that you are in
hydra.run.dir=afile → @: expected a folder, and afile is none
hydra.run.dir=afile/x → @: expected a folder, and …/afile is none
lr=0.1 → @: there is no setting 'lr'; did you mean model.optimizer.lr?
epochs=3 → @: there is no setting 'epochs'; did you mean trainer.max_epochs?
learning_rate=0.1 → @: there is no setting 'learning_rate'; did you mean model.optimizer.lr?
gpus=2 → @: there is no setting 'gpus'; did you mean trainer.devices?
dataset=mnist → @: there is no setting 'dataset'; did you mean data=…?
optimizer=adam → @: there is no setting 'optimizer'; did you mean model/optimizer=…?
model.hidden_dims=[8] → @: model has no 'hidden_dims'; did you mean model.network.encoder.hidden_dims or model.network.decoder.hidden_dims?
model=kmeans model.k=5 → @: model has no 'k'; did you mean model.num_clusters?
model=gan lr=0.1 → @: there is no setting 'lr'; did you mean model.optimizer.generator.lr or model.optimizer.discriminator.lr?
modle=vae → @: there is no setting 'modle'; did you mean model?
model=vea → @: model has no option 'vea'; did you mean vae? (options: …
model.latnt_dim=3 → @: model has no 'latnt_dim'; did you mean model.latent_dim?
+model.latnt_dim=3 → @: model has no 'latnt_dim'; did you mean model.latent_dim?
model.encoder.x=1 → @: model has no 'encoder'; did you mean model.network.encoder?
model.latent_dim.x=1 → @: model.latent_dim is 16 and has no settings of its own
~model.beta → @: a setting can't be left out; type model.beta=… with another value
~seed → @: a setting can't be left out; type seed=… with another value
~trainer → trainer is missing: set trainer=…
model._target_=pmodel.models.vae.VEA → @: there is no 'VEA' in pmodel.models.vae; did you mean VAE?
model._target_=nowhere.VAE → @: the package nowhere is not trusted; if you know its code, type trusted=[nowhere], …
model._target_=pmodl.models.vae.VAE → @: the package pmodl is not trusted; …
data=image_folder data.path=a=b → @: this value can't be read; if it is one text, quote it: 'data.path="a=b"'
data=image_folder 'data.path=a(b' → @: this value can't be read; if it is one text, quote it: 'data.path="a(b"'
data=image_folder data.path=a,b → @: several values need --multirun (-m), which runs a job for each; if it is one text, quote it: 'data.path="a,b"'
data.path== → @: this value can't be read; if it is one text, quote it: 'data.path="="'
'model.latent_dim=[1' → @: this value can't be read; if it is one text, quote it: 'model.latent_dim="[1"'
'model={a:1' → @: this value can't be read; if it is one text, quote it: 'model="{a:1"'
'a b' → @: expected key=value
=3 → @: expected key=value
model.latent_dim → @: expected key=value
'' → '': expected key=value
seed=1,2 → @: several values need --multirun (-m), which runs a job for each
-m 'seed=range(5,1)' → @: expected values to run one after the other, and there are none
-m seed=1,2 hydra.sweep.subdir=x → @: expected a name that differs from job to job, as 'hydra.sweep.subdir=${seed}'
-m seed=1,x → seed=x: expected a whole number, at least 0 and at most 4294967295
-m model=vae,vea → model=vea: model has no option 'vea'; did you mean vae? (options: …
hydra/launcher=joblib → @: a launcher starts the jobs of a multirun; add --multirun (-m)
resume=nowhere → @: expected the directory of a run or a multirun, or a checkpoint, but there is no nowhere/config.yaml
resume=images → @: expected the directory of a run or a multirun, or a checkpoint, but there is no images/config.yaml
-m resume=images → @: goes on with what is there; leave out --multirun
--cofig-dir x → --cofig-dir: no such option; did you mean --config-dir?
--config-dir nowhere → --config-dir nowhere: there is no such folder
sweep=wandb → @: this file is for W&B's own command: wandb sweep conf/sweep/wandb.yaml
experiment=vae_mnst → @: experiment has no option 'vae_mnst'; did you mean vae_mnist? (options: …
model.optimizer=null → @: expected settings of its own
callbacks.figures=3 → @: expected settings of its own, or null
++trainer.max_epochs=-9 → @: expected a whole number, at least -1, or null
trainer.devices=[-1] → @: expected a list of whole numbers, each at least 0, a whole number, or a text
hydra.run.dir=null → @: field 'hydra.run.dir' is not Optional
hydra.job.chdir=maybe → @: Value 'maybe' is not a valid bool (type str)
hydra.run.dri=x → @: hydra.run has no 'dri'; did you mean hydra.run.dir?
paths.kind='../x' → paths.kind='../x': expected a folder's name, in which there is no / and no control character
data_dir='' → @: expected a text that is not empty
--cfg jobb → argument --cfg/-c: invalid choice: 'jobb' (choose from 'job', 'hydra', 'all')
hydra.launcher.n_jobs=2 → @: hydra.launcher has no 'n_jobs'
callbacks.figures.include.sampels.num_images=3 → @: callbacks.figures.include has no 'sampels'; did you mean callbacks.figures.include.samples?
callbacks.best.dirpath=3 → @: expected a text
"""

# Of eval.py, whose run is that of a VAE.
EVALUATING = """
eval.py → run must be set: type run=… (a run directory, a checkpoint, or the directory of a multirun)
eval.py run= → @: expected a run directory or a checkpoint, or a list of these
eval.py run=nowhere → @: there is no such run directory or checkpoint
eval.py run=afile → @: expected a run directory or a checkpoint in one, but there is no …config.yaml
eval.py vae → @: expected key=value
eval.py run=vae split=tset → @: expected one of train, validation, test; did you mean test?
eval.py run=vae num_samples=5 → @: there is no setting 'num_samples'
eval.py run=vae metric.samples.num_samples=1 → @: expected a whole number, at least 2, or null
eval.py run=vae metric.samples.num_sample=3 → @: metric.samples has no 'num_sample'; did you mean metric.samples.num_samples?
eval.py run=vae report.picture_height=0 → @: expected a whole number, at least 1, or null
eval.py run=vae metric.features.weights=nowhere.pt → @: there is no such file or folder
eval.py run=vae metric/features=incepton → @: metric/features has no option 'incepton'; did you mean inception? (options: …
eval.py run=vae hydra.run.dir=afile → @: expected a folder, and afile is none
eval.py -m run=vae,vae → run=vae,vae: takes several runs at once, as 'run=[a,b]'; leave out --multirun
"""

# Joins several settings, or asks the data: said before the first step.
LATE = """
model.likelihood=bernoulli → @: expected two levels, but data.num_levels=17; …
model.network.encoder.hidden_dims=[1000000000000] → out of memory on this machine …: the model is too large; its largest setting is model.network.encoder.hidden_dims=1000000000000
model=kmeans model.num_clusters=10000000000000 → out of memory on this machine …: the model is too large; its largest setting is @
model=kmeans model.num_clusters=2000 → @: expected at most …, the examples to start from
model=pixelcnn model.kernel_size=4 → @: expected an odd number, at least 1
model=pixelcnn data=points → data.shape=[2]: expected images [C, H, W], for an autoregressive model
model=gan model.label_smoothing=0.1 model.objective=hinge → model.label_smoothing=0.1: expected 0, or model.objective one of …
model=gan trainer.accumulate_grad_batches=2 → @: expected 1 with a GAN, whose players take turns; a larger data.batch_size does the same
model=classifier model.mode=probe → @: expected a run whose encoder to use, model/encoder=run model.encoder.run=logs/train/…
model=classifier model/encoder=run model.encoder.run=nowhere → @: there is no such run directory or checkpoint
data.binarize=static data.dequantize=true → @: expected data.binarize=none with it, not static
data.num_labels=5 → @: expected at least 10, one of each class
data.shape=[1,9,9] → …data.shape…
data=table data.path=images → @: can't be read as CSV: …
data=table data.path=table.csv → data.path=table.csv: line 2: '1_000' in column 1: expected a number that is finite in float32; …
data=table data.path=table.csv data.shape=[3] → @: expected [2], the columns of table.csv
data=mnist data_dir=data → data=mnist: data/MNIST/raw/train-images-idx3-ubyte can't be read: Is a directory
"""


def cases(table: str) -> list[Any]:
    """(words, expected line) of each row."""
    found = []
    for row in table.strip().splitlines():
        typed, expected = row.split(" → ", 1)
        words = shlex.split(typed)
        found.append(pytest.param(words, expected.replace("@", words[-1] if words else ""), id=typed))
    return found


def matches(line: str, expected: str) -> bool:
    """Whether it is that line, in which … stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), line) is not None


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "table.csv").write_text("1,2\n1_000,3\n2,3\n4,5\n")
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "data" / "MNIST" / "raw" / f"{name}-ubyte").mkdir(parents=True)
    return tmp_path


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything in a folder, with its size and its time."""
    return {
        str(file): (0, 0) if file.is_dir() else (file.lstat().st_size, file.lstat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(("words", "expected"), cases(EARLY))
def test_a_wrong_command_line_is_refused_before_anything_is_loaded(words, expected, folder, capsys):
    assert refused_early("train", words, folder, capsys, expected)


@pytest.mark.parametrize(("words", "expected"), cases(EVALUATING))
def test_a_wrong_command_line_of_an_evaluation_is_too(words, expected, folder, vae, capsys):
    assert refused_early("eval", words[1:], folder, capsys, expected)


def refused_early(command: str, words: list[str], folder: Path, capsys: Any, expected: str) -> bool:
    before = written(folder)
    with pytest.raises(SystemExit) as end:
        checked_command_line(command, words)
    said = capsys.readouterr()
    assert (end.value.code, said.out, written(folder)) == (2, "", before), said
    line = said.err.removeprefix("error: ").rstrip("\n")
    assert line.isprintable()
    assert matches(line, expected), line
    return True


@pytest.mark.parametrize(("words", "expected"), cases(LATE))
def test_what_only_model_and_data_know_is_refused_before_the_first_step(words, expected, folder, train: Run):
    before = written(folder)
    outcome = train(*words, "data_dir=data", "callbacks=minimal")
    assert refused(outcome, expected)
    assert written(folder) == before


def refused(outcome: Any, expected: str) -> bool:
    """Whether a command ended with that line alone, beside the first ones, which say what it loads."""
    assert outcome.code == 2, outcome
    assert re.fullmatch(r"(.*: loading …\n)?(.*: [\d,]+ parameters, .*\n.*/\n(data +\d.*\n)?)?", outcome.out), (
        outcome.out
    )
    assert matches(outcome.err.removeprefix("error: ").rstrip("\n"), expected), outcome.err
    return True


SMALL = [
    *("trainer.max_epochs=1", "data.limit=64", "callbacks=minimal", "logger=csv", "data_dir=data"),
    *("model.latent_dim=2", "model.network.encoder.hidden_dims=[8]", "model.network.decoder.hidden_dims=[8]"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Runs of a VAE, of one with another latent space, and of a k-means."""
    folder = tmp_path_factory.mktemp("runs")
    vae_3 = [*SMALL, "model.latent_dim=3", "hydra.run.dir=vae_3"]
    kmeans = ["model=kmeans", "model.num_clusters=2", *SMALL[:5], "hydra.run.dir=kmeans"]
    train_in(folder, [*SMALL, "hydra.run.dir=vae"], vae_3, kmeans)
    return folder


@pytest.fixture
def vae(runs, folder) -> Path:
    """A copy of the first, in the working directory."""
    return Path(shutil.copytree(runs / "vae", folder / "vae"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "can't be read (JSONDecodeError)"),
        (b'{"status": "do', "can't be read (JSONDecodeError)"),
        (b"\x80\x00\xff", "can't be read (UnicodeDecodeError)"),
        (b"[" * 100_000, "can't be read (RecursionError)"),
        (b"[]", "is none of pmodel's files"),
        (b"3", "is none of pmodel's files"),
        (b"null", "is none of pmodel's files"),
    ],
)
@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_status_that_is_none_is_refused(command, content, said, vae, folder, capsys):
    (vae / "status.json").write_bytes(content)
    words = ["resume=vae", "trainer.max_epochs=2", "data_dir=data"] if command == "train" else ["run=vae"]
    assert refused_early(command, words, folder, capsys, f"{words[0]}: …{said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b"# @package _global_\ndefaults:\n  - self\n",
            "the defaults list can't be composed: a file in it names itself…",
        ),
        (
            b"# @package _global_\nseed: 3\x00\n",
            "…odd.yaml: no YAML, special characters are not allowed at character 27",
        ),
        (b"# @package _global_\nseed: \xff\n", "…odd.yaml: no text in UTF-8, invalid start byte at byte …"),
        (b"# @package _global_\nseed: [1\n", "…odd.yaml, line 3: no YAML, …"),
        (b"# @package _global_\nseed: *a\n", "…odd.yaml, line 2: no YAML, found undefined alias 'a'"),
        (b"# @package _global_\nseed: -1\n", "seed=-1 in c/experiment/odd.yaml: expected a whole number, at least 0…"),
        (b"# @package _global_\n- 3\n", "…odd…"),
        (b"# @package _global_\ntrainer:\n  devices: 0\n", "trainer.devices=0 in c/experiment/odd.yaml: expected…"),
    ],
)
def test_a_file_of_settings_that_is_none_is_refused(text, said, folder, capsys):
    (folder / "c" / "experiment").mkdir(parents=True)
    (folder / "c" / "experiment" / "odd.yaml").write_bytes(text.replace(b"- self", b"- odd"))
    assert refused_early("train", ["--config-dir", "c", "experiment=odd"], folder, capsys, said)


def test_long_words_are_cut(folder, capsys):
    long = "9" * 100_000
    for key in ("seed", "name"):
        said = f"{key}=99999…99… (100,00… characters): this value can't…"
        assert refused_early("train", [f"{key}={long}"], folder, capsys, said)
    said = "name=xxx…x… (100,00… characters): expected at most 200 bytes, as a folder's name has"
    assert refused_early("train", [f"name={'x' * 100_000}"], folder, capsys, said)


def no_optimizer(content: dict[str, Any]) -> None:
    content["optimizer_states"] = []


def no_loops(content: dict[str, Any]) -> None:
    del content["loops"]


def strange_loops(content: dict[str, Any]) -> None:
    content["loops"] = {"fit_loop": 3}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("kmeans", "resume: the checkpoint is of another model, or of another size: Missing key(s)…"),
        ("vae_3", "resume: the checkpoint is of another model, or of another size: size mismatch…"),
        (
            no_optimizer,
            "…last.ckpt is no whole checkpoint of a training (it has no optimizer_states); the newest whole…",
        ),
        (no_loops, "…last.ckpt is no whole checkpoint of a training (it has no loops); the newest whole…"),
        (strange_loops, "…last.ckpt is no whole checkpoint of a training…"),
    ],
)
def test_a_run_goes_on_with_no_checkpoint_that_is_not_its_own(other, said, vae, runs, folder, train: Run):
    last = vae / "checkpoints" / "last.ckpt"
    if isinstance(other, str):
        shutil.copy(runs / other / "checkpoints" / "last.ckpt", last)
    else:
        content = torch.load(last, weights_only=True)
        other(content)
        torch.save(content, last)
    before = {name: (vae / name).read_bytes() for name in ("status.json", "config.yaml", "metrics.csv", "results.json")}
    assert refused(train("resume=vae", "trainer.max_epochs=2", "data_dir=data"), said)
    assert before == {name: (vae / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    "numbers",
    [
        *(
            3,
            "many",
            [3],
            [{}],
            [{"name": "training_time"}],
            [{"name": [1], "value": 2}],
            [{"name": "x", "value": "y"}],
        ),
        [{"name": "x", "value": 1, "protocol": 4}],
        [{"name": "x", "value": 1, "protocol": {"split_sizes": [3]}}],
        [{"name": "x", "value": 1, "count": "all"}],
        [{"name": "x", "value": 1, "caveats": [2]}],
        [{"name": "x", "value": 1, "least": "0"}],
    ],
)
def test_odd_entries_of_a_results_file_are_refused(numbers, vae, folder, evaluate: Run):
    (vae / "results.json").write_text(json.dumps({"numbers": numbers}))
    before = written(folder)
    said = "run=vae: …results.json is none of pmodel's files: expected numbers, each with a name and a value"
    assert refused(evaluate("run=vae"), said)
    assert written(folder) == before


@pytest.mark.parametrize("diagnosis", ["many", [3], [{"says": "x"}]])
def test_a_diagnosis_that_is_no_text_is_refused(diagnosis, vae, folder, evaluate: Run):
    (vae / "results.json").write_text(json.dumps({"numbers": [], "diagnosis": diagnosis}))
    said = "run=vae: …results.json is none of pmodel's files: expected a diagnosis of texts"
    assert refused(evaluate("run=vae"), said)


def test_a_results_file_may_hold_whatever_a_number_has(tmp_path):
    """Each entry of `Number` with a value of its type, once written, is read."""
    values = {str: "x", float: 0.5, int: 3, dict: {"seed": 1}, list: ["a reason"], Literal: "exact"}
    number = {name: values[get_origin(hint) or hint] for name, hint in get_type_hints(Number).items()}
    write_results(tmp_path / "results.json", [number], {})
    assert read_results(tmp_path / "results.json", "run=here")["numbers"] == [number]


@pytest.mark.parametrize(
    "words",
    [["data=table", "data.path=pipe"], ["data=image_folder", "data.path=pipe"]],
    ids=lambda words: words[0],
)
def test_nobody_waits_for_a_pipe_that_is_named(words, folder, capsys):
    os.mkfifo(folder / "pipe")
    assert refused_early("train", words, folder, capsys, "data.path=pipe: it is neither a file nor a folder")


@pytest.mark.parametrize("name", ["metrics.csv", "wandb_id", "checkpoints/best.ckpt", "figures/samples.png"])
def test_nobody_waits_for_a_pipe_in_a_run(name, vae, folder, capsys):
    (vae / name).unlink(missing_ok=True)
    (vae / name).parent.mkdir(exist_ok=True)
    os.mkfifo(vae / name)
    words = ["resume=vae", "trainer.max_epochs=2", "data_dir=data"]
    assert refused_early("train", words, folder, capsys, f"resume=vae: …vae/{name} is no file")
    assert refused_early("eval", ["run=vae"], folder, capsys, f"…vae/{name} is no file")


def test_nobody_waits_for_a_pipe_among_the_files_of_a_data_set(folder, train: Run):
    raw = folder / "data" / "MNIST" / "raw"
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").rmdir()
        os.mkfifo(raw / f"{name}-ubyte")
    said = "data=mnist: data/MNIST/raw/train-images-idx3-ubyte can't be read: it is no file"
    assert refused(train("data=mnist", "data_dir=data", "callbacks=minimal"), said)


def test_a_gpu_that_is_not_there_is_said(folder, train: Run):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is one")
    said = "trainer.accelerator=gpu: PyTorch finds no such device on this machine; trainer=default takes what there is"
    assert refused(train("trainer=gpu"), said)


def test_jobs_that_share_a_directory_are_not_done_in_silence(folder, train: Run):
    """The second is skipped, as it is done; the third is another one, and is refused."""
    shared = "hydra.sweep.subdir=${data.batch_size}"
    outcome = train("-m", "seed=1,1,2", shared, *SMALL, "hydra.sweep.dir=sweep")
    finish_sweep(folder / "sweep", "failed")  # as at the end of a process
    assert outcome.code == 1
    assert "skipped" in outcome.out
    assert "its settings have changed since it began" in outcome.err
    assert "Traceback" not in outcome.err


def test_every_setting_with_a_number_has_a_range():
    """Of all that conf/ builds, of the project's own: each number of a signature is of a type with a range."""
    targets = {m for f in CONFIG_DIR.rglob("*.yaml") for m in re.findall(r"_target_: (pmodel\.[\w.]+)", f.read_text())}
    bad: dict[str, Callable[[Any], Any]] = {"number": lambda x: x, "list": lambda x: [x]}
    unlimited = [
        f"{target}.{name}"
        for target in sorted(targets)
        for name, parameter in signature(target).parameters.items()
        for make in bad.values()
        if parameter.annotation is not None and accepts(parameter.annotation, make(-(10**12)), parameter.module)
    ]
    assert len(targets) > 60
    assert unlimited == []


def settings_with_a_number() -> list[tuple[str, str]]:
    """(option, key) of each number among the settings of what the options of the groups build, each once."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    groups = {"model": "digits", "data": None, "callbacks": "digits", "trainer": "digits"}
    for group in groups:
        for file in sorted((CONFIG_DIR / group).glob("*.yaml")):
            option = f"{group}={file.stem}"
            plain = config(option, *NEEDED_BY.get(option, []))
            for path, node in nodes(plain[group], group):
                for name, parameter in signature(node["_target_"]).parameters.items():
                    takes_numbers = accepts_a_number(parameter.annotation, parameter.module)
                    if name in node and takes_numbers:
                        found.setdefault((node["_target_"], name), (option, f"{path}.{name}"))
    return sorted(found.values())


NEEDED_BY = {"data=table": ["data.path=table.csv"], "data=image_folder": ["data.path=images"]}


def nodes(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """What is built of the project's own, with the keys that lead there."""
    if not isinstance(node, dict):
        return []
    own = [(path, node)] if str(node.get("_target_", "")).startswith("pmodel.") else []
    return own + [found for key, child in node.items() for found in nodes(child, f"{path}.{key}")]


def accepts_a_number(annotation: Any, module: str) -> bool:
    return annotation is not None and any(accepts(annotation, number, module) for number in (0.5, 1, 2, 300))


@pytest.mark.slow
def test_each_number_out_of_its_range_is_refused_before_anything_is_loaded(folder, capsys):
    found = settings_with_a_number()
    assert len(found) > 150
    for option, key in found:
        words = [option, *NEEDED_BY.get(option, []), f"{key}={-(10**12)}"]
        assert refused_early("train", words, folder, capsys, f"{words[-1]}: …"), words
