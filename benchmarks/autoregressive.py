"""Training steps of PixelRNN and PixelCNN on images of MNIST's size against the same networks written plainly.

The plain Diagonal BiLSTM is the paper's recipe as it stands: the image is skewed, a 1×1 convolution gives the gates'
inputs, a Python loop goes over the columns, one direction after the other, and autograd does the rest. The plain
PixelCNN multiplies k×k kernels by masks, in float32 and with the channels first; ours runs as its experiment does, in
bfloat16. Both share our weights, and their outputs are held against ours before anything is timed. A step is forward,
backward and the optimizer's.

    uv run benchmarks/autoregressive.py [--device cuda]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness import in_turn, main, row

SIZE = 28


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from pmodel.nets.diagonal_lstm import DiagonalBiLSTM
    from pmodel.nets.masked_conv import MaskedConv2d
    from pmodel.nets.pixelcnn import PixelCNNNetwork
    from pmodel.nets.pixelrnn import PixelRNNNetwork

    device = torch.device(arguments.device)
    rounds = 3 if arguments.quick else 9

    def skewed(x: Tensor) -> Tensor:
        """Each row shifted by one more than the row above: (B, C, H, W) → (B, C, H, H + W − 1)."""
        height = x.shape[2]
        rows = [F.pad(row, (i, height - 1 - i)) for i, row in enumerate(x.unbind(2))]
        return torch.stack(rows, 2)

    def one_direction(layer: DiagonalBiLSTM, x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> Tensor:
        B, _, H, W = x.shape
        gates = F.conv2d(skewed(x), weight.T[:, :, None, None], bias[0]).permute(3, 0, 2, 1)
        inside = skewed(x.new_ones(1, 1, H, W)).permute(3, 0, 2, 1)
        h = c = x.new_zeros(B, H, layer.hidden_channels)
        both = state.flatten(0, 1)  # of the state above, and beside
        columns = []
        for a, exists in zip(gates, inside, strict=True):
            o, i, f, g = (a + torch.cat([F.pad(h, (0, 0, 1, 0))[:, :-1], h], 2) @ both).chunk(4, 2)
            c = (f.sigmoid() * c + i.sigmoid() * g.tanh()) * exists
            h = o.sigmoid() * c.tanh()
            columns.append(h)
        states = torch.stack(columns).permute(1, 3, 2, 0)
        return torch.stack([row[..., i : i + W] for i, row in enumerate(states.unbind(2))], 2)

    def plain_layer(layer: DiagonalBiLSTM, x: Tensor, image: Tensor) -> Tensor:
        weights, biases = layer.input_weights()
        right = one_direction(layer, x, weights[0], biases[0], layer.state[0])
        weight, mirrored = weights[1], x
        if layer.pixel is not None:
            weight, mirrored = torch.cat([weight, layer.pixel]), torch.cat([x, image], 1)
        left = one_direction(layer, mirrored.flip(3), weight, biases[1], layer.state[1]).flip(3)
        return right + F.pad(left[:, :, :-1], (0, 0, 1, 0))

    def plain_rnn(network: PixelRNNNetwork, x: Tensor) -> Tensor:
        y = plain_conv(network.first, x)
        for lstm, up in zip(network.lstms, network.ups, strict=True):
            y = y + plain_conv(up, plain_layer(lstm, y, x))
        return plain_conv(network.head.second, plain_conv(network.head.first, y.relu()).relu())

    kernels: dict[MaskedConv2d, tuple[nn.Parameter, Tensor]] = {}

    def plain_conv(conv: MaskedConv2d, x: Tensor) -> Tensor:
        """With a kernel of k×k, of which a mask leaves what ours stores."""
        if conv not in kernels:
            below = (0, 0, 0, conv.weight.shape[3] - conv.weight.shape[2])
            kernels[conv] = nn.Parameter(F.pad(conv.weight.detach(), below)), F.pad(conv.mask, below)
        weight, mask = kernels[conv]
        return F.conv2d(x, weight * mask, conv.bias, padding=conv.left)

    def plain_cnn(network: PixelCNNNetwork, x: Tensor) -> Tensor:
        y = plain_conv(network.first, x)
        for block in network.blocks:
            z = plain_conv(block.conv, plain_conv(block.down, y.relu()).relu()).relu()
            y = y + plain_conv(block.up, z)
        return plain_conv(network.head.second, plain_conv(network.head.first, y.relu()).relu())

    def step(forward: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, x: Tensor, dtype: torch.dtype):
        def run() -> float:
            start = time.perf_counter()
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                y = forward(2 * x - 1)
            loss = F.binary_cross_entropy_with_logits(y.float(), x, reduction="none").sum((1, 2, 3)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - start

        for _ in range(3):
            run()
        return run

    def compare(
        name: str,
        network: nn.Module,
        plain: Callable[[nn.Module, Tensor], Tensor],
        batch: int,
        optimizer: type[torch.optim.Optimizer],
        dtype: torch.dtype,
    ) -> dict[str, Any]:
        network = network.to(device)
        x = (torch.rand(batch, 1, SIZE, SIZE, device=device) < 0.2).float()
        kernels.clear()
        with torch.no_grad():
            torch.testing.assert_close(network(2 * x - 1), plain(network, 2 * x - 1), atol=1e-4, rtol=1e-4)
        own = optimizer(network.parameters(), 1e-4, **({"fused": True} if optimizer is torch.optim.Adam else {}))
        others = [p for n, p in network.named_parameters() if not n.endswith("weight")]
        theirs = optimizer([*others, *(kernel for kernel, _ in kernels.values())], 1e-4)
        # Both change the biases, which is all the same to their times.
        ours = step(network, own, x, dtype)
        rival = step(lambda x: plain(network, x), theirs, x, torch.float32)
        found = row(f"{name}, batch {batch}", *in_turn(ours, rival, rounds), device=arguments.device)
        print(f"{found['name']}: {found['ours']:.3f} s, {found['ratio']:.2f} times as fast", flush=True)
        return found

    torch.manual_seed(0)
    rnn = {"num_channels": 1, "num_outputs": 1, "scan": "diagonal", "first_kernel_size": 7, "head_channels": 32}
    cnn = {"num_channels": 1, "num_outputs": 1, "kernel_size": 3, "first_kernel_size": 7, "head_channels": 32}
    for layers, h, batch in ((7, 16, 16), (7, 16, 64), (1, 32, 16)):
        network = PixelRNNNetwork(**rnn, hidden_channels=h, num_layers=layers)
        name = f"Diagonal BiLSTM, {layers} layers, h = {h}" if layers > 1 else f"Diagonal BiLSTM, 1 layer, h = {h}"
        yield compare(name, network, plain_rnn, batch, torch.optim.RMSprop, torch.float32)
    for h in (16, 32):
        network = PixelCNNNetwork(**cnn, hidden_channels=h, num_blocks=15)
        yield compare(f"PixelCNN, 15 blocks, h = {h}", network, plain_cnn, 32, torch.optim.Adam, torch.bfloat16)


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], device="cpu")
