"""What every model of conf/model/ must do, on every small data set it takes."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from PIL import Image
from support import BINARY, CONFIG_DIR, build, config

from pmodel import capabilities
from pmodel.files.project import TYPED
from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.testing import CHECKS
from pmodel.testing.answers import CHECKS as OF_EACH_KIND
from pmodel.testing.answers import answers, protocols
from pmodel.testing.case import Case
from pmodel.testing.evaluated import findings
from pmodel.testing.training import trained

MODELS = sorted(file.stem for file in (CONFIG_DIR / "model").glob("*.yaml"))
DATA = {
    "digits": ["data=digits"],
    "binary": ["data=digits", "data.binarize=dynamic"],
    "colour": ["data=image_folder", "data.shape=[3,11,9]", "data.num_classes=2"],
    "points": ["data=points", "data.num_train=64", "data.num_validation=32", "data.num_test=32"],
}
# Networks to try beside the default one, for models that have the choice.
NETWORKS = {"colour": "conv"}


@pytest.fixture(autouse=True, scope="module")
def typed():
    """Classes of scikit-learn are built where somebody typed them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TYPED, "sklearn")
        yield


@cache
def settings(model_name: str) -> dict[str, Any]:
    return config(f"model={model_name}")["model"]


# These take images on levels, and no points.
AUTOREGRESSIVE = [name for name in MODELS if issubclass(get_class(settings(name)["_target_"]), AutoregressiveModule)]
CONDITIONAL = [name for name in MODELS if "class_conditional" in settings(name)]
# What a model takes none of; each in one line, see its own tests.
ANY_ORDER = ["made", "nade_deep"]
IMAGE_FLOWS = ["glow", "nice", "realnvp"]
REFUSED = {
    **{name: {"points"} for name in [*AUTOREGRESSIVE, *ANY_ORDER, *IMAGE_FLOWS]},
    **{name: {"digits", "points", "colour"} for name in BINARY},
    "dcgan": {"points", "colour"},
    "flow": {"digits", "binary", "colour"},
}
CASES = [(m, d) for m in MODELS for d in DATA if d not in REFUSED.get(m, set())]

_OF_GANS = "Samples SamplesClasses SamplesLatents Decodes Discriminates"
_OF_AUTOREGRESSIVE_ONES = "Samples SamplesClasses LogProb LogProbPerPixel DrawsInOrder Completes"
_OF_VAES = (
    "Samples SamplesLatents LowerBound ImportanceBound ContinuousDensity Encodes TrainableFeatures Decodes Reconstructs"
)
_OF_IMAGE_FLOWS = "Samples SamplesLatents LowerBound ImportanceBound Encodes Decodes"
# Which model answers which questions: a method that is gone, or has another name, would only make a table shorter.
ANSWERS = {
    "autoencoder": "Encodes TrainableFeatures Decodes Reconstructs",
    "bernoulli_mixture": "Samples LogProb Encodes Assigns Clusters Completes",
    "classifier": "Encodes Classifies",
    "dcgan": _OF_GANS,
    "flow": "Samples SamplesLatents LogProb ContinuousDensity Encodes Decodes",
    "fvsbn": _OF_AUTOREGRESSIVE_ONES,
    "gan": _OF_GANS,
    "gaussian": "Samples LogProb ContinuousDensity MaximizesLikelihood GaussianComponents",
    "glow": _OF_IMAGE_FLOWS,
    "gmm": "Samples LogProb ContinuousDensity MaximizesLikelihood Encodes Assigns Clusters GaussianComponents",
    "kde": "Samples LogProb ContinuousDensity HasBandwidths",
    "kmeans": "Encodes Reconstructs Assigns Clusters",
    "made": "Samples LogProb AnswersWith Completes",
    "nade": _OF_AUTOREGRESSIVE_ONES,
    "nade_deep": "Samples LogProb AnswersWith Completes",
    "nice": _OF_IMAGE_FLOWS,
    "pca": "Samples LogProb ContinuousDensity AnswersWith Encodes Decodes Reconstructs PrincipalComponents"
    " ComponentsSoFar",
    "pca_gmm": "Samples LogProb ContinuousDensity MaximizesLikelihood Encodes Reconstructs Assigns Clusters"
    " PrincipalComponents",
    "pixel_transformer": _OF_AUTOREGRESSIVE_ONES,
    "pixelcnn": _OF_AUTOREGRESSIVE_ONES,
    "pixelcnn_gated": _OF_AUTOREGRESSIVE_ONES,
    "pixelcnn_pp": _OF_AUTOREGRESSIVE_ONES,
    "pixelrnn": _OF_AUTOREGRESSIVE_ONES,
    "pixelrnn_multiscale": _OF_AUTOREGRESSIVE_ONES,
    "pixelrnn_row": _OF_AUTOREGRESSIVE_ONES,
    "rbm": "Samples Estimate UnnormalizedLogProb ContinuousDensity AnswersWith Encodes TrainableFeatures Decodes"
    " Reconstructs Completes",
    "realnvp": _OF_IMAGE_FLOWS,
    "sklearn": "Encodes Decodes Reconstructs",
    "vae": _OF_VAES,
    "vae_2d": _OF_VAES,
    "vae_hierarchical": _OF_VAES,
}


