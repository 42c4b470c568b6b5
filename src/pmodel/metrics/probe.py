"""How well labels can be read off a model's codes."""

import math

from torch import Tensor

# Steps of L-BFGS, at most.
MAX_ITER = 200


def linear_probe(train_codes: Tensor, train_label: Tensor, test_codes: Tensor, test_label: Tensor) -> float:
    """The share of test examples whose label multinomial logistic regression predicts right, fitted to codes (N, …) and
    labels (N,) int64 of training examples.

    Codes are standardized by the mean and deviation of the training codes; a column that is constant there says
    nothing. scikit-learn's regression in float64, with its penalty ½ ‖w‖² beside the sum of the losses, by L-BFGS from
    0, so without chance. On standardized codes that takes some tens of steps; after 200 it stops, converged or not, and
    says nothing. NaN where a code is not finite, there is no test example, or the training labels are not at least two
    different ones.
    """
    if not (len(test_codes) and train_codes.isfinite().all() and test_codes.isfinite().all()):
        return math.nan
    if len(train_label.unique()) < 2:
        return math.nan
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train, test = (codes.flatten(1).double().cpu().numpy() for codes in (train_codes, test_codes))
    scaler = StandardScaler().fit(train)
    probe = LogisticRegression(max_iter=MAX_ITER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(scaler.transform(train), train_label.cpu().numpy())
    return float(probe.score(scaler.transform(test), test_label.cpu().numpy()))
