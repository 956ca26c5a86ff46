"""Deep Taylor decomposition in its generic form: rules as root points, and how good these are.

Near a root point x̃ of a unit, relevance R_j = c z_j is its first-order Taylor expansion,
R_i = (x_i - x̃_i) w_ij R_j / z_j. Each rule is a choice of the root: the nearest one (w²), along the
rescaled excitations (z⁺), between these and the origin (γ), the origin's direction (ε).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._call import bind, named
from .._errors import check_count
from .._types import Argnums, Model
from ..program._affine import Linear
from ..program._ops import Kind
from ..program._run import Call
from ._composite import Composite, as_composite
from ._epsilon import Epsilon, Zero
from ._input_rules import WSquare, ZBox
from ._ledger import site_relevances
from ._linear import LinearRule, Term
from ._lrp import prepare
from ._observe import observe
from ._presets import epsilon
from ._rule import Rule, quotient
from ._signed import Gamma, ZPlus


@dataclasses.dataclass(frozen=True)
class Root(LinearRule):
    r"""Deep Taylor decomposition at a root point of your own, the same for all units of a layer.

    $R_i = \sum_j (x_i - \tilde x_i) w_{ij} R_j / s(z_j)$. What is left of a unit at the root,
    $z_j(\tilde x)$, is absorbed, so relevance is conserved as far as it is a root.

    Args:
        point: the root, in units of the layer's input: a number or an array that broadcasts to
            it; may be traced.
        epsilon: the stabiliser; may be traced.

    Returns:
        A rule for dense layers and convolutions and other linear sites with one input.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([2.0, -1.0]) - 1
        >>> root = jaxplain.rules.Root(jnp.array([1.0, 1.0]))  # f is zero there
        >>> jaxplain.lrp(f, root)(jnp.array([3.0, 2.0])).round(2)
        Array([ 4., -1.], dtype=float32)

    References:
        Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor
        decomposition, Pattern Recognition.
    """

    point: Any
    epsilon: Any = 1e-6

    kinds = Kind.LINEAR & ~Kind.ADD

    def terms(self, call: Call, view: Linear, relevance: jax.Array) -> list[Term]:
        (x,), (scale,) = view.inputs, view.scales
        root = jnp.broadcast_to(jnp.asarray(self.point, x.dtype) * scale, x.shape).astype(x.dtype)
        rest = view.linear((root,), view.weights)
        bias = rest if view.bias is None else rest + view.bias
        return [Term([((x - root,), view.weights)], bias, relevance, self.epsilon)]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RootCriteria:
    r"""How good the root points of one layer are, averaged over its units by relevance.

    Args:
        distance: $\|x - \tilde x\| / \|x\|$, over what the unit sees: a Taylor expansion holds
            near its root, so less is better.
        outside: the part of $\|x - \tilde x\|$ that leaves the domain, negative activations behind
            a ReLU or pixels out of their box: 0 is best.
        residual: $|z(\tilde x)| / |z(x)|$, what the expansion leaves unexplained: 0 at a root.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: x @ jnp.array([3.0, 4.0])
        >>> criteria = jaxplain.root_criteria(f, jaxplain.rules.WSquare())(jnp.array([3.0, 4.0]))
        >>> criteria["dot_general"].distance
        Array(1., dtype=float32)
    """

    distance: Any
    outside: Any
    residual: Any


def root_criteria(
    f: Model, rules: Composite | Rule | None = None, *, units: int = 64, argnums: Argnums = 0
) -> Callable[..., dict[str, RootCriteria]]:
    r"""How good the root points are that the rules of `lrp` stand for, layer by layer.

    A root point should lie near the input and within the domain of the layer's inputs; this
    measures both, for the rules `WSquare` (nearest root), `ZPlus` (rescaled excitations), `Gamma`
    (between), `Epsilon` and `Zero` (towards the origin), `ZBox` (towards a corner of the box) and
    `Root`.

    Args:
        f: the model, `f(x, *args) -> scalar` of one example.
        rules: as for `lrp`.
        units: how many units of each layer to look at, those of the largest relevance.
        argnums: the argument (or arguments) to explain, as in `jax.grad`.

    Returns:
        A function with the arguments of `f` that returns `{name: RootCriteria}` of the dense
        layers and convolutions, outside of loops, whose rule is one of those.

    Raises:
        ValueError: `units` is not a positive int.
        TypeError: when called, if `f` is not scalar or `x` is not floating.

    Example:
        >>> import jax.numpy as jnp, jaxplain
        >>> f = lambda x: jnp.maximum(x, 0) @ jnp.array([1.0, -1.0])
        >>> near = jaxplain.root_criteria(f, jaxplain.rules.WSquare())(jnp.array([3.0, 1.0]))
        >>> inside = jaxplain.root_criteria(f, jaxplain.rules.ZPlus())(jnp.array([3.0, 1.0]))
        >>> bool(near["dot_general"].distance < inside["dot_general"].distance)
        True

    References:
        Montavon et al. 2017, Pattern Recognition. Montavon et al. 2018, Methods for interpreting
        and understanding deep neural networks, Digital Signal Processing.
    """
    check_count("units", units)
    composite = epsilon() if rules is None else as_composite(rules)

    def criteria(*args: Any, **kwargs: Any) -> dict[str, RootCriteria]:
        score, x = bind(f, args, kwargs, argnums)
        grouped, assigned = prepare(score, x, composite)
        relevances = site_relevances(grouped, assigned, x)
        calls = observe(grouped, jax.tree.leaves(x))
        found = {}
        for name, (site, relevance) in relevances.items():
            rule = assigned[site]
            if site in calls and site.kind in Kind.AFFINE and type(rule) in _DIRECTIONS:
                found[name] = _criteria(calls[site], rule, relevance, units)
        return found

    return named(criteria, "root_criteria", f)


def _criteria(call: Call, rule: Rule, relevance: jax.Array, units: int) -> RootCriteria:
    view = call.site.linear(call.inputs, call.operands)
    (x,), (z,) = view.inputs, call.outputs
    chosen = jnp.argsort(-jnp.abs(relevance).ravel())[:units]
    weight = jnp.abs(relevance).ravel()[chosen]
    rows = jax.vmap(lambda unit: _row(view, z, unit))(chosen)

    def of_unit(row: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        sees = row != 0
        direction = jnp.where(sees, _DIRECTIONS[type(rule)](rule, x, row, z, view.scales[0]), 0)
        # A root along the direction; a point that is given is taken as it is.
        step = 1.0 if isinstance(rule, Root) else quotient(z, jnp.sum(direction * row), 0.0)
        moved = step * direction
        root = x - moved
        length = jnp.linalg.norm(moved.ravel())
        over = jnp.where(sees, _outside(call, rule, root, view.scales[0]), 0)
        distance = quotient(length, jnp.linalg.norm(jnp.where(sees, x, 0).ravel()), 0.0)
        left = jnp.abs(quotient(z - jnp.sum(moved * row), z, 0.0))
        return distance, quotient(jnp.linalg.norm(over.ravel()), length, 0.0), left

    values = jax.vmap(of_unit)(rows, z.ravel()[chosen])
    averages = [quotient(jnp.sum(weight * value), jnp.sum(weight), 0.0) for value in values]
    return RootCriteria(*averages)


def _row(view: Linear, z: jax.Array, unit: jax.Array) -> jax.Array:
    """The weights of one unit, shaped like the input."""
    one = jax.nn.one_hot(unit, z.size, dtype=z.dtype).reshape(z.shape)
    _, pullback = jax.vjp(lambda xs: view.linear(xs, view.weights), view.inputs)
    row: jax.Array = pullback(one)[0][0]
    return row


def _outside(call: Call, rule: Rule, root: jax.Array, scale: Any) -> jax.Array:
    """How far each coordinate of the root lies outside of the domain."""
    if isinstance(rule, ZBox):
        ends = jnp.asarray(rule.low, root.dtype) * scale, jnp.asarray(rule.high, root.dtype) * scale
        low, high = jnp.minimum(*ends), jnp.maximum(*ends)
        return jnp.maximum(low - root, 0) + jnp.maximum(root - high, 0)
    if all(call.site.nonnegative):
        return jnp.maximum(-root, 0)
    return jnp.zeros_like(root)


def _gamma_direction(rule: Any, x: Any, w: Any, z: Any, scale: Any) -> jax.Array:
    favoured = jnp.where(z > 0, x * w > 0, x * w < 0)
    direction: jax.Array = x * jnp.where(favoured, 1 + rule.gamma, 1)
    return direction


def _box_direction(rule: Any, x: Any, w: Any, z: Any, scale: Any) -> jax.Array:
    ends = jnp.asarray(rule.low, x.dtype) * scale, jnp.asarray(rule.high, x.dtype) * scale
    corner = jnp.where(w > 0, jnp.minimum(*ends), jnp.maximum(*ends))
    direction: jax.Array = x - corner
    return direction


# The direction in which each rule looks for the root of a unit: (rule, x, w, z, scale) -> like x.
_DIRECTIONS: dict[type, Callable[..., jax.Array]] = {
    WSquare: lambda rule, x, w, z, scale: w,
    ZPlus: lambda rule, x, w, z, scale: jnp.where(x * w > 0, x, 0),
    Gamma: _gamma_direction,
    Epsilon: lambda rule, x, w, z, scale: x,
    Zero: lambda rule, x, w, z, scale: x,
    ZBox: _box_direction,
    Root: lambda rule, x, w, z, scale: x - jnp.asarray(rule.point, x.dtype) * scale,
}
