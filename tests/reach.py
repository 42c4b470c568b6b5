"""Which earlier sub-pixels each output of an autoregressive network can see, by sets carried from layer to layer.

Written from the papers, without tensors and without the networks' code: the oracle that Jacobians are held against.
A feature belongs to one of C groups, as the paper's features do to red, green and blue; a layer is the set of
sub-pixels that its features of each group see, at each position.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Literal

SubPixel = tuple[int, int, int]  # row, column, channel
Layer = dict[SubPixel, frozenset[SubPixel]]
Taps = Callable[[int, int, int], Iterable[SubPixel]]
Shape = tuple[int, int, int]  # C, H, W


def pixelcnn(shape: Shape, depth: int, first_kernel: int = 7, kernel: int = 3) -> Layer:
    """PixelCNN: a convolution with mask A, `depth` residual blocks of 1×1, k×k, 1×1 with mask B, a head with mask B."""
    x = masked_conv(image(shape), "A", first_kernel)
    for _ in range(depth):
        y = masked_conv(masked_conv(x, "B", 1), "B", kernel)
        x = union(x, masked_conv(y, "B", 1))
    return masked_conv(x, "B", 1)


def everything(shape: Shape, depth: int) -> Layer:
    """All that comes before, whatever the depth."""
    order = raster_order(shape)
    return {place: frozenset(order[:i]) for i, place in enumerate(order)}


def gated_pixelcnn(shape: Shape, depth: int, first_kernel: int = 7, kernel: int = 3) -> Layer:
    """Gated PixelCNN: `depth` layers of a vertical stack, whole rows above, and of a horizontal one that it feeds."""
    above = here = image(shape)
    for n in range(depth):
        k = kernel if n else first_kernel
        # The vertical features of row i know row i itself: those of the row above are what the horizontal stack gets.
        above = gather(above, window(k // 2, k // 2, k // 2, num_channels=shape[0]))
        y = union(masked_conv(here, "B" if n else "A", k, rows_above=0), one_row_later(above))
        y = masked_conv(y, "B", 1)
        here = union(here, y) if n else y
    return masked_conv(here, "B", 1)


def row_lstm(shape: Shape, depth: int, first_kernel: int = 7, kernel: int = 3) -> Layer:
    """Row LSTM: states see a 1×k convolution with mask B of the layer before, and k states of the row above."""
    x = masked_conv(image(shape), "A", first_kernel)
    for _ in range(depth):
        inputs = masked_conv(x, "B", kernel, rows_above=0)
        states = scan(inputs, [(-1, dj) for dj in around(kernel)], columns=range(shape[2]))
        x = union(x, masked_conv(states, "B", 1))
    return masked_conv(x, "B", 1)


def diagonal_lstm(
    shape: Shape, depth: int, first_kernel: int = 7, reads_pixels: bool = True, told: Layer | None = None
) -> Layer:
    """Diagonal BiLSTM: one scan from the top left, one from the top right, which arrives a row later.

    reads_pixels: whether the second scan reads the image too in the first layer; in the paper it does not.
    told: what each layer gets besides.
    """
    told = dict.fromkeys(image(shape), frozenset()) if told is None else told
    x = union(masked_conv(image(shape), "A", first_kernel), told)
    for n in range(depth):
        inputs = union(masked_conv(x, "B", 1), told)
        left = scan(inputs, [(-1, 0), (0, -1)], columns=range(shape[2]))
        if reads_pixels and n == 0:
            inputs = union(inputs, gather(image(shape), lambda i, j, c: [(i, j, d) for d in range(shape[0])]))
        right = scan(inputs, [(-1, 0), (0, 1)], columns=reversed(range(shape[2])))
        x = union(x, masked_conv(union(left, one_row_later(right)), "B", 1))
    return masked_conv(x, "B", 1)


def multiscale(shape: Shape, depth: int, first_kernel: int = 7, factor: int = 2) -> Layer:
    """Multi-scale PixelRNN: Diagonal BiLSTMs of each `factor`-th pixel and row, and of the rest, told all of these."""
    C, H, W = shape
    small_shape = (C, -(-H // factor), -(-W // factor))

    def placed(sees: frozenset[SubPixel]) -> frozenset[SubPixel]:
        return frozenset((factor * i, factor * j, c) for i, j, c in sees)

    small = {
        (factor * i, factor * j, c): placed(sees)
        for (i, j, c), sees in diagonal_lstm(small_shape, depth, first_kernel).items()
    }
    # Two 3×3 convolutions without a mask, one of the small image and one of the enlarged.
    square = partial(window, 1, 1, 1, down=1, num_channels=C)
    told = gather(image(small_shape), square())
    told = gather(told, lambda i, j, c: [(i // factor, j // factor, c)], image(shape))
    told = {at: placed(sees) for at, sees in gather(told, square()).items()}
    return diagonal_lstm(shape, depth, first_kernel, told=told) | small


def raster_order(shape: Shape) -> list[SubPixel]:
    C, H, W = shape
    return list(product(range(H), range(W), range(C)))


def multiscale_order(shape: Shape, factor: int = 2) -> list[SubPixel]:
    """The small image, then the others."""
    return sorted(raster_order(shape), key=lambda at: at[0] % factor > 0 or at[1] % factor > 0)


def pixelcnn_pp(shape: Shape, depth: int, num_scales: int = 2) -> Layer:
    """PixelCNN++: `depth` blocks of two streams at each scale, all channels of a pixel together."""
    C, H, W = shape
    x = image((1, H, W))
    above, left = one_row_later(x), gather(x, lambda i, j, c: [(i, j - 1, c)])
    rows = gather(above, window(1, 1, 1))
    pixels = union(gather(above, window(0, 1, 1)), gather(left, window(1, 0, 0)))
    _, pixels = _scale(rows, pixels, depth, num_scales)
    return {
        (i, j, c): frozenset((row, column, d) for row, column, _ in sees for d in range(C))
        for (i, j, _), sees in pixels.items()
        for c in range(C)
    }


def _scale(rows: Layer, pixels: Layer, depth: int, num_scales: int) -> tuple[Layer, Layer]:
    """The blocks of one scale, with the coarser ones in their middle; those after it see those before it."""
    seen = [(rows, pixels)]
    for _ in range(depth):
        seen.append(_block(*seen[-1], *({at: frozenset() for at in rows},) * 2))
    if num_scales == 1:
        rows, pixels = seen.pop()
    else:
        coarse = [at for at in rows if (2 * at[0], 2 * at[1], at[2]) in rows]
        rows, pixels = seen[-1]
        rows, pixels = _scale(
            gather(rows, window(1, 1, 1, stride=2), coarse),
            gather(pixels, window(1, 1, 0, stride=2), coarse),
            depth,
            num_scales - 1,
        )
        rows = gather(rows, lambda i, j, c: [(i // 2, b, c) for b in {j // 2, (j + 1) // 2}], seen[-1][0])
        pixels = gather(pixels, lambda i, j, c: [(i // 2, j // 2, c)], seen[-1][0])
    while seen:
        rows, pixels = _block(rows, pixels, *seen.pop())
    return rows, pixels


def _block(rows: Layer, pixels: Layer, seen_rows: Layer, seen_pixels: Layer) -> tuple[Layer, Layer]:
    """Two convolutions in each stream, 2×3 and 2×2, each after what else the block sees was added."""
    y = union(gather(rows, window(1, 1, 1)), seen_rows)
    rows = union(rows, gather(y, window(1, 1, 1)))
    y = union(gather(pixels, window(1, 1, 0)), rows, seen_pixels)
    return rows, union(pixels, gather(y, window(1, 1, 0)))


def image(shape: Shape) -> Layer:
    """Each sub-pixel sees itself."""
    C, H, W = shape
    return {(i, j, c): frozenset([(i, j, c)]) for i in range(H) for j in range(W) for c in range(C)}


def masked_conv(x: Layer, mask: Literal["A", "B"], kernel: int, rows_above: int | None = None) -> Layer:
    """All channels of the k//2 rows above and of what is left; of the centre d < c (mask A) or d ≤ c (mask B)."""
    rows = kernel // 2 if rows_above is None else rows_above

    def taps(i: int, j: int, c: int) -> Iterable[SubPixel]:
        for d in channels(x):
            yield from ((i + di, j + dj, d) for di in range(-rows, 0) for dj in around(kernel))
            yield from ((i, j + dj, d) for dj in range(-(kernel // 2), 0))
            if d < c or (mask == "B" and d == c):
                yield i, j, d

    return gather(x, taps)


def scan(inputs: Layer, neighbours: list[tuple[int, int]], columns: Iterable[int]) -> Layer:
    """Recurrent states: each sees its input, and all states of its neighbours, which come before it."""
    states: Layer = {}
    columns = list(columns)
    for i in range(1 + max(i for i, _, _ in inputs)):
        for j in columns:
            before = [states.get((i + di, j + dj, d), frozenset()) for di, dj in neighbours for d in channels(inputs)]
            states |= {(i, j, c): inputs[i, j, c].union(*before) for c in channels(inputs)}
    return states


def one_row_later(x: Layer) -> Layer:
    """What a position sees is what that above it saw."""
    return gather(x, lambda i, j, c: [(i - 1, j, c)])


def window(up: int, left: int, right: int, down: int = 0, stride: int = 1, num_channels: int = 1) -> Taps:
    """Rows i − up … i + down and columns j − left … j + right, all channels."""

    def taps(i: int, j: int, c: int) -> Iterable[SubPixel]:
        i, j = stride * i, stride * j
        return product(range(i - up, i + down + 1), range(j - left, j + right + 1), range(num_channels))

    return taps


def gather(x: Layer, taps: Taps, positions: Iterable[SubPixel] | None = None) -> Layer:
    """Each feature sees what those at `taps` of it see; there is nothing outside of the image."""
    positions = x if positions is None else positions
    return {at: frozenset().union(*(x[tap] for tap in taps(*at) if tap in x)) for at in positions}


def union(*layers: Layer) -> Layer:
    """A sum of layers."""
    return {at: frozenset().union(*(layer[at] for layer in layers)) for at in layers[0]}


def around(kernel: int) -> range:
    return range(-(kernel // 2), kernel // 2 + 1)


def channels(x: Layer) -> range:
    return range(1 + max(c for _, _, c in x))
