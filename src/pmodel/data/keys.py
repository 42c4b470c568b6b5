"""Seeds that depend only on where in a run they are used."""

_MASK = 2**64 - 1


def mix_key(*numbers: int) -> int:
    """An integer in [0, 2**63) that depends on every number and on their order.

    Chains the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    All bits are mixed, so the low 32, which are all that PyTorch's CPU generator takes of a seed, are as good as any.
    """
    state = 0
    for number in numbers:
        z = (state + number + 0x9E3779B97F4A7C15) & _MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        state = z ^ (z >> 31)
    return state >> 1
