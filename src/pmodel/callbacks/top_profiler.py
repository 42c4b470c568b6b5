"""Where the time of a training goes, in a few lines."""

import math

from lightning.pytorch.profilers import SimpleProfiler

from pmodel.processes.launch import is_first


class TopProfiler(SimpleProfiler):
    """Measures what Lightning calls, and shows the TOP costliest of these at the end.

    What one of them calls is part of it: an epoch holds its steps.
    """

    TOP = 10

    def summary(self) -> str:
        """A line for each: its time, its share of the whole training's, how often it was called, its name."""
        whole = self._make_report_extended()[2]
        times = {action: math.fsum(durations) for action, durations in self.recorded_durations.items()}
        costliest = sorted(times, key=times.get, reverse=True)[: self.TOP]
        lines = [f"where the {whole:.1f} s went: the {len(costliest)} costliest of {len(times)}, one inside the other"]
        lines += [f"{'s':>9} {'share':>6} {'calls':>8}"] * bool(costliest)
        for action in costliest:
            share, calls = times[action] / whole, len(self.recorded_durations[action])
            lines.append(f"{times[action]:9.3f} {share:6.1%} {calls:8,}  {readable(action)}")
        return "\n".join(lines)

    def describe(self) -> None:
        if is_first():
            print(f"\n{self.summary()}", flush=True)
        self.teardown(stage=self._stage)


def readable(action: str) -> str:
    """The name of what was called, without Lightning's brackets and a callback's settings."""
    kind, _, name = action.removeprefix("[").partition("]")
    return f"{kind.partition('{')[0]}.{name}" if name else action
