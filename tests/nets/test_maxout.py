"""Maxout against its formula."""

import torch

from pmodel.nets.maxout import Maxout, MaxoutEncoder


def test_maxout_is_the_largest_of_its_linear_pieces():
    layer = Maxout(5, 3, 4)
    x = torch.randn(7, 5)
    weight, bias = layer.linear.weight.view(3, 4, 5), layer.linear.bias.view(3, 4)
    expected = (torch.einsum("bi,opi->bop", x, weight) + bias).max(2).values
    torch.testing.assert_close(layer(x), expected)


def test_dropout_is_of_the_input_and_of_each_layer_in_training_alone():
    network = MaxoutEncoder([1, 4, 4], 2, [6, 6], pieces=2, input_dropout=0.2, dropout=0.5)
    rates = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates == [0.2, 0.5, 0.5]
    x = torch.randn(3, 1, 4, 4)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
    assert network(x).shape == (3, 2)
