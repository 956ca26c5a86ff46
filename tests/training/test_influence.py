"""Influence functions are what dense matrices give, and what training again confirms."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import influence_references as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import FrozenDict

from jaxplain._types import PyTree
from jaxplain.training._influence import influence

Array = np.ndarray[Any, Any]
KEY = jax.random.key(0)

LOGISTIC = reference.logistic()
MLP = reference.mlp()


def logistic_loss(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return jax.nn.softplus(-y * (w @ x)) + LOGISTIC.l2 * jnp.sum(w**2)


def mlp_loss(params: PyTree, x: jax.Array, y: jax.Array) -> jax.Array:
    low, high = params["Dense_0"], params["Dense_1"]
    with jax.named_scope("output"):
        h = jnp.tanh(x @ low["kernel"] + low["bias"]) @ high["kernel"] + high["bias"][0]
    penalty = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
    return (h - y) ** 2 / 2 + MLP.l2 * penalty


def mlp_tree(flat: Array) -> PyTree:
    a, A, c, b = map(jnp.asarray, reference.mlp_parts(flat))
    return {"Dense_0": {"bias": a, "kernel": A}, "Dense_1": {"bias": c, "kernel": b}}


@functools.cache
def logistic_minimum() -> Array:
    return LOGISTIC.minimum(np.zeros(LOGISTIC.xs.shape[1]))


@functools.cache
def mlp_minimum() -> Array:
    return reference.mlp_minimum(MLP)


def arrays(problem: reference.Problem) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(problem.xs), jnp.asarray(problem.ys)


def stream(problem: reference.Problem, size: int = 25) -> list[tuple[Array, Array]]:
    cuts = range(0, len(problem.xs), size)
    return [(problem.xs[c : c + size], problem.ys[c : c + size]) for c in cuts]


XS = np.random.default_rng(5).normal(size=(3, 4))
YS = np.array([1.0, -1.0, 1.0])


@functools.cache
def explain_logistic(**options: Any) -> Callable[..., Any]:
    return influence(logistic_loss, jnp.asarray(logistic_minimum()), arrays(LOGISTIC), **options)


@pytest.mark.parametrize("where", ["arrays", "chunks", "stream", "progress"])
def test_logistic_regression_as_with_the_matrix_itself(where: str) -> None:
    options: dict[str, Any] = {"chunks": {"chunk": 7}, "progress": {"chunk": 25}}.get(where, {})
    seen: list[int] = []
    if where == "progress":
        options["progress"] = seen.append
    train = stream(LOGISTIC) if where == "stream" else arrays(LOGISTIC)
    explain = influence(
        logistic_loss, jnp.asarray(logistic_minimum()), train, damping=0.03, info=True, **options
    )
    scores, info = explain(XS[0], YS[0])
    expected = LOGISTIC.influence(logistic_minimum(), XS[0], YS[0], damping=0.03)
    np.testing.assert_allclose(scores, expected, rtol=1e-7, atol=1e-10)
    assert info.converged and info.residual < 1e-8 and 1 <= info.steps <= 6
    # One product each step, one for the residual, and a derivative along the solution.
    assert info.evaluations == (int(info.steps) + 2) * 60
    if where == "progress":
        passes = range(int(info.steps) + 2)
        assert seen == [60 * before + read for before in passes for read in (20, 40, 60)]


def test_vmap_and_jit_give_the_numbers_of_the_loop() -> None:
    explain = explain_logistic()
    loop = np.stack([explain(x, y) for x, y in zip(XS, YS, strict=True)])
    np.testing.assert_allclose(jax.vmap(explain)(XS, YS), loop, rtol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.vmap(explain))(XS, YS), loop, rtol=1e-9)


def test_derivative_of_the_scores_in_the_example_and_in_the_parameters() -> None:
    """As those of the dense formula, although the solver is a loop."""
    train = arrays(LOGISTIC)
    w, x, y = jnp.asarray(logistic_minimum()), jnp.asarray(XS[0]), jnp.asarray(YS[0])

    def of_solver(w: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(influence(logistic_loss, w, train, info=True)(x, y)[0] ** 2)

    def of_matrix(w: jax.Array, x: jax.Array) -> jax.Array:
        def mean(w: jax.Array) -> jax.Array:
            return jnp.mean(jax.vmap(lambda x, y: logistic_loss(w, x, y))(*train))

        each = jax.vmap(lambda x, y: jax.grad(logistic_loss)(w, x, y))(*train)
        matrix = jax.hessian(mean)(w) + 0.01 * jnp.eye(4)
        return jnp.sum((each @ jnp.linalg.solve(matrix, jax.grad(logistic_loss)(w, x, y))) ** 2)

    found = jax.jit(jax.grad(of_solver, (0, 1)))(w, x)
    expected = jax.jit(jax.grad(of_matrix, (0, 1)))(w, x)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_ridge_regression_is_the_derivative_of_training_by_a_weight() -> None:
    rng = np.random.default_rng(3)
    xs, l2, n = rng.normal(size=(30, 3)), 0.1, 30
    ys = xs @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=n)
    x, y = rng.normal(size=3), 0.7

    def loss_after(weights: Array) -> float:
        w = reference.ridge_minimum(xs, ys, weights, l2)
        return float((w @ x - y) ** 2 / 2 + l2 * w @ w)

    step = 1e-5 * np.eye(n)
    even = np.full(n, 1 / n)
    expected = [(loss_after(even + d) - loss_after(even - d)) / 2e-5 for d in step]

    w = jnp.asarray(reference.ridge_minimum(xs, ys, even, l2))

    def loss(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return (w @ x - y) ** 2 / 2 + l2 * jnp.sum(w**2)

    scores = influence(loss, w, (jnp.asarray(xs), jnp.asarray(ys)), damping=0.0)(x, y)
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-8)


def test_leaving_out_of_logistic_regression() -> None:
    changes = LOGISTIC.left_out(logistic_minimum(), XS, YS)
    scores = jax.vmap(explain_logistic(damping=0.0))(XS, YS)
    for mine, true in zip(-scores / 60, changes, strict=True):
        assert np.corrcoef(mine, true)[0, 1] > 0.99


def test_leaving_out_of_a_network() -> None:
    """Trained again from where it was: influence is the first term of a series only."""
    xs = np.random.default_rng(5).normal(size=(5, 2))
    ys = np.sin(2 * xs[:, 0]) * xs[:, 1]
    changes = MLP.left_out(mlp_minimum(), xs, ys)
    explain = influence(mlp_loss, mlp_tree(mlp_minimum()), arrays(MLP), damping=0.0)
    scores = jax.vmap(explain)(xs, ys)
    alike = [np.corrcoef(-one / 40, true)[0, 1] for one, true in zip(scores, changes, strict=True)]
    assert np.mean(alike) > 0.8, alike


@pytest.mark.parametrize(
    "parameters, chosen",
    [("*", slice(None)), ("Dense_1/*", slice(24, 33)), (["*/bias"], [*range(8), 24])],
)
def test_a_network_as_with_the_matrix_itself(parameters: Any, chosen: Any) -> None:
    """Also a part of the parameters, whose block of the matrix alone counts."""
    flat = mlp_minimum()
    x, y = XS[0, :2], 0.3
    matrix = (MLP.hessian(flat) + 0.01 * np.eye(33))[chosen][:, chosen]
    test = MLP.gradients(flat, x[None], np.array([y]))[0, chosen]
    expected = -MLP.gradients(flat, MLP.xs, MLP.ys)[:, chosen] @ np.linalg.solve(matrix, test)
    explain = influence(mlp_loss, mlp_tree(flat), arrays(MLP), parameters=parameters)
    # The reference's matrix is made of differences.
    np.testing.assert_allclose(explain(x, y), expected, rtol=1e-5, atol=1e-7)


def test_gauss_newton_of_a_network_away_from_a_minimum() -> None:
    flat = np.random.default_rng(4).normal(size=33)
    x, y = XS[0, :2], 0.3
    jacobian = reference.mlp_outputs(flat, MLP.xs)[1]
    matrix = jacobian.T @ jacobian / 40 + (2 * MLP.l2 + 0.01) * np.eye(33)
    test = MLP.gradients(flat, x[None], np.array([y]))[0]
    expected = -MLP.gradients(flat, MLP.xs, MLP.ys) @ np.linalg.solve(matrix, test)
    explain = influence(
        mlp_loss, mlp_tree(flat), arrays(MLP), curvature="gauss_newton", outputs="output"
    )
    np.testing.assert_allclose(explain(x, y), expected, rtol=1e-6, atol=1e-9)


def test_gauss_newton_is_the_hessian_of_a_linear_model() -> None:
    def loss(params: PyTree, x: jax.Array, y: jax.Array) -> jax.Array:
        with jax.named_scope("logits"):
            logits = x @ params[0] + params[1]
        return -jax.nn.log_softmax(logits)[y]

    rng = np.random.default_rng(6)
    params = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=3))
    train = jnp.asarray(rng.normal(size=(20, 4))), jnp.asarray(rng.integers(3, size=20))
    hessian = influence(loss, params, train)(train[0][2], train[1][2])
    gauss_newton = influence(
        loss, params, train, curvature="gauss_newton", outputs="logits", chunk=8
    )(train[0][2], train[1][2])
    np.testing.assert_allclose(gauss_newton, hessian, rtol=1e-7, atol=1e-10)


def test_lissa_converges_to_the_same_where_batches_are_the_whole_set() -> None:
    explain = influence(
        logistic_loss,
        jnp.asarray(logistic_minimum()),
        stream(LOGISTIC, 60),
        solver="lissa",
        iterations=300,
        repeats=1,
        damping=0.05,
        info=True,
    )
    scores, info = explain(XS[0], YS[0], key=KEY)
    expected = LOGISTIC.influence(logistic_minimum(), XS[0], YS[0], damping=0.05)
    np.testing.assert_allclose(scores, expected, rtol=1e-8)
    assert info.converged and info.steps == 300
    assert info.evaluations == (20 + 300 + 2) * 60


def test_lissa_is_right_on_average() -> None:
    """Over many keys: the mean is within a few standard errors."""
    explain = explain_logistic(
        solver="lissa", iterations=250, repeats=1, batch=20, scale=2.0, damping=0.05, info=True
    )
    one = functools.partial(explain, XS[0], YS[0])
    samples, info = jax.jit(jax.vmap(lambda key: one(key=key)))(jax.random.split(KEY, 200))
    expected = LOGISTIC.influence(logistic_minimum(), XS[0], YS[0], damping=0.05)
    error = np.std(samples, axis=0) / np.sqrt(200)
    assert np.all(np.abs(np.mean(samples, axis=0) - expected) < 5 * error)
    assert np.max(error) < 0.02 * np.max(np.abs(expected))
    assert np.all((info.residual > 0) & (info.residual < 1))


def test_lissa_says_when_it_diverges() -> None:
    explain = explain_logistic(solver="lissa", scale=0.02, iterations=50, repeats=1)
    with pytest.warns(RuntimeWarning, match="did not converge.*raise scale="):
        explain(XS[0], YS[0], key=KEY)


@pytest.mark.parametrize("where", ["arrays", "stream"])
def test_arnoldi_with_all_directions_is_exact(where: str) -> None:
    flat = mlp_minimum()
    train = arrays(MLP) if where == "arrays" else stream(MLP)
    size: dict[str, int] = {"rank": 33, "dimension": 33} if where == "arrays" else {"rank": 40}
    explain = influence(mlp_loss, mlp_tree(flat), train, solver="arnoldi", info=True, **size)
    for x in XS[:2, :2]:
        scores, info = explain(x, 0.3, key=KEY)
        expected = MLP.influence(flat, x, 0.3, damping=0.01)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)
        assert info.converged and info.residual < 1e-6 and info.steps == 33
    if where == "arrays":
        many = jax.vmap(functools.partial(explain, key=KEY))(XS[1:2, :2], np.full(1, 0.3))[0]
        np.testing.assert_allclose(many[0], scores, rtol=1e-9)


def test_arnoldi_finds_the_subspace_once_for_a_key() -> None:
    seen: list[int] = []
    explain = influence(
        logistic_loss,
        jnp.asarray(logistic_minimum()),
        arrays(LOGISTIC),
        solver="arnoldi",
        dimension=3,
        rank=2,
        progress=seen.append,
    )
    explain(XS[0], YS[0], key=KEY)
    assert seen[-1] == (3 + 1) * 60
    explain(XS[1], YS[1], key=KEY)
    assert seen[-1] == 60
    explain(XS[1], YS[1], key=jax.random.key(1))
    assert seen[-1] == (3 + 1) * 60


class Interrupted:
    """A stream that fails in one of its passes."""

    def __init__(self, batches: list[Any], failing: int | None) -> None:
        self.batches = batches
        self.failing = failing
        self.passes = self.read = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        for batch in self.batches:
            if self.passes == self.failing:
                raise OSError("the disk is gone")
            self.read += 1
            yield batch


OF_SOLVER: dict[str, dict[str, Any]] = {
    "cg": {},
    "lissa": {"iterations": 8, "repeats": 2, "info": True},
    "arnoldi": {"dimension": 4, "rank": 4},
}


@pytest.mark.parametrize("solver", OF_SOLVER)
def test_interrupted_work_goes_on(solver: str, tmp_path: Path) -> None:
    def explain(batches: Any, checkpoint: Path | None = None) -> Any:
        params = jnp.asarray(logistic_minimum())
        options = OF_SOLVER[solver]
        of = influence(
            logistic_loss, params, batches, solver=solver, checkpoint=checkpoint, **options
        )
        return of(XS[0], YS[0], **({} if solver == "cg" else {"key": KEY}))

    whole = Interrupted(stream(LOGISTIC), None)
    expected = explain(whole)
    file = tmp_path / "state.npz"
    with pytest.raises(OSError, match="disk"):
        explain(Interrupted(stream(LOGISTIC), 4), file)
    rest = Interrupted(stream(LOGISTIC), None)
    resumed = explain(rest, file)
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)
    assert rest.passes == whole.passes - 2

    # What is finished is there at once: the stream is only counted.
    again = Interrupted(stream(LOGISTIC), 2)
    jax.tree.map(np.testing.assert_array_equal, explain(again, file), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    w = jnp.asarray(logistic_minimum())
    file = tmp_path / "state.npz"
    train = arrays(LOGISTIC)
    scores = influence(logistic_loss, w, train, checkpoint=file)(XS[0], YS[0])
    # The same work, read in other batches.
    again = influence(logistic_loss, w, train, checkpoint=file, chunk=40)(XS[0], YS[0])
    np.testing.assert_array_equal(again, scores)

    def twice(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return 2 * logistic_loss(w, x, y)

    others: list[tuple[Any, ...]] = [
        (logistic_loss, w, train, {"damping": 0.02}, 0),
        (logistic_loss, w, train, {"tolerance": 0.02}, 0),
        (logistic_loss, w + 1, train, {}, 0),
        (logistic_loss, w, (train[0], -train[1]), {}, 0),
        (logistic_loss, w, train, {}, 1),
        (twice, w, train, {}, 0),
    ]
    for loss, params, data, options, place in others:
        explain = influence(loss, params, data, checkpoint=file, **options)
        with pytest.raises(ValueError, match="belongs to another"):
            explain(XS[place], YS[place])


def test_any_tree_of_parameters() -> None:
    flat = mlp_minimum()
    tree = mlp_tree(flat)
    of_dict = influence(mlp_loss, tree, arrays(MLP))(XS[0, :2], 0.3)
    frozen = influence(mlp_loss, FrozenDict(tree), arrays(MLP))(XS[0, :2], 0.3)
    np.testing.assert_array_equal(frozen, of_dict)

    class Network(nnx.Module):
        def __init__(self) -> None:
            self.Dense_0 = nnx.Linear(2, 8, rngs=nnx.Rngs(0))
            self.Dense_1 = nnx.Linear(8, 1, rngs=nnx.Rngs(0))
            self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    graph, params, rest = nnx.split(Network(), nnx.Param, ...)

    def loss(params: PyTree, x: jax.Array, y: jax.Array) -> jax.Array:
        pure = nnx.to_pure_dict(params)
        high = {"kernel": pure["Dense_1"]["kernel"][:, 0], "bias": pure["Dense_1"]["bias"]}
        return mlp_loss({"Dense_0": pure["Dense_0"], "Dense_1": high}, x, y)

    kernel = tree["Dense_1"]["kernel"][:, None]
    nnx.replace_by_pure_dict(params, {**tree, "Dense_1": {**tree["Dense_1"], "kernel": kernel}})
    del graph, rest
    of_state = influence(loss, params, arrays(MLP))(XS[0, :2], 0.3)
    np.testing.assert_allclose(of_state, of_dict, rtol=1e-6)


def test_single_precision_stays() -> None:
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), arrays(LOGISTIC))
    w = jnp.asarray(logistic_minimum(), jnp.float32)
    explain = influence(logistic_loss, w, single)
    scores = explain(jnp.asarray(XS[0], jnp.float32), jnp.float32(YS[0]))
    assert scores.dtype == jnp.float32
    expected = LOGISTIC.influence(logistic_minimum(), XS[0], YS[0], damping=0.01)
    np.testing.assert_allclose(scores, expected, rtol=2e-3, atol=1e-4)


def test_an_example_without_gradient_has_no_influence() -> None:
    explain = influence(
        lambda w, x: jnp.sum(w * x) ** 2, jnp.zeros(2), (jnp.ones((3, 2)),), damping=0.0, info=True
    )
    scores, info = explain(jnp.ones(2))
    np.testing.assert_array_equal(scores, np.zeros(3))
    assert info.converged and info.residual == 0


def test_a_warning_where_the_curvature_is_not_positive() -> None:
    def loss(w: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.cos(w) * x)

    explain = influence(loss, jnp.full(2, 0.1), (jnp.ones((3, 2)),))
    with pytest.warns(RuntimeWarning, match=r"curvature is -0.985, not positive.*gauss_newton"):
        explain(jnp.ones(2))
    info = influence(loss, jnp.full(2, 0.1), (jnp.ones((3, 2)),), info=True)(jnp.ones(2))[1]
    assert not info.converged


def test_a_warning_where_the_solver_has_not_converged() -> None:
    with pytest.warns(RuntimeWarning, match="residual of its linear system is .* after 1 steps"):
        explain_logistic(iterations=1)(XS[0], YS[0])


def test_a_gradient_that_is_not_finite_is_not_hidden() -> None:
    train = (jnp.ones((3, 2)),)
    explain = influence(lambda w, x: jnp.sum(jnp.sqrt(w * x)), jnp.zeros(2), train)
    with pytest.warns(RuntimeWarning, match="residual of its linear system is nan"):
        scores = explain(jnp.ones(2))
    assert np.isnan(scores).all()


def one_example_loss(w: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.sum((w - x) ** 2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"solver": "newton"}, "solver='newton' is unknown: choose one of cg, lissa, arnoldi"),
        ({"curvature": "fisher"}, "choose one of hessian, gauss_newton"),
        ({"curvature": "gauss_newton"}, "needs the path of the network's outputs"),
        ({"outputs": "logits"}, "Gauss-Newton, and only that"),
        ({"damping": -1.0}, "damping=-1.0 must be a number at least 0"),
        ({"rank": 3}, "rank=3 is an option of solver='arnoldi', not of 'cg'"),
        ({"repeats": 3}, "repeats=3 is an option of solver='lissa', not of 'cg'"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"iterations": 0}, "iterations=0"),
        ({"chunk": 0}, "chunk=0"),
        ({"parameters": "Dense"}, "parameters='Dense' fits none of the 1 parameters"),
        ({"params": jnp.array([1.0, jnp.nan])}, "The parameters are not finite"),
        ({"params": jnp.arange(2)}, "holds no floating-point arrays"),
        ({"params": jnp.ones(2, jnp.bfloat16)}, "bfloat16, which has too few digits"),
        ({"train": (jnp.array([[1.0, jnp.inf]]),)}, "The training set is not finite"),
        ({"train": (jnp.ones((3, 2)), jnp.ones(2))}, "common leading axis"),
        ({"train": ()}, "common leading axis"),
        ({"train": []}, "train holds no examples"),
        ({"train": iter([(jnp.ones((3, 2)),)])}, "can be read only once"),
        ({"train": [jnp.ones((3, 2))]}, "a batch is a tuple"),
        ({"train": [(jnp.ones((3, 2)),)], "chunk": 2}, "a stream of train has its own batches"),
        ({"loss": lambda w, x: w * x}, "must return one real number"),
        ({"solver": "lissa", "scale": 0.0}, "scale=0.0"),
        ({"solver": "lissa", "batch": 2, "progress": print}, "batch= is for arrays"),
    ],
)
def test_bad_options(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "loss": one_example_loss,
        "params": jnp.ones(2),
        "train": (jnp.ones((3, 2)),),
    }
    with pytest.raises((ValueError, TypeError), match=message):
        influence(**{**given, **change})


def test_bad_calls() -> None:
    train = (jnp.ones((3, 2)),)
    explain = influence(one_example_loss, jnp.ones(2), train)
    with pytest.raises(ValueError, match=r"The example to explain is not finite"):
        explain(jnp.array([1.0, jnp.nan]))
    with pytest.raises(ValueError, match=r"without a leading axis; jax.vmap\(explain\)"):
        explain(train[0])
    with pytest.raises(ValueError, match="arguments of loss after the parameters"):
        explain(jnp.ones(2), 1.0)
    with pytest.raises(TypeError, match="takes no key"):
        explain(jnp.ones(2), key=KEY)
    with pytest.raises(TypeError, match="needs a key"):
        influence(one_example_loss, jnp.ones(2), train, solver="lissa")(jnp.ones(2))
    with pytest.raises(TypeError, match="explain one example after the other"):
        jax.vmap(influence(one_example_loss, jnp.ones(2), [train]))(train[0])


def test_outputs_that_are_computed_twice_are_refused() -> None:
    def score(w: Any, x: jax.Array) -> jax.Array:
        hidden = jnp.tanh(x @ w["a"])
        with jax.named_scope("score"):
            return hidden @ w["b"]

    def loss(w: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.nn.softplus(score(w, x)) - y * score(w, x)

    def once(w: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        s = score(w, x)
        return jax.nn.softplus(s) - y * s + 0.01 * jnp.sum(w["b"] ** 2)

    train = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3), jnp.array([0.0, 1.0, 1.0, 0.0])
    w = {"a": jnp.ones((3, 2)), "b": jnp.ones(2)}
    options: Any = {"curvature": "gauss_newton", "outputs": "score"}
    influence(once, w, train, **options)
    for examples in (train, [train]):
        with pytest.raises(ValueError, match="Compute the outputs once"):
            influence(loss, w, examples, **options)


def test_gauss_newton_takes_weights_of_examples_and_values_that_are_mapped_over() -> None:
    def loss(w: jax.Array, x: jax.Array, weight: jax.Array, decay: Any = 0.1) -> jax.Array:
        with jax.named_scope("score"):
            score = x @ w
        return weight * (jax.nn.softplus(score) + decay * jnp.sum(w**2))

    train = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3), jnp.array([1.0, 2.0, 3.0, 4.0])
    w = jnp.array([1.0, -2.0, 0.5])
    options: Any = {"curvature": "gauss_newton", "outputs": "score"}

    def of_decay(decay: Any) -> jax.Array:
        explain = influence(lambda w, x, weight: loss(w, x, weight, decay), w, train, **options)
        return explain(train[0][0], train[1][0])

    decays = jnp.array([0.1, 0.2])
    mapped = jax.jit(jax.vmap(of_decay))(decays)
    np.testing.assert_allclose(mapped, [of_decay(d) for d in decays], rtol=1e-9)


@pytest.mark.parametrize("solver", ["arnoldi", "lissa"])
def test_a_key_may_be_bound_under_jit(solver: str) -> None:
    def loss(w: jax.Array, x: jax.Array) -> jax.Array:
        return (w @ x - 1.0) ** 2 + jnp.sum(w**2)

    train = (jnp.linspace(-1.0, 1.0, 12).reshape(4, 3),)
    options: Any = {"rank": 3} if solver == "arnoldi" else {"iterations": 5, "info": True}
    explain = influence(loss, jnp.zeros(3), train, solver=solver, **options)
    bound = functools.partial(explain, key=jax.random.key(0))
    found = jax.tree.leaves(jax.jit(bound)(train[0][0]))
    for one, other in zip(found, jax.tree.leaves(bound(train[0][0])), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
