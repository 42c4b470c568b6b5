"""A training step of the Diagonal BiLSTM's scan against `torch.nn.LSTM` of the same steps, rows and hidden size.

Forward and backward, 28×28, batch 16, per direction: ours scans two directions at once, and its time is halved. The
rival has the 55 steps of the diagonals and batch × 28 rows at each, whether inside the image or not, as a skewed
image has them. The gates' inputs are given on our side; the rival makes them itself, so a second row of ours counts
the whole layer, with the gathering of diagonals and the input-to-state product. A plain loop over the skewed image's
columns is the third.

    uv run benchmarks/recurrence.py [--device cuda]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness import in_turn, main, row

SIZE, BATCH = 28, 16


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import torch
    from torch import nn

    from pmodel.nets.diagonal_lstm import DiagonalBiLSTM, lattice_of
    from pmodel.nets.lstm_scan import scan

    device = torch.device(arguments.device)
    rounds = 3 if arguments.quick else 15

    def seconds(function: Callable[[], torch.Tensor], directions: int) -> Callable[[], float]:
        def run() -> float:
            start = time.perf_counter()
            y = function()
            y.backward(torch.ones_like(y))
            if device.type == "cuda":
                torch.cuda.synchronize()
            return (time.perf_counter() - start) / directions

        for _ in range(3):
            run()
        return run

    for h in (16, 64):
        torch.manual_seed(0)
        layer = DiagonalBiLSTM(2 * h, h, num_channels=1).to(device)
        lattice, _, order = lattice_of(SIZE, SIZE, device)
        gates = torch.randn(2, SIZE * SIZE, BATCH, 4 * h, device=device, requires_grad=True)
        features = torch.randn(SIZE, SIZE, BATCH, 2 * h, device=device, requires_grad=True)
        image = torch.randn(SIZE, SIZE, BATCH, 1, device=device)
        lstm = nn.LSTM(h, h).to(device)
        sequence = torch.randn(2 * SIZE - 1, BATCH * SIZE, h, device=device, requires_grad=True)
        weight = torch.randn(2 * h, 4 * h, device=device, requires_grad=True)
        skewed = torch.randn(2 * SIZE - 1, SIZE, BATCH, 4 * h, device=device, requires_grad=True)

        def plain_loop(skewed=skewed, weight=weight, h=h) -> torch.Tensor:
            state = memory = torch.zeros(SIZE, BATCH, h, device=device)
            states = []
            for gates_of_column in skewed:
                above = torch.cat([torch.zeros_like(state[:1]), state[:-1]])
                o, i, f, g = (gates_of_column + torch.cat([above, state], 2) @ weight).chunk(4, 2)
                memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
                state = o.sigmoid() * memory.tanh()
                states.append(state)
            return torch.stack(states)

        def our_scan(gates=gates, layer=layer, lattice=lattice, order=order) -> torch.Tensor:
            return scan(gates * 1, layer.state, layer.initial_h, layer.initial_c, lattice, order)

        def our_layer(layer=layer, features=features, image=image) -> torch.Tensor:
            return layer(features, image)

        rival = seconds(lambda lstm=lstm, sequence=sequence: lstm(sequence)[0], 1)
        loop = seconds(plain_loop, 1)
        scanned, whole = seconds(our_scan, 2), seconds(our_layer, 2)
        yield row(f"scan, h={h}: torch.nn.LSTM", *in_turn(scanned, rival, rounds), device=arguments.device)
        yield row(f"whole layer, h={h}: torch.nn.LSTM", *in_turn(whole, rival, rounds), device=arguments.device)
        yield row(f"scan, h={h}: a plain loop over columns", *in_turn(scanned, loop, rounds), device=arguments.device)


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], device="cpu")
