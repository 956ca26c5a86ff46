"""What holds for every faithfulness metric: transforms, sharing, dtypes, and what they refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxplain._keys import needs_key
from jaxplain.evaluate._faithfulness import faithfulness_correlation, faithfulness_estimate
from jaxplain.evaluate._infidelity import infidelity
from jaxplain.evaluate._monotonicity import monotonicity, monotonicity_correlation
from jaxplain.evaluate._perturbations import square_perturbation, subset_perturbation
from jaxplain.evaluate._rationales import comprehensiveness, sufficiency
from jaxplain.evaluate._sensitivity_n import sensitivity_n

rng = np.random.default_rng(6)
XS = rng.normal(size=(2, 3, 4))
WEIGHTS, FIXED = rng.normal(size=(2, 3, 4))
KEYS = jax.random.split(jax.random.key(0), 2)


def f(x: Any) -> Any:
    return jnp.sum(jnp.tanh(x * jnp.asarray(WEIGHTS, x.dtype))) + x[0, 0] * x[1, 1] * x[2, 3]


ATTRIBUTIONS: dict[str, Callable[[Any], Any]] = {
    "gradient": lambda x: jnp.asarray(WEIGHTS, x.dtype) * x,
    "fixed": lambda x: jnp.asarray(FIXED, x.dtype),
    "constant": lambda x: jnp.full_like(x, 0.1),
}
# Each with the number of evaluations that it needs; those of ORDERED for each attribution.
METRICS: dict[str, tuple[Callable[..., Any], int]] = {
    "correlation": (functools.partial(faithfulness_correlation, subset=5, samples=6), 6),
    "estimate": (functools.partial(faithfulness_estimate), 12),
    "sensitivity_n": (functools.partial(sensitivity_n, sizes=(1, 4, 9), samples=4), 12),
    "infidelity": (
        functools.partial(
            infidelity, perturbation=subset_perturbation(4), samples=6, contributions=True
        ),
        7,
    ),
    "monotonicity": (functools.partial(monotonicity, steps=5), 6),
    "monotonicity_correlation": (functools.partial(monotonicity_correlation, samples=2), 25),
    "comprehensiveness": (functools.partial(comprehensiveness, shares=(0.1, 0.5)), 3),
    "sufficiency": (functools.partial(sufficiency, shares=(0.1, 0.5)), 3),
}
ORDERED = {"monotonicity", "comprehensiveness", "sufficiency"}
each = pytest.mark.parametrize("name", METRICS)


def given(measure: Callable[..., Any], key: Any) -> dict[str, Any]:
    return {"key": key} if needs_key(measure) else {}


@each
def test_batches_chunks_and_dictionaries(name: str) -> None:
    metric, _ = METRICS[name]
    measure = metric(f, ATTRIBUTIONS)
    together = jax.jit(jax.vmap(measure))(XS, **given(measure, KEYS))
    assert set(together) == set(ATTRIBUTIONS)
    chunked = jax.jit(metric(f, ATTRIBUTIONS, chunk=4))(XS[1], **given(measure, KEYS[1]))
    alone = jax.jit(metric(f, ATTRIBUTIONS["fixed"]))(XS[1], **given(measure, KEYS[1]))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    second = jax.tree.map(lambda leaf: leaf[1], together)
    jax.tree.map(close, second, chunked)
    jax.tree.map(close, second["fixed"], alone)


@each
@pytest.mark.parametrize("chunk", [None, 3])
def test_evaluations_are_shared(name: str, chunk: int | None) -> None:
    metric, evaluations = METRICS[name]
    counted = 0

    def on_host(x: np.ndarray) -> Any:
        nonlocal counted
        counted += x.size // XS[0].size
        return np.sum(np.tanh(x), axis=(-2, -1))

    def watched(x: Any) -> Any:
        like = jax.ShapeDtypeStruct((), x.dtype)
        return jax.pure_callback(on_host, like, x, vmap_method="expand_dims")

    measure = metric(watched, ATTRIBUTIONS, chunk=chunk)
    jax.block_until_ready(jax.jit(measure)(XS[0], **given(measure, KEYS[0])))
    expected = evaluations
    if name in ORDERED:
        expected = (evaluations if name == "monotonicity" else 2) * len(ATTRIBUTIONS)
        expected += name != "monotonicity"
    if chunk is None:
        assert counted == expected
    else:  # the last chunk is filled up
        assert expected <= counted <= expected + 2 * len(ATTRIBUTIONS)


@each
def test_dtypes(name: str) -> None:
    metric, _ = METRICS[name]
    measure = metric(f, ATTRIBUTIONS)
    for dtype, expected in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32)):
        like = jax.ShapeDtypeStruct(XS[0].shape, dtype)
        found = jax.eval_shape(measure, like, **given(measure, KEYS[0]))
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(expected)}


@pytest.mark.parametrize("name", ["correlation", "estimate", "sensitivity_n"])
def test_constants(name: str) -> None:
    metric, _ = METRICS[name]

    def total(x: Any, scale: Any, explain: Any) -> Any:
        measure = metric(lambda x: scale * f(x), explain)
        return sum(jnp.sum(v) for v in jax.tree.leaves(measure(x, **given(measure, KEYS[0]))))

    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1)), static_argnums=2)
    for scale, explain in ((1.0, "constant"), (0.0, "fixed"), (1.0, "fixed")):
        value, slopes = both(XS[0], scale, ATTRIBUTIONS[explain])
        if explain == "constant" and name != "sensitivity_n":
            assert float(value) == 0
        assert all(np.isfinite(slope).all() for slope in slopes)


def test_keys() -> None:
    measure = jax.jit(faithfulness_correlation(f, ATTRIBUTIONS["fixed"], subset=5, samples=6))
    one, other = (float(measure(XS[0], key=key)) for key in KEYS)
    assert one != other
    assert one == float(measure(XS[0], key=KEYS[0]))
    with pytest.raises(TypeError, match=r"random and needs a key"):
        faithfulness_correlation(f, ATTRIBUTIONS["fixed"])(XS[0])
    with pytest.raises(TypeError, match=r"takes no key"):
        faithfulness_estimate(f, ATTRIBUTIONS["fixed"])(XS[0], key=KEYS[0])


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "subset": (lambda: faithfulness_correlation(f, jnp.tanh, subset=0), "subset=0"),
    "samples": (lambda: faithfulness_correlation(f, jnp.tanh, samples=1), "at least 2"),
    "correlation": (lambda: faithfulness_estimate(f, jnp.tanh, correlation="tau"), "spearman"),
    "sizes": (lambda: sensitivity_n(f, jnp.tanh, sizes=(1, 0)), "sizes=0"),
    "no sizes": (lambda: sensitivity_n(f, jnp.tanh, sizes=()), r"such as sizes=\(1, 2, 4, 8\)"),
    "steps": (lambda: monotonicity(f, jnp.tanh, steps=0), "steps=0"),
    "shares": (lambda: sufficiency(f, jnp.tanh, shares=(10,)), "between 0 and 1"),
    "no shares": (lambda: comprehensiveness(f, jnp.tanh, shares=()), "give shares"),
    "chunk": (lambda: infidelity(f, jnp.tanh, chunk=0), "chunk=0"),
    "perturbation": (lambda: infidelity(f, jnp.tanh, perturbation=0.1), "must be a function"),
    "size": (lambda: square_perturbation(0), "size=0"),
    "all features": (
        lambda: faithfulness_correlation(f, jnp.tanh, subset=12)(XS[0], key=KEYS[0]),
        "only one such subset",
    ),
    "all features at last": (
        lambda: sensitivity_n(f, jnp.tanh, sizes=(3, 12))(XS[0], key=KEYS[0]),
        "only one such subset",
    ),
    "another shape": (
        lambda: infidelity(f, jnp.tanh, perturbation=lambda k, x, b: x[0])(XS[0], key=KEYS[0]),
        r"perturbation must return values like the input, x: float64\[3,4\]",
    ),
    "another kind": (
        lambda: monotonicity_correlation(f, jnp.tanh, draw=lambda k, x: x > 0)(XS[0], key=KEYS[0]),
        r"draw must return values like the input",
    ),
    "a baseline": (
        lambda: monotonicity_correlation(f, jnp.tanh)(XS[0], key=KEYS[0], baseline=0.0),
        "give them as draw=",
    ),
    "groups": (
        lambda: infidelity(f, jnp.tanh)(XS[0], key=KEYS[0], groups=np.zeros((3, 4), int)),
        "give groups to subset_perturbation",
    ),
    "integers": (lambda: infidelity(f, jnp.tanh)(np.ones((3, 4), int), key=KEYS[0]), "dtype int"),
    "too large": (
        lambda: infidelity(f, jnp.tanh, perturbation=square_perturbation(4))(XS[0], key=KEYS[0]),
        "take at most 3",
    ),
    "too many": (
        lambda: infidelity(f, jnp.tanh, perturbation=subset_perturbation(13))(XS[0], key=KEYS[0]),
        "has 12 features",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises((TypeError, ValueError), match=message):
        call()
