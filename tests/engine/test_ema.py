"""Looking at a network through its averaged weights, and coming back."""

import mindspore as ms
import numpy as np
import pytest
from reference import Settings, batches
from stepping import Net, arrays, run, step_of

from mindcv.engine import averaged_weights

MODES = [pytest.param(ms.GRAPH_MODE, id="graph"), pytest.param(ms.PYNATIVE_MODE, id="pynative")]
SETTINGS = Settings(ema=True, batch_norm=True)


@pytest.mark.parametrize("mode", MODES)
def test_the_average_is_in_place_and_then_the_weights_again(mode):
    """Also for a network that was compiled before, and for the step that goes on afterwards."""
    ms.set_context(mode=mode)
    data = list(batches(6, SETTINGS))
    step, other = step_of(SETTINGS), step_of(SETTINGS)
    network = step.network.network
    x = ms.Tensor(data[0][0])
    run(step, data[:3])
    own, average = arrays(step), arrays(step, "ema.")
    before = network.set_train(False)(x).asnumpy()
    with averaged_weights(step):
        assert all(np.array_equal(value, average[name]) for name, value in arrays(step).items())
        through_average = network(x).asnumpy()
    assert all(np.array_equal(value, own[name]) for name, value in arrays(step).items())
    assert np.abs(through_average - before).max() > 1e-3
    np.testing.assert_array_equal(network(x).asnumpy(), before)
    network.set_train(True)
    assert run(step, data[3:]) == run(other, data)[3:]


class Indexed(Net):
    """With indices, as Swin V2 has them."""

    def __init__(self):
        super().__init__()
        self.index = ms.Parameter(ms.Tensor([1, 5, 24], ms.int32), name="index", requires_grad=False)


@pytest.mark.parametrize("mode", MODES)
def test_indices_are_kept_and_not_averaged(mode):
    ms.set_context(mode=mode)
    settings = Settings(ema=True)
    step = step_of(settings, network=Indexed())
    run(step, batches(3, settings))
    np.testing.assert_array_equal(step.parameters_dict()["ema.index"].asnumpy(), [1, 5, 24])


def test_an_error_inside_gives_the_weights_back():
    step = step_of(SETTINGS)
    run(step, batches(2, SETTINGS))
    own = arrays(step)
    with pytest.raises(KeyError), averaged_weights(step):
        raise KeyError
    assert all(np.array_equal(value, own[name]) for name, value in arrays(step).items())


def test_without_an_average_nothing_changes():
    step = step_of(Settings())
    own = arrays(step)
    with averaged_weights(step):
        assert all(np.array_equal(value, own[name]) for name, value in arrays(step).items())