def write_images(folder: Path) -> None:
    """64 coloured images of 11×9 in two classes, so neither a square nor a multiple of the networks' strides."""
    pixels = torch.randint(0, 256, (64, 11, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for i, image in enumerate(pixels.numpy()):
        path = folder / ("a", "b")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)


def case_of(model_name: str, data_name: str, folder: Path) -> Case:
    """The model after two training steps."""
    overrides = DATA[data_name]
    if data_name == "colour":
        write_images(folder)
        overrides = [*overrides, f"data.path={folder}"]
    if data_name in NETWORKS and "network" in settings(model_name):
        overrides = [*overrides, f"model/network={NETWORKS[data_name]}"]
    if model_name == "dcgan":
        # With fewer maps, two steps leave it so grey that two draws may be rounded to the same levels.
        overrides = [*overrides, "model.players.generator.channels=64"]
    torch.manual_seed(0)
    limit = [] if data_name == "points" else ["data.limit=64"]
    return trained(*build(f"model={model_name}", *overrides, *limit, "data.batch_size=32"))


@pytest.fixture(scope="module", params=CASES, ids=lambda p: f"{p[0]}-{p[1]}")
def case(request, tmp_path_factory):
    return case_of(*request.param, tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_contract(case, check):
    check(case)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_model_answers_the_questions_of_the_table_and_no_others(name):
    data = next(data for data in DATA if data not in REFUSED.get(name, set()))
    model, _ = build(f"model={name}", *DATA[data])
    assert sorted(answers(model)) == sorted(ANSWERS[name].split())


def test_the_table_of_answers_has_models_that_there_are_and_every_question():
    """A user's own model needs no line in it."""
    assert set(ANSWERS) <= set(MODELS)
    answered = {question for line in ANSWERS.values() for question in line.split()}
    assert set(protocols()) == answered


@pytest.mark.parametrize("name", [*AUTOREGRESSIVE, *ANY_ORDER])
def test_autoregressive_models_refuse_points_in_one_line(name):
    with pytest.raises(ValueError, match=r"\Adata\.shape=\[2\]: .*\Z"):
        build(f"model={name}", "data=points")


@pytest.mark.parametrize("name", CONDITIONAL)
def test_class_conditional_models_draw_examples_of_the_classes_asked_for_and_others_refuse(name):
    model, data = build(f"model={name}", "model.class_conditional=true")
    assert isinstance(model, capabilities.SamplesClasses)
    assert model.num_classes == 10
    OF_EACH_KIND["SamplesClasses"](Case(model.eval(), data))
    model, _ = build(f"model={name}")
    assert model.num_classes is None
    with pytest.raises(ValueError, match=r"\Amodel\.class_conditional=false: "):
        model.sample_classes(torch.tensor([0, 9, 3]))


class Silent:
    """A model that can answer nothing."""

    device = torch.device("cpu")
    num_parameters = 0


@pytest.mark.parametrize("data", [data for data in DATA if data != "colour"])
def test_a_model_that_answers_nothing_has_the_number_of_its_parameters_and_reasons(data):
    found, reasons = findings(Silent(), build("model=kde", *DATA[data], "data.limit=64")[1])
    assert set(found) == {"parameters"}
    assert all(reasons.values())


def test_every_model_has_a_test_file_of_its_own():
    tests = {file.stem.removeprefix("test_") for file in (CONFIG_DIR.parent / "tests" / "models").glob("test_*.py")}
    assert {name.split("_2d")[0] for name in MODELS} <= tests
