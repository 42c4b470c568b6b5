"""The two players of a game, and the settings that each has of its own."""

from typing import TypedDict

from pmodel.training.schedules import Schedule, Scheduled

# In the order of their optimizers.
PLAYERS = ("discriminator", "generator")


class Optimizers(TypedDict):
    """An optimizer for each player: dicts with a `_target_` in torch.optim."""

    generator: dict
    discriminator: dict


class Schedules(TypedDict):
    """A learning-rate schedule for each player; a step of it is one of that player's steps, or an epoch."""

    generator: Schedule
    discriminator: Schedule


def scheduled(schedules: Schedules, num_discriminator_steps: int) -> list[Scheduled]:
    """The schedules of `PLAYERS`, of whose steps the generator makes one in so many batches."""
    steps = (1, num_discriminator_steps)
    return [Scheduled(schedules[p], n, f"model.schedule.{p}") for p, n in zip(PLAYERS, steps, strict=True)]
