"""Mistakes that users make, and what the message tells them to type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxplain
from jaxplain import rules

X = jnp.asarray(np.linspace(-1.0, 1.0, 4))
X32 = X.astype(jnp.float32)
KEY = jax.random.key(0)


def f(x: Any) -> Any:
    return jnp.sum(x**2)


def logits(x: Any) -> Any:
    return jnp.stack([jnp.sum(x), jnp.sum(x**2), jnp.prod(x)])


def apply(xs: Any) -> Any:
    return jax.vmap(logits)(xs)


class Normed(nn.Module):
    """A linen network that is easily left in training mode."""

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = nn.BatchNorm(use_running_average=not train)(x)
        return jnp.sum(x)


def linen_in_training_mode(x: Any) -> Any:
    model = Normed()
    variables = model.init(jax.random.key(0), X32[None], train=False)
    return model.apply(variables, x[None], train=True)


def linen_with_mutable_state(x: Any) -> Any:
    model = Normed()
    variables = model.init(jax.random.key(0), X32[None], train=False)
    return model.apply(variables, x[None], train=True, mutable=["batch_stats"])


nnx_norm = nnx.BatchNorm(4, rngs=nnx.Rngs(0))


def nnx_in_training_mode(x: Any) -> Any:
    return jnp.sum(nnx_norm(x[None]))


path = jaxplain.integrated_grad
Mistake = tuple[str, Callable[[], Any], type[Exception], str]

MISTAKES: list[Mistake] = [
    (
        "non-scalar output",
        lambda: jaxplain.saliency(logits)(X),
        TypeError,
        r"logits must return one real number.*output: float64\[3\].*jaxplain\.select\(f\)",
    ),
    (
        "non-scalar output of a combinator's inner method",
        lambda: jaxplain.smooth(jaxplain.saliency(logits))(X, key=KEY),
        TypeError,
        r"jaxplain\.select\(f\)",
    ),
    (
        "a tuple as output",
        lambda: jaxplain.saliency(lambda x: (f(x), f(x)))(X),
        TypeError,
        r"output\[0\]: float64\[\].*lambda x: f\(x\)\[0\]",
    ),
    (
        "an index as output",
        lambda: jaxplain.saliency(lambda x: jnp.argmax(x))(X),
        TypeError,
        "floating-point score, not an index",
    ),
    (
        "a batch passed without vmap",
        lambda: jaxplain.saliency(lambda x: jax.vmap(f)(x))(jnp.ones((3, 4))),
        TypeError,
        r"jax\.vmap\(explain\)\(xs\)",
    ),
    (
        "a batched model without unbatch",
        lambda: jaxplain.saliency(jaxplain.select(lambda x: apply(x[None])))(X, 0),
        IndexError,
        r"a batch of one: .* has shape \(1, 3\)\. Use jaxplain\.unbatch",
    ),
    (
        "a batched model without unbatch and without select",
        lambda: jaxplain.saliency(lambda x: apply(x[None])[:, 0])(X),
        TypeError,
        r"axis of size 1 looks like a batch: use jaxplain\.unbatch",
    ),
    (
        "unbatch around a model of one example",
        lambda: jaxplain.unbatch(lambda x: logits(x))(X),
        ValueError,
        "function of one example already\\? Then leave unbatch out",
    ),
    (
        "a class that does not exist",
        lambda: jaxplain.select(logits)(X, 3),
        IndexError,
        r"index 3 for axis 0 of an output of shape \(3,\): valid are -3 to 2",
    ),
    (
        "more indices than axes",
        lambda: jaxplain.select(logits)(X, (0, 1)),
        IndexError,
        r"2 indices for an output of shape \(3,\)",
    ),
    (
        "a class that is not an integer",
        lambda: jaxplain.select(logits)(X, 1.0),
        TypeError,
        r"needs an integer index.*k=1\.0.*jnp\.arange\(n\)",
    ),
    (
        "several classes at once",
        lambda: jaxplain.select(logits)(X, jnp.arange(3)),
        TypeError,
        r"jax\.vmap\(explain, \(None, 0\)\)",
    ),
    (
        "integer input",
        lambda: jaxplain.saliency(f)(jnp.arange(4)),
        TypeError,
        r"x has dtype int.*x\.astype\(jnp\.float32\).*cut the model at its embedding",
    ),
    (
        "an integer leaf in a tree",
        lambda: jaxplain.saliency(lambda x: f(x["pixels"]))({"pixels": X, "ids": jnp.arange(3)}),
        TypeError,
        r"x\['ids'\] has dtype int",
    ),
    (
        "no arrays to explain",
        lambda: jaxplain.saliency(lambda x: X[0])({}),
        TypeError,
        "holds no arrays",
    ),
    (
        "NaN in the input",
        lambda: jaxplain.saliency(f)(X.at[2].set(jnp.nan)),
        ValueError,
        r"x\[2\] is nan.*jnp\.nan_to_num",
    ),
    (
        "infinity in the baseline",
        lambda: path(f)(X, baseline=X.at[1].set(jnp.inf)),
        ValueError,
        r"baseline\[1\] is inf",
    ),
    (
        "a baseline of another shape",
        lambda: path(f)(X, baseline=jnp.zeros((1, 4))),
        ValueError,
        r"baseline has shape \(1, 4\), but x has shape \(4,\).*never broadcast",
    ),
    (
        "a baseline of another tree",
        lambda: path(lambda x: f(x["a"]))({"a": X}, baseline={"b": X}),
        ValueError,
        r"baseline's tree, .*'b'.*, differs from the input's, .*'a'",
    ),
    (
        "a baseline shared over a vmapped batch",
        lambda: jax.vmap(path(f))(jnp.ones((2, 2, 3)), baseline=jnp.zeros((2, 3))),
        ValueError,
        r"baseline has shape \(3,\), but x has shape \(2, 3\)\..*functools\.partial",
    ),
    (
        "no set of baselines",
        lambda: jaxplain.expected_grad(f)(X, key=KEY),
        TypeError,
        r"pass baseline=.*\(n, \*x\.shape\).*jaxplain\.baselines\.samples",
    ),
    (
        "one baseline where a set is due",
        lambda: jaxplain.over_baselines(path(f))(X, baseline=X),
        ValueError,
        r"baseline=b\[None\]",
    ),
    (
        "missing key",
        lambda: jaxplain.smooth(jax.grad(f))(X),
        TypeError,
        r"smooth\(.*\) is random and needs a key: pass key=jax\.random\.key\(0\)",
    ),
    (
        "a number for a key",
        lambda: jaxplain.smooth(jax.grad(f))(X, key=0),
        TypeError,
        r"key=0 is not a random key: pass key=jax\.random\.key\(0\)",
    ),
    (
        "a batch of keys for one example",
        lambda: jaxplain.smooth(jax.grad(f))(X, key=jax.random.split(KEY, 3)),
        TypeError,
        r"got \(3,\) keys for one example.*jax\.vmap\(explain\)\(xs, key=keys\)",
    ),
    (
        "one old-style key for a vmapped batch",
        lambda: jax.vmap(jaxplain.smooth(jax.grad(f)))(
            jnp.ones((2, 4)), key=jax.random.key_data(KEY)
        ),
        TypeError,
        r"key=jax\.random\.split\(jax\.random\.key\(0\), len\(xs\)\).*functools\.partial",
    ),
    (
        "unknown rule",
        lambda: path(f, rule="simpson"),
        ValueError,
        r"rule='simpson' is unknown: choose one of left, right, middle, trapezoid, gauss_legendre",
    ),
    (
        "unknown statistic",
        lambda: jaxplain.smooth(f, statistic="median"),
        ValueError,
        "statistic='median' is unknown: choose one of mean, square, variance",
    ),
    (
        "unknown reduction",
        lambda: jaxplain.over_baselines(f, reduce="max"),
        ValueError,
        "reduce='max' is unknown: choose one of mean, median, none",
    ),
    (
        "no steps",
        lambda: path(f, steps=0),
        ValueError,
        "steps=0 is not a whole number of at least 1",
    ),
    ("half a step", lambda: path(f, steps=2.5), ValueError, "steps=2.5 is not a whole number"),
    (
        "a trapezoid with one side",
        lambda: path(f, steps=1, rule="trapezoid"),
        ValueError,
        "steps=1 .* at least 2. The trapezoid rule needs both ends",
    ),
    (
        "variance of one sample",
        lambda: jaxplain.smooth(f, samples=1, statistic="variance"),
        ValueError,
        "samples=1 is not a whole number of at least 2",
    ),
    (
        "chunk of nothing",
        lambda: path(f, chunk=0),
        ValueError,
        "chunk=0 .* at least 1. Leave chunk out",
    ),
    (
        "negative sigma",
        lambda: jaxplain.smooth(f, sigma=-0.1),
        ValueError,
        r"sigma=-0\.1 must be a number at least 0",
    ),
    (
        "negative tolerance",
        lambda: path(f, tolerance=-1.0),
        ValueError,
        r"tolerance=-1\.0 must be a number at least 0",
    ),
    (
        "alpha beyond the path",
        lambda: jaxplain.interior_grad(f, 1.5),
        ValueError,
        r"alpha=1\.5 must be a number between 0 and 1",
    ),
    (
        "noise as a share of no range",
        lambda: jaxplain.smooth(lambda x: f(x["age"]))({"age": X[0]}, key=KEY),
        ValueError,
        r"x\['age'\] has a single value .* give sigma=",
    ),
    (
        "sigma of another tree",
        lambda: jaxplain.smooth(f, sigma=(0.1, 0.2))(X, key=KEY),
        ValueError,
        "sigma has the tree .* give one number",
    ),
    (
        "wrong argnums",
        lambda: jaxplain.saliency(f, argnums=1)(X),
        TypeError,
        r"positional argument 1 of f, but the call passed 1 positional argument",
    ),
    (
        "argnums that are no number",
        lambda: jaxplain.saliency(f, argnums="x")(X),
        TypeError,
        "argnums='x' must be an int or a tuple of ints",
    ),
    (
        "the explained argument by keyword",
        lambda: jaxplain.saliency(f)(x=X),
        TypeError,
        "Pass the argument to explain by position",
    ),
    (
        "info inside smooth",
        lambda: jaxplain.smooth(path(f, tolerance=0.1, info=True))(X, key=KEY),
        TypeError,
        "smooth averages floating-point results.*without info=True",
    ),
    (
        "a baseline for a method that takes none",
        lambda: jaxplain.saliency(f)(X, baseline=X),
        TypeError,
        "baseline= was given to a method of f that takes none",
    ),
    (
        "a key for a method that is not random",
        lambda: path(f)(X, key=KEY),
        TypeError,
        "key= was given to a method of f that takes none",
    ),
    (
        "info inside over_baselines",
        lambda: jaxplain.over_baselines(path(f, info=True))(X, baseline=X[None]),
        TypeError,
        "over_baselines averages floating-point results.*without info=True",
    ),
    (
        "no share of the features",
        lambda: jaxplain.guided_integrated_grad(f, fraction=0.0),
        ValueError,
        "fraction=0.0 must be a number between",
    ),
    (
        "info inside times_input",
        lambda: jaxplain.times_input(path(f, info=True))(X),
        TypeError,
        "without info=True",
    ),
    (
        "the residual of a batch",
        lambda: jaxplain.convergence_delta(f, jnp.ones((3, 4)), X),
        ValueError,
        r"is not shaped like the input.*jax\.vmap",
    ),
    (
        "blur along an axis that is not there",
        lambda: jaxplain.baselines.blur(X),
        ValueError,
        r"x has shape \(4,\) and cannot be blurred along axes=\(0, 1\).*axes=\(0,\)",
    ),
    (
        "more samples than data",
        lambda: jaxplain.baselines.samples(X[:, None], 5, key=KEY),
        ValueError,
        "count=5 exceeds the 4 examples",
    ),
    (
        "channels that do not fit",
        lambda: jaxplain.baselines.constant(X, jnp.ones(3)),
        ValueError,
        r"value has shape \(3,\), but x has shape \(4,\)",
    ),
    (
        "linen BatchNorm in training mode",
        lambda: jaxplain.saliency(linen_in_training_mode)(X32),
        ValueError,
        r"in evaluation mode: train=False or use_running_average=True",
    ),
    (
        "linen BatchNorm in training mode with mutable state",
        lambda: jaxplain.saliency(linen_with_mutable_state)(X32),
        TypeError,
        r"evaluation mode, with train=False .*without mutable",
    ),
    (
        "nnx BatchNorm in training mode",
        lambda: jaxplain.saliency(nnx_in_training_mode)(X32),
        ValueError,
        r"model\.eval\(\) in nnx",
    ),
    (
        "no paper to cite",
        lambda: jaxplain.cite(jaxplain.select),
        ValueError,
        "No paper on record for select.*integrated_grad",
    ),
    (
        "alpha - beta is not 1",
        lambda: rules.AlphaBeta(2.0, 0.5),
        ValueError,
        r"alpha - beta must be 1.*Use beta=1\.0",
    ),
    (
        "box upside down",
        lambda: rules.epsilon_gamma_box(1.0, -1.0),
        ValueError,
        "low=1.0, high=-1.0.*low must not exceed high",
    ),
    ("negative gamma", lambda: rules.Gamma(-0.1), ValueError, "gamma=-0.1 must be .* at least 0"),
    (
        "interpolation out of range",
        lambda: rules.interpolated(1.5),
        ValueError,
        "gamma=1.5 must be a number between 0 and 1",
    ),
    ("one bound", lambda: jaxplain.deep_taylor(f, low=0.0), ValueError, "both bounds.*or neither"),
    (
        "a preset by name",
        lambda: jaxplain.lrp(f, "epsilon_plus"),
        TypeError,
        r"'epsilon_plus' is neither a rule nor a composite.*rules\.epsilon_plus\(\)",
    ),
    (
        "a preset not called",
        lambda: jaxplain.lrp(f, rules.epsilon_plus),
        TypeError,
        r"is neither a rule nor a composite.*rules\.epsilon_plus\(\)",
    ),
    (
        "a rule class without parentheses",
        lambda: rules.Composite([(jaxplain.Kind.CONV, rules.ZPlus)]),
        TypeError,
        r"pairs of a selector and a rule, such as .*rules\.ZPlus\(\)",
    ),
    (
        "something that selects nothing",
        lambda: rules.Composite([(3, rules.ZPlus())]),
        TypeError,
        r"3 does not select sites.*path.*jaxplain\.Kind.*first\(\)",
    ),
    ("unknown seed", lambda: jaxplain.lrp(f, seed="max"), ValueError, "seed='max'.*score, one"),
    ("unknown bias", lambda: jaxplain.lrp(f, bias="drop"), ValueError, "bias='drop'.*absorb, sp"),
    (
        "unknown missing",
        lambda: jaxplain.lrp(f, missing="skip"),
        ValueError,
        "missing='skip'.*error, gradient",
    ),
    (
        "a rule for layers at a softmax",
        lambda: jaxplain.lrp(
            lambda x: jax.nn.softmax(x)[0],
            rules.Composite([(jaxplain.Kind.SOFTMAX, rules.ZPlus())]),
        )(X),
        ValueError,
        r"ZPlus is no rule for 'div' \(SOFTMAX, div\) at .*test_errors\.py:\d+.*DENSE, CONV",
    ),
    (
        "steps without a rule, all at once",
        lambda: jaxplain.lrp(
            lambda x: jnp.linalg.inv(jnp.diag(x) + 2)[0, 0] + jnp.abs(jnp.fft.fft(x))[0]
        )(X),
        NotImplementedError,
        r"step\(s\) carry relevance and have no rule:.*custom_linear_solve.*test_errors\.py:\d+"
        ".*fft.*register_op.*missing='gradient'",
    ),
    (
        "a while loop",
        lambda: jaxplain.lrp(
            lambda x: jax.lax.while_loop(lambda h: h.sum() < 9, lambda h: 2 * h, jnp.abs(x)).sum()
        )(X),
        NotImplementedError,
        r"while loop at .*test_errors\.py:\d+.*jax\.lax\.scan",
    ),
    (
        "relevance of whole numbers",
        lambda: jaxplain.lrp(lambda ids: jnp.sum(ids))(jnp.arange(3)),
        TypeError,
        "int.*embedding layer",
    ),
    (
        "guided backprop without rectifiers",
        lambda: jaxplain.guided_backprop(lambda x: jnp.tanh(x).sum())(X),
        ValueError,
        r"guided_backprop changes the gradient at rectifiers.*has none.*jaxplain\.lrp",
    ),
    (
        "an operation of a kind that needs more than its derivative",
        lambda: jaxplain.register_op(jax.lax.erf_p, jaxplain.Kind.SOFTMAX),
        TypeError,
        r"kind=<Kind.SOFTMAX.*Kind\.ELEMENTWISE",
    ),
    (
        "contrast with a class that does not exist",
        lambda: jaxplain.contrast(logits)(X, 1, 7),
        IndexError,
        "index 7.*valid are -3 to 2",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_mistake_is_met_by_what_to_type(
    call: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"(?s){message}"):
        call()


def test_one_new_style_key_for_a_batch_is_refused_by_jax_itself() -> None:
    """`jax.vmap` looks at the key before jaxplain is called, so the message is JAX's."""
    explain = jaxplain.smooth(jax.grad(f), samples=2, sigma=0.1)
    with pytest.raises(ValueError, match="rank should be at least 1, but is only 0"):
        jax.vmap(explain)(jnp.ones((3, 4)), key=KEY)
    shared = jax.vmap(partial(explain, key=KEY))(jnp.ones((3, 4)))
    np.testing.assert_array_equal(shared[0], shared[2])
    own = jax.vmap(explain)(jnp.ones((3, 4)), key=jax.random.split(KEY, 3))
    assert not np.allclose(own[0], own[2])


