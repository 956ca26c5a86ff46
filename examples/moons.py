"""LIME on two features, where all of it can be seen: samples, weights, and the local model.

Trains a network of scikit-learn on two moons, a black box to JAX, and explains one point by linear
models fitted to samples around it, for three kernel widths. Run with

    python examples/moons.py --out out

which takes some ten seconds; `--quick` draws fewer samples.

`boundary.png` shows the samples, a dot as large as its weight, and where each model changes its
mind. The network is asked 5000 times for all three widths together.

- At a width of 0.15, the local model's boundary follows the network's near the point: both features
  lower the probability, with coefficients of -1.08 and -0.43. So few samples have a weight that the
  ridge's penalty is felt: with `penalty=0.0` they are -1.57 and -0.61.
- At 1.06, `lime_tabular`'s default, it is level, as the boundary between the moons is on the whole.
  The first feature has a coefficient of 0.01: it seems not to matter, though it decides nearby.
- At 5, where all samples count alike, the first feature has the other sign, 0.14.
- R² is 0.75, 0.34 and 0.42: the model that is wrong about the neighbourhood has the larger of the
  last two. It says how linear the network is where samples are, not how near these are.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from saturation import FAINT, INK
from sklearn.datasets import make_moons
from sklearn.neural_network import MLPClassifier

import jaxplain
from jaxplain import plot

WIDTHS = (0.15, 1.06, 5.0)
"""The second is the default of `lime_tabular` for two features, 0.75 √2."""

POINT = np.array([0.6, 0.25], np.float32)
SIDES = ("#2c66b8", "#e0952b")


class Plane(NamedTuple):
    """A network on two features, and what LIME asked and found.

    Attributes:
        network: It tells two moons apart.
        table: The mean and the standard deviation of each feature.
        asked: The samples, (N, 2), the point itself first.
        info: The local models, one for each width.
    """

    network: MLPClassifier
    table: jaxplain.TableStatistics
    asked: np.ndarray
    info: jaxplain.Info

    def distances(self) -> np.ndarray:
        """From the point, in standard deviations, (N,)."""
        return np.linalg.norm((self.asked - POINT) / self.table.scale, axis=1)

    def local(self, i: int, values: np.ndarray) -> np.ndarray:
        """The probability that local model `i` gives values (..., 2)."""
        rows = (values - self.table.mean) / self.table.scale
        return float(self.info.intercept[i]) + rows @ np.asarray(self.info.values[i])


def two_moons(*, samples: int) -> Plane:
    """Train a network on two moons, and explain a point with several kernel widths."""
    data, classes = make_moons(400, noise=0.2, random_state=0)
    network = MLPClassifier((32, 32), learning_rate_init=0.01, max_iter=500, random_state=0)
    network.fit(data, classes)
    asked = []

    def predict(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return network.predict_proba(rows)[:, 1]

    f = jaxplain.black_box(predict)
    table = jaxplain.table_statistics(data, discretize=None)

    def fit(width: jax.Array) -> jaxplain.Info:
        lime = jaxplain.lime_tabular(
            f, table, around="input", samples=samples, kernel_width=width, info=True
        )
        return lime(POINT, key=jax.random.key(0))[1]

    info = jax.block_until_ready(jax.jit(jax.vmap(fit))(jnp.array(WIDTHS)))
    print(
        f"Two moons: the network tells {network.score(data, classes):.1%} right, and was asked "
        f"{f.evaluations} times for {len(WIDTHS)} widths."
    )
    return Plane(network, table, np.concatenate(asked), info)


def draw_plane(plane: Plane) -> Figure:
    """Draw decision regions, weighted samples, and where each local model changes its mind."""
    horizontal, vertical = np.meshgrid(np.linspace(-1.7, 2.7, 240), np.linspace(-1.3, 1.8, 200))
    places = np.stack([horizontal, vertical], axis=-1)
    likely = plane.network.predict_proba(places.reshape(-1, 2))[:, 1].reshape(horizontal.shape)
    own, *_ = answers = plane.network.predict_proba(plane.asked)[:, 1]
    colors = np.where(answers > 0.5, SIDES[1], SIDES[0])
    figure = Figure(figsize=(12, 3.3), dpi=150, layout="constrained")
    for i, axes in enumerate(figure.subplots(1, len(WIDTHS), sharey=True)):
        axes.contourf(horizontal, vertical, likely, [0, 0.5, 1], colors=SIDES, alpha=0.16)
        axes.contour(horizontal, vertical, likely, [0.5], colors=[FAINT], linewidths=1.5)
        weights = np.exp(-((plane.distances() / WIDTHS[i]) ** 2) / 2)
        drawn = np.s_[:1500]  # of the samples, so that they can be told apart
        sizes = 20 * weights[drawn]
        axes.scatter(*plane.asked[drawn].T, s=sizes, c=colors[drawn], alpha=0.6, linewidths=0)
        local = plane.local(i, places)
        axes.contour(horizontal, vertical, local, [0.5], colors=[INK], linestyles="--")
        axes.plot(*POINT, "P", color=INK, markersize=8, markeredgecolor="white")
        axes.set(xlim=(-1.7, 2.7), ylim=(-1.3, 1.8))
        axes.set_aspect("equal")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        title = f"width {WIDTHS[i]:g}: R² {plane.info.fidelity[i]:.2f}"
        axes.set_title(title, fontsize=10, color=INK)
        first, second = plane.info.values[i]
        print(
            f"  width {WIDTHS[i]:.2f}: R² {plane.info.fidelity[i]:.2f}, coefficients "
            f"{first:+.3f} and {second:+.3f}, local prediction {plane.info.prediction[i]:.2f}, "
            f"probability {own:.2f}"
        )
    handles = [
        Line2D([], [], color=INK, marker="P", markersize=9, linestyle="", label="explained"),
        Line2D([], [], color=SIDES[0], marker="o", linestyle="", label="sample, by its weight"),
        Line2D([], [], color=FAINT, label="the network's boundary"),
        Line2D([], [], color=INK, linestyle="--", label="the local model's"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def main() -> None:
    """Train, explain, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    options = parser.parse_args()
    figure = draw_plane(two_moons(samples=2000 if options.quick else 5000))
    print(f"Wrote {plot.save(figure, options.out / 'boundary.png')}")


if __name__ == "__main__":
    main()
