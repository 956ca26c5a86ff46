"""PatternNet and PatternAttribution: the estimator against its formula, and what patterns show."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxplain

RNG = np.random.default_rng(0)
W1, B1 = RNG.normal(size=(4, 6)), 0.3 * RNG.normal(size=6)
W2, B2 = RNG.normal(size=(6, 3)), 0.3 * RNG.normal(size=3)
DATA = RNG.normal(size=(60, 4)) @ RNG.normal(size=(4, 4))


def net(x: Any) -> Any:
    return jnp.maximum(x @ W1 + B1, 0) @ W2 + B2


def two_component(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Kindermans et al. 2018, equation 12, unit by unit."""
    pattern = np.zeros_like(w)
    for j in range(w.shape[1]):
        y = x @ w[:, j]
        on = y + b[j] > 0
        if not on.any():
            pattern[:, j] = w[:, j]
            continue
        covariance = (x[on] * y[on, None]).mean(0) - x[on].mean(0) * y.mean()
        pattern[:, j] = covariance / (w[:, j] @ covariance)
    return pattern


def test_dense_patterns_are_the_papers() -> None:
    fitted = jaxplain.fit_patterns(net, [DATA])
    hidden = np.maximum(DATA @ W1 + B1, 0)
    np.testing.assert_allclose(fitted.patterns[0], two_component(DATA, W1, B1), rtol=1e-9)
    np.testing.assert_allclose(fitted.patterns[1], two_component(hidden, W2, B2), rtol=1e-9)


def test_any_batches_give_the_same_patterns() -> None:
    whole = jaxplain.fit_patterns(net, [DATA])
    seen: list[int] = []
    parts = jaxplain.fit_patterns(
        net, (DATA[i : i + 20] for i in range(0, 60, 20)), progress=seen.append
    )
    assert seen == [20, 40, 60]
    for one, other in zip(whole.patterns, parts.patterns, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_convolution_patterns_average_over_positions() -> None:
    kernel = RNG.normal(size=(3, 2, 4))
    signals = RNG.normal(size=(5, 8, 2))

    def conv(x: Any) -> Any:
        out = jax.lax.conv_general_dilated(
            x[None], kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )
        return jnp.maximum(out, 0).sum()

    fitted = jaxplain.fit_patterns(conv, [signals])
    patches = np.stack([signals[:, i : i + 3].reshape(5, 6) for i in range(6)], 1).reshape(-1, 6)
    expected = two_component(patches, kernel.reshape(6, 4), np.zeros(4)).reshape(3, 2, 4)
    np.testing.assert_allclose(fitted.patterns[0], expected, rtol=1e-9)


def test_the_signal_is_found_and_the_distractor_is_not() -> None:
    """x = s·signal + e·distractor, and the weights cancel the distractor: the paper's figure 1."""
    signal, distractor = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    s, e = RNG.normal(size=(2, 4000))
    data = s[:, None] * signal + e[:, None] * distractor
    weights = np.array([[1.0], [-1.0]])  # signal · w = 1, distractor · w = 0
    fitted = jaxplain.fit_patterns(lambda x: x @ weights, [data])
    np.testing.assert_allclose(fitted.patterns[0][:, 0], signal, atol=0.06)
    x = jnp.asarray(data[0])
    shown = jaxplain.pattern_net(lambda x: (x @ weights)[0], fitted)(x)
    np.testing.assert_allclose(shown, s[0] * signal, atol=0.1 * abs(s[0]))
    # The gradient points along the weights, and so at the distractor too.
    assert abs(jax.grad(lambda x: (x @ weights)[0])(x)[1]) == 1


@pytest.mark.parametrize("method", [jaxplain.pattern_net, jaxplain.pattern_attribution])
def test_backward_passes_by_hand(method: Any) -> None:
    fitted = jaxplain.fit_patterns(net, [DATA])
    score = jaxplain.select(net)
    x = jnp.asarray(DATA[3])
    a1, a2 = (np.asarray(pattern) for pattern in fitted.patterns)
    if method is jaxplain.pattern_attribution:
        a1, a2 = a1 * W1, a2 * W2
    start = float(score(x, 2))
    on = DATA[3] @ W1 + B1 > 0
    expected = a1 @ (on * (a2[:, 2] * start))
    found = jax.jit(method(score, fitted))(x, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    mapped = jax.vmap(method(score, fitted), (0, None))(jnp.asarray(DATA[3:5]), 2)
    np.testing.assert_allclose(mapped[0], expected, rtol=1e-9)


def test_patterns_of_another_model_raise() -> None:
    fitted = jaxplain.fit_patterns(lambda x: x @ W1, [DATA])
    with pytest.raises(ValueError, match="patterns of 1 layers.*has 2"):
        jaxplain.pattern_net(jaxplain.select(net), fitted)(jnp.asarray(DATA[0]), 0)


def test_no_data_raises() -> None:
    with pytest.raises(ValueError, match="got no batch"):
        jaxplain.fit_patterns(net, [])


def test_layers_in_loops_raise() -> None:
    def looped(x: Any) -> Any:
        return jax.lax.scan(lambda h, _: (jnp.tanh(h @ W1[:, :4]), None), x, None, length=2)[0]

    with pytest.raises(ValueError, match="inside a loop.*unrolled"):
        jaxplain.fit_patterns(looped, [DATA])
