"""Is the explanation right? Metrics of attributions: functions of a model and an attribution.

A metric `evaluate.NAME(f, attribution, ...)` is a function with the arguments of `f` that returns a
number or a curve for one example: batches come from `jax.vmap`, speed from `jax.jit`, as
everywhere. In the place of the attribution may stand a dictionary of several; then so does the
result, and what does not depend on the attribution is computed once for all of them.
"""

from ._benchmark import benchmark as benchmark
from ._classes import class_sensitivity as class_sensitivity
from ._classes import random_logit as random_logit
from ._completeness import Conservation as Conservation
from ._completeness import completeness as completeness
from ._completeness import conservation as conservation
from ._complexity import complexity as complexity
from ._complexity import effective_complexity as effective_complexity
from ._complexity import sparseness as sparseness
from ._consistency import Consistency as Consistency
from ._consistency import consistency as consistency
from ._continuity import continuity as continuity
from ._controls import edges as edges
from ._controls import random as random
from ._controls import uniform as uniform
from ._curves import Curve as Curve
from ._deletion import deletion as deletion
from ._deletion import insertion as insertion
from ._dependence import non_sensitivity as non_sensitivity
from ._dependence import sensitivity_a as sensitivity_a
from ._efficient_mprt import efficient_mprt as efficient_mprt
from ._equal_functions import equal_functions as equal_functions
from ._faithfulness import faithfulness_correlation as faithfulness_correlation
from ._faithfulness import faithfulness_estimate as faithfulness_estimate
from ._flipping import abpc as abpc
from ._flipping import pixel_flipping as pixel_flipping
from ._focus import focus as focus
from ._focus import mosaic as mosaic
from ._gap import Gap as Gap
from ._imputation import noisy_linear_imputation as noisy_linear_imputation
from ._infidelity import infidelity as infidelity
from ._invariance import implementation_invariance as implementation_invariance
from ._invariance import input_invariance as input_invariance
from ._irof import irof as irof
from ._linearity import linearity as linearity
from ._linearity import symmetry as symmetry
from ._mass import attribution_localization as attribution_localization
from ._mass import relevance_mass_accuracy as relevance_mass_accuracy
from ._monotonicity import monotonicity as monotonicity
from ._monotonicity import monotonicity_correlation as monotonicity_correlation
from ._perturbations import gaussian_perturbation as gaussian_perturbation
from ._perturbations import square_perturbation as square_perturbation
from ._perturbations import subset_perturbation as subset_perturbation
from ._random_parameters import randomize_parameters as randomize_parameters
from ._randomization import Randomization as Randomization
from ._randomization import parameter_randomization as parameter_randomization
from ._randomization import smooth_mprt as smooth_mprt
from ._rationales import comprehensiveness as comprehensiveness
from ._rationales import sufficiency as sufficiency
from ._regions import region_perturbation as region_perturbation
from ._regions import selectivity as selectivity
from ._removal import blur_removal as blur_removal
from ._removal import mean_removal as mean_removal
from ._removal import uniform_removal as uniform_removal
from ._report import Report as Report
from ._retrained import RetrainingCurves as RetrainingCurves
from ._road import road as road
from ._roar import kar as kar
from ._roar import roar as roar
from ._roc import localization_auc as localization_auc
from ._selection import Selection as Selection
from ._selection import select_explanation as select_explanation
from ._sensitivity import avg_sensitivity as avg_sensitivity
from ._sensitivity import local_lipschitz as local_lipschitz
from ._sensitivity import max_sensitivity as max_sensitivity
from ._sensitivity_n import sensitivity_n as sensitivity_n
from ._stability import relative_input_stability as relative_input_stability
from ._stability import relative_output_stability as relative_output_stability
from ._stability import relative_representation_stability as relative_representation_stability
from ._statistics import Comparison as Comparison
from ._statistics import Summary as Summary
from ._statistics import compare as compare
from ._statistics import summarize as summarize
from ._top import pointing_game as pointing_game
from ._top import relevance_rank_accuracy as relevance_rank_accuracy
from ._top import top_k_intersection as top_k_intersection
