"""Whom to cite for a method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._bibliography import BIBLIOGRAPHY
from ._call import name_of


def cite(*methods: Callable[..., Any]) -> str:
    """BibTeX entries of the papers behind the given methods.

    Args:
        *methods: public functions of jaxplain, such as `jaxplain.integrated_grad`, attributions
            made by them, such as `jaxplain.smooth(jax.grad(f))`, and presets and rules, such as
            `jaxplain.rules.attn_lrp`.

    Returns:
        The entries, each once, separated by blank lines.

    Raises:
        ValueError: a function has no paper on record.

    Example:
        >>> import jaxplain
        >>> print(jaxplain.cite(jaxplain.integrated_grad).splitlines()[0])
        @inproceedings{sundararajan2017axiomatic,
    """
    keys: dict[str, None] = {}
    for method in methods:
        names = name_of(method).removesuffix(")").split("(")
        known = [key for name in names for key in PAPERS.get(name.rstrip(")"), ())]
        if not known:
            raise ValueError(
                f"No paper on record for {name_of(method)}. There is one for: "
                f"{', '.join(sorted(PAPERS))}."
            )
        keys.update(dict.fromkeys(known))
    return "\n\n".join(_entry(key) for key in keys)


def _entry(key: str) -> str:
    kind, fields = BIBLIOGRAPHY[key]
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


PAPERS: dict[str, tuple[str, ...]] = {
    "saliency": ("simonyan2014deep",),
    "input_x_grad": ("shrikumar2016not",),
    "integrated_grad": ("sundararajan2017axiomatic",),
    "path_integrated_grad": ("sundararajan2017axiomatic",),
    "interior_grad": ("sundararajan2016gradients",),
    "blur_integrated_grad": ("xu2020attribution",),
    "guided_integrated_grad": ("kapishnikov2021guided",),
    "expected_grad": ("erion2021improving", "lundberg2017unified"),
    "over_baselines": ("lundberg2017unified",),
    "smooth": ("smilkov2017smoothgrad", "hooker2019benchmark", "adebayo2018local"),
    "maximum_distance": ("sturmfels2020visualizing",),
    "lrp": ("bach2015pixel", "montavon2019layer"),
    "deeplift": ("shrikumar2017learning",),
    "deeplift_shap": ("shrikumar2017learning", "lundberg2017unified"),
    "hypothetical": ("shrikumar2018technical",),
    "dinucleotide_shuffles": ("altschul1985significance",),
    "deep_taylor": ("montavon2017explaining",),
    "root_criteria": ("montavon2017explaining", "montavon2018methods"),
    "excitation_backprop": ("zhang2018top",),
    "conductance": ("dhamdhere2019how",),
    "neuron_conductance": ("dhamdhere2019how",),
    "internal_influence": ("leino2018influence",),
    "ablation": ("zeiler2014visualizing",),
    "activation_patching": ("vig2020causal", "meng2022locating"),
    "attribution_patching": ("syed2023attribution",),
    "attention_rollout": ("abnar2020quantifying",),
    "attention_x_grad": ("chefer2021generic",),
    "fit_cav": ("kim2018interpretability",),
    "concept_sensitivity": ("kim2018interpretability",),
    "surrogate": ("craven1996extracting", "molnar2022interpretable"),
    "integrated_hessians": ("janizek2021explaining",),
    "exact_shapley": ("shapley1953value", "lundberg2017unified"),
    "kernel_shap": ("lundberg2017unified", "covert2021improving"),
    "shapley_sampling": ("castro2009polynomial", "mitchell2022sampling"),
    "shapley_interactions": (
        "grabisch1999axiomatic",
        "sundararajan2020shapley",
        "bordt2023shapley",
        "lundberg2020local",
    ),
    "owen": ("owen1977values", "lopez2009relationship"),
    "lime": ("ribeiro2016why",),
    "lime_settings": ("ribeiro2016why",),
    "lime_path": ("ribeiro2016why",),
    "lime_tabular": ("ribeiro2016why",),
    "table_statistics": ("ribeiro2016why",),
    "stability": ("visani2022statistical",),
    "occlusion": ("zeiler2014visualizing",),
    "rise": ("petsiuk2018rise",),
    "sobol": ("fel2021look", "jansen1999analysis"),
    "permutation_importance": ("breiman2001random", "fisher2019all"),
    "slic": ("achanta2012slic",),
    "quickshift": ("vedaldi2008quick",),
    "segment_mean": ("ribeiro2016why",),
    "tcav": ("kim2018interpretability", "phipson2010permutation"),
    "crp": ("achtibat2023attribution",),
    "discover_concepts": ("fel2023craft", "lee1999learning", "jansen1999analysis"),
    "reference_examples": ("achtibat2023attribution",),
    "grad_cam": ("selvaraju2017grad",),
    "grad_cam_plus_plus": ("chattopadhyay2018grad",),
    "xgrad_cam": ("fu2020axiom",),
    "hires_cam": ("draelos2020use",),
    "layer_cam": ("jiang2021layercam",),
    "eigen_cam": ("muhammad2020eigen",),
    "eigen_grad_cam": ("muhammad2020eigen", "gildenblat2021pytorch"),
    "score_cam": ("wang2020score",),
    "ablation_cam": ("desai2020ablation",),
    "guided_grad_cam": ("selvaraju2017grad", "springenberg2015striving"),
    "guided_backprop": ("springenberg2015striving",),
    "deconvnet": ("zeiler2014visualizing",),
    "fit_patterns": ("kindermans2018learning",),
    "pattern_net": ("kindermans2018learning",),
    "pattern_attribution": ("kindermans2018learning",),
    # Presets of jaxplain.rules
    "epsilon": ("bach2015pixel",),
    "epsilon_plus": ("kohlbrenner2020towards",),
    "epsilon_plus_flat": ("kohlbrenner2020towards", "lapuschkin2019unmasking"),
    "epsilon_alpha2_beta1": ("kohlbrenner2020towards",),
    "epsilon_alpha2_beta1_flat": ("kohlbrenner2020towards", "lapuschkin2019unmasking"),
    "epsilon_gamma_box": ("montavon2019layer", "anders2021software"),
    "gamma": ("montavon2019layer", "andeol2021learning"),
    "interpolated": ("montavon2018methods",),
    "attn_lrp": ("achtibat2024attnlrp",),
    "cp_lrp": ("ali2022xai",),
    "rescale": ("shrikumar2017learning",),
    "reveal_cancel": ("shrikumar2017learning",),
    "genomics": ("shrikumar2017learning",),
    # and rules
    "Epsilon": ("bach2015pixel",),
    "Zero": ("bach2015pixel",),
    "AlphaBeta": ("bach2015pixel",),
    "Norm": ("bach2015pixel",),
    "Pass": ("bach2015pixel",),
    "Uniform": ("bach2015pixel",),
    "ZPlus": ("montavon2017explaining",),
    "ZBox": ("montavon2017explaining",),
    "WSquare": ("montavon2017explaining",),
    "Root": ("montavon2017explaining",),
    "Flat": ("lapuschkin2019unmasking",),
    "Gamma": ("montavon2019layer", "andeol2021learning"),
    "Interpolated": ("montavon2018methods",),
    "Product": ("achtibat2024attnlrp", "arras2019explaining"),
    "Softmax": ("achtibat2024attnlrp",),
    "Stop": ("ali2022xai",),
    "GuidedReLU": ("springenberg2015striving",),
    "DeconvReLU": ("zeiler2014visualizing",),
    "Rescale": ("shrikumar2017learning",),
    "RevealCancel": ("shrikumar2017learning",),
    "Linear": ("shrikumar2017learning",),
    "CrossMaximum": ("shrikumar2017learning",),
    "Multilinear": ("lundberg2017unified",),
    "Ranks": ("sundararajan2017axiomatic",),
    "maximize_activation": (
        "simonyan2014deep",
        "erhan2009visualizing",
        "montavon2018methods",
        "nguyen2016synthesizing",
    ),
    "activation": ("erhan2009visualizing", "olah2017feature"),
    "code": ("nguyen2016synthesizing",),
    "expert": ("montavon2018methods",),
    "fourier": ("olah2017feature",),
    "total_variation": ("mahendran2015understanding",),
    "natural_colors": ("olah2017feature",),
    "effective_weights": ("erhan2009visualizing",),
    "prototypes": ("kim2016examples", "garreau2018large"),
    "criticisms": ("kim2016examples",),
    "witness": ("kim2016examples",),
    "protodash": ("gurumoorthy2019efficient",),
    "nearest_examples": ("caruana1999case", "papernot2018deep"),
    "influence": ("koh2017understanding", "agarwal2017second", "schioppa2022scaling"),
    "self_influence": ("koh2017understanding", "schioppa2022scaling"),
    "tracin": ("pruthi2020estimating",),
    "self_tracin": ("pruthi2020estimating",),
    "representer_points": ("yeh2018representer",),
    "pixel_flipping": ("bach2015pixel", "samek2017evaluating"),
    "abpc": ("bluecher2024decoupling",),
    "deletion": ("petsiuk2018rise",),
    "insertion": ("petsiuk2018rise",),
    "blur_removal": ("petsiuk2018rise",),
    "region_perturbation": ("samek2017evaluating",),
    "uniform_removal": ("samek2017evaluating",),
    "selectivity": ("montavon2018methods",),
    "irof": ("rieger2020irof",),
    "mean_removal": ("rieger2020irof",),
    "road": ("rong2022consistent",),
    "noisy_linear_imputation": ("rong2022consistent",),
    "completeness": ("sundararajan2017axiomatic",),
    "conservation": ("montavon2018methods", "montavon2019layer"),
    "sensitivity_a": ("sundararajan2017axiomatic",),
    "non_sensitivity": ("nguyen2020quantitative", "sundararajan2017axiomatic"),
    "linearity": ("sundararajan2017axiomatic",),
    "symmetry": ("sundararajan2017axiomatic",),
    "implementation_invariance": ("sundararajan2017axiomatic",),
    "input_invariance": ("kindermans2019unreliability",),
    "equal_functions": ("montavon2018methods",),
    "randomize_parameters": ("adebayo2018sanity",),
    "parameter_randomization": ("adebayo2018sanity",),
    "edges": ("adebayo2018sanity",),
    "smooth_mprt": ("hedstrom2024sanity", "adebayo2018sanity"),
    "efficient_mprt": ("hedstrom2024sanity", "adebayo2018sanity"),
    "random_logit": ("sixt2020explanations",),
    "class_sensitivity": ("sixt2020explanations",),
    "max_sensitivity": ("yeh2019infidelity",),
    "avg_sensitivity": ("yeh2019infidelity", "bhatt2020evaluating"),
    "local_lipschitz": ("alvarezmelis2018robustness",),
    "relative_input_stability": ("agarwal2022rethinking",),
    "relative_output_stability": ("agarwal2022rethinking",),
    "relative_representation_stability": ("agarwal2022rethinking",),
    "continuity": ("montavon2018methods",),
    "consistency": ("dasgupta2022framework",),
    "sparseness": ("chalasani2020concise",),
    "complexity": ("bhatt2020evaluating",),
    "effective_complexity": ("nguyen2020quantitative",),
    "pointing_game": ("zhang2018top",),
    "relevance_mass_accuracy": ("arras2022clevr",),
    "relevance_rank_accuracy": ("arras2022clevr",),
    "top_k_intersection": ("theiner2022interpretable",),
    "localization_auc": ("fawcett2006introduction",),
    "attribution_localization": ("kohlbrenner2020towards",),
    "focus": ("ariasduart2022focus",),
    "mosaic": ("ariasduart2022focus",),
    "faithfulness_correlation": ("bhatt2020evaluating",),
    "faithfulness_estimate": ("alvarezmelis2018towards",),
    "sensitivity_n": ("ancona2018towards",),
    "infidelity": ("yeh2019infidelity",),
    "gaussian_perturbation": ("yeh2019infidelity",),
    "square_perturbation": ("yeh2019infidelity",),
    "subset_perturbation": ("yeh2019infidelity",),
    "monotonicity": ("arya2019one", "luss2019leveraging"),
    "monotonicity_correlation": ("nguyen2020quantitative",),
    "comprehensiveness": ("deyoung2020eraser",),
    "sufficiency": ("deyoung2020eraser",),
    "roar": ("hooker2019roar",),
    "kar": ("hooker2019roar",),
    "summarize": ("efron1987better",),
    "compare": ("fisher1935design", "phipson2010permutation"),
    "select_explanation": ("pahde2023optimizing", "efron1993introduction"),
    "benchmark": ("hedstrom2023quantus", "adebayo2018sanity"),
}
