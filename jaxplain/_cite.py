"""Whom to cite for a method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._call import name_of


def cite(*methods: Callable[..., Any]) -> str:
    """BibTeX entries of the papers behind the given methods.

    Args:
        *methods: public functions of jaxplain, such as `jaxplain.integrated_grad`, or attributions
            made by them, such as `jaxplain.smooth(jax.grad(f))`.

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
    kind, fields = _BIBLIOGRAPHY[key]
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
}

_BIBLIOGRAPHY: dict[str, tuple[str, dict[str, str]]] = {
    "simonyan2014deep": (
        "inproceedings",
        {
            "title": "Deep Inside Convolutional Networks: Visualising Image Classification Models "
            "and Saliency Maps",
            "author": "Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew",
            "booktitle": "ICLR Workshop",
            "year": "2014",
            "eprint": "1312.6034",
        },
    ),
    "shrikumar2016not": (
        "article",
        {
            "title": "Not Just a Black Box: Learning Important Features Through Propagating "
            "Activation Differences",
            "author": "Shrikumar, Avanti and Greenside, Peyton and Shcherbina, Anna and Kundaje, "
            "Anshul",
            "journal": "arXiv:1605.01713",
            "year": "2016",
        },
    ),
    "sundararajan2017axiomatic": (
        "inproceedings",
        {
            "title": "Axiomatic Attribution for Deep Networks",
            "author": "Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi",
            "booktitle": "ICML",
            "year": "2017",
            "eprint": "1703.01365",
        },
    ),
    "sundararajan2016gradients": (
        "article",
        {
            "title": "Gradients of Counterfactuals",
            "author": "Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi",
            "journal": "arXiv:1611.02639",
            "year": "2016",
        },
    ),
    "xu2020attribution": (
        "inproceedings",
        {
            "title": "Attribution in Scale and Space",
            "author": "Xu, Shawn and Venugopalan, Subhashini and Sundararajan, Mukund",
            "booktitle": "CVPR",
            "year": "2020",
            "eprint": "2004.03383",
        },
    ),
    "kapishnikov2021guided": (
        "inproceedings",
        {
            "title": "Guided Integrated Gradients: An Adaptive Path Method for Removing Noise",
            "author": "Kapishnikov, Andrei and Venugopalan, Subhashini and Avci, Besim and Wedin, "
            "Ben and Terry, Michael and Bolukbasi, Tolga",
            "booktitle": "CVPR",
            "year": "2021",
            "eprint": "2106.09788",
        },
    ),
    "erion2021improving": (
        "article",
        {
            "title": "Improving Performance of Deep Learning Models with Axiomatic Attribution "
            "Priors and Expected Gradients",
            "author": "Erion, Gabriel and Janizek, Joseph D. and Sturmfels, Pascal and Lundberg, "
            "Scott M. and Lee, Su-In",
            "journal": "Nature Machine Intelligence",
            "year": "2021",
            "eprint": "1906.10670",
        },
    ),
    "lundberg2017unified": (
        "inproceedings",
        {
            "title": "A Unified Approach to Interpreting Model Predictions",
            "author": "Lundberg, Scott M. and Lee, Su-In",
            "booktitle": "NeurIPS",
            "year": "2017",
            "eprint": "1705.07874",
        },
    ),
    "smilkov2017smoothgrad": (
        "article",
        {
            "title": "SmoothGrad: Removing Noise by Adding Noise",
            "author": "Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Viegas, Fernanda and "
            "Wattenberg, Martin",
            "journal": "arXiv:1706.03825",
            "year": "2017",
        },
    ),
    "hooker2019benchmark": (
        "inproceedings",
        {
            "title": "A Benchmark for Interpretability Methods in Deep Neural Networks",
            "author": "Hooker, Sara and Erhan, Dumitru and Kindermans, Pieter-Jan and Kim, Been",
            "booktitle": "NeurIPS",
            "year": "2019",
            "eprint": "1806.10758",
        },
    ),
    "adebayo2018local": (
        "article",
        {
            "title": "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to "
            "Parameter Values",
            "author": "Adebayo, Julius and Gilmer, Justin and Goodfellow, Ian and Kim, Been",
            "journal": "arXiv:1810.03307",
            "year": "2018",
        },
    ),
    "sturmfels2020visualizing": (
        "article",
        {
            "title": "Visualizing the Impact of Feature Attribution Baselines",
            "author": "Sturmfels, Pascal and Lundberg, Scott and Lee, Su-In",
            "journal": "Distill",
            "year": "2020",
        },
    ),
}
