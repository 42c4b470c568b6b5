"""A model that was trained for two steps, and how its answers are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning
from torch import Generator, Tensor

from pmodel.capabilities import ContinuousDensity
from pmodel.files.printable import first_line
from pmodel.testing.expect import expect_shape


@dataclass
class Case:
    """A trained model in eval mode, its data module, and the trainer."""

    model: Any
    data: Any
    trainer: lightning.Trainer | None = None

    @property
    def name(self) -> str:
        """Of the model's class."""
        return type(self.model).__name__

    def examples(self, n: int) -> Tensor:
        """The first n validation examples (n, …); training examples where there are none."""
        found = self.data.examples("validation", n).x
        return found if len(found) else self.data.examples("train", n).x

    @property
    def on_levels(self) -> bool:
        """Whether the model has probabilities of levels, and no density."""
        is_density = isinstance(self.model, ContinuousDensity) and self.model.continuous_density
        return self.data.num_levels is not None and not is_density

    def ask(
        self, method: str, *given: Any, shape: Sequence[int] | None = None, seed: int | None = None, of: Any = None
    ) -> Any:
        """What the model answers.

        Args:
            shape: of the tensor that is expected.
            seed: of a generator that the answer is drawn from.
            of: another model in its place.

        Raises:
            AssertionError: of one line, if it raises an error, or answers with something else than such a tensor.
        """
        own = {} if seed is None else {"generator": Generator().manual_seed(seed)}
        place = self.place(method, *given, *own)
        try:
            answer = getattr(self.model if of is None else of, method)(*given, **own)
        except Exception as error:
            got = f"{type(error).__name__}: {first_line(error)}"
            raise AssertionError(f"{place}: expected an answer, got {got}") from error
        if shape is not None:
            expect_shape(place, answer, shape)
        return answer

    def place(self, method: str, *given: Any) -> str:
        """How messages name a question: "Mine.log_prob(x) of 5 examples"."""
        tensors = iter({"decode": ["z"], "sample_classes": ["label"]}.get(method, ["x", "known"]))
        words = [next(tensors) if isinstance(value, Tensor) else str(value) for value in given]
        count = f" of {len(given[0])} examples" if given and isinstance(given[0], Tensor) else ""
        return f"{self.name}.{method}({', '.join(words)}){count}"