def test_a_traced_class_that_does_not_exist_gives_nan_and_never_another_class() -> None:
    explain = jax.jit(jaxplain.input_x_grad(jaxplain.select(logits)))
    assert np.isfinite(explain(X, 2)).all()
    assert np.isfinite(explain(X, -3)).all()
    assert np.isnan(explain(X, 3)).all()
    assert np.isnan(jax.jit(jaxplain.select(logits))(X, -4))


def test_nan_stays_visible_under_jit() -> None:
    attribution = jax.jit(path(f, steps=3))(X.at[2].set(jnp.nan))
    assert np.isnan(attribution[2])


def test_the_models_own_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        jaxplain.saliency(lambda x: 1 / 0)(X)


def test_a_path_that_fits_nothing_warns_with_the_nearest() -> None:
    def named(x: Any) -> Any:
        with jax.named_scope("block/dense"):
            return jnp.dot(x, X)

    composite = rules.Composite([("block/danse", rules.ZPlus())])
    with pytest.warns(UserWarning, match="'block/danse' matches no site.*'block/dense'"):
        jaxplain.lrp(named, composite)(X)
    with pytest.warns(UserWarning, match=r"No site.*has a path.*jax\.named_scope.*flax\.named"):
        jaxplain.lrp(f, composite)(X)


def test_missing_rules_by_the_gradient_if_asked_for() -> None:
    def inverse(x: Any) -> Any:
        return jnp.linalg.inv(jnp.diag(x) + 2 * jnp.eye(4))[0, 0]

    attribution = jaxplain.lrp(inverse, missing="gradient", seed="one")(X)
    assert np.isfinite(attribution).all()
