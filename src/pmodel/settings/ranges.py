"""Types of settings with their ranges; the command line's check reads them in the signatures of constructors."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen

Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Two = Annotated[int, Ge(2)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
# What PyTorch and NumPy take alike.
Seed = Annotated[int, Ge(0), Le(4294967295)]
# More than 0 and less than a half, such as what a logit keeps from 0 and 1.
OpenHalf = Annotated[float, Gt(0), Lt(0.5)]
# Of an average of weights, what stays of it in a step.
Decay = Annotated[float, Gt(0), Lt(1)]
Counts = Annotated[list[Count], MinLen(1)]
# Of a place: an empty one would be the current folder.
Text = Annotated[str, MinLen(1)]
