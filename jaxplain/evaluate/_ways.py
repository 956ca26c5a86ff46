"""Which way is better, for each metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._call import name_of
from ._selection import BETTER

HIGHER = (
    "abpc, insertion, region_perturbation, irof, faithfulness_correlation, faithfulness_estimate, "
    "sensitivity_n, monotonicity, monotonicity_correlation, comprehensiveness, sparseness, "
    "pointing_game, relevance_mass_accuracy, relevance_rank_accuracy, top_k_intersection, "
    "localization_auc, attribution_localization, focus"
)
LOWER = (
    "pixel_flipping, road, deletion, selectivity, infidelity, sufficiency, max_sensitivity, "
    "avg_sensitivity, local_lipschitz, continuity, relative_input_stability, "
    "relative_output_stability, relative_representation_stability, complexity, "
    "effective_complexity, sensitivity_a, non_sensitivity, random_logit, class_sensitivity"
)
KNOWN = dict.fromkeys(HIGHER.split(", "), "higher") | dict.fromkeys(LOWER.split(", "), "lower")
"""Which way is better, for metrics of this package; with `order="lerf"` it is the other."""


def known_way(metric: Callable[..., Any]) -> str | None:
    """Which way is better, if the metric is one of this package."""
    way = KNOWN.get(name_of(metric))
    if way is None or getattr(metric, "keywords", {}).get("order") != "lerf":
        return way
    return BETTER[1 - BETTER.index(way)]
