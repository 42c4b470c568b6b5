"""What metrics declare of their numbers."""

import re

from pmodel.evaluation import declared


def test_names_are_identifiers_and_meanings_are_sentences():
    for name, quantity in declared().items():
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert quantity.label
        assert quantity.meaning.endswith(".")
        assert (quantity.better is None) or (quantity.ideal is None)
    labels = [quantity.label for quantity in declared().values()]
    assert len(set(labels)) == len(labels)
