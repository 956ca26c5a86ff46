"""jaxplain explains the predictions of any JAX function.

A model is any function `f(x, *args) -> scalar` of one example. An attribution has the same
arguments and returns a pytree like `x`; `jax.grad(f)` already is one. The functions below turn
models into attributions, and attributions into better ones.
"""

from . import baselines as baselines
from . import rules as rules
from ._cite import cite as cite
from ._select import contrast as contrast
from ._select import select as select
from ._select import unbatch as unbatch
from ._show import show as show
from ._types import Info as Info
from .attention._flow import attention_rollout as attention_rollout
from .attention._flow import attention_x_grad as attention_x_grad
from .attention._maps import attention_maps as attention_maps
from .backprop._fit_patterns import Patterns as Patterns
from .backprop._fit_patterns import fit_patterns as fit_patterns
from .backprop._ledger import Ledger as Ledger
from .backprop._lrp import deep_taylor as deep_taylor
from .backprop._lrp import excitation_backprop as excitation_backprop
from .backprop._lrp import lrp as lrp
from .backprop._modified import deconvnet as deconvnet
from .backprop._modified import guided_backprop as guided_backprop
from .backprop._modified import modified_grad as modified_grad
from .backprop._patterns import pattern_attribution as pattern_attribution
from .backprop._patterns import pattern_net as pattern_net
from .backprop._taylor import RootCriteria as RootCriteria
from .backprop._taylor import root_criteria as root_criteria
from .concepts._crp import crp as crp
from .concepts._references import References as References
from .concepts._references import reference_examples as reference_examples
from .differences._deeplift import deeplift as deeplift
from .differences._deeplift import deeplift_shap as deeplift_shap
from .differences._hypothetical import hypothetical as hypothetical
from .differences._ledger import Differences as Differences
from .gradients._blur import blur_integrated_grad as blur_integrated_grad
from .gradients._expected import expected_grad as expected_grad
from .gradients._expected import over_baselines as over_baselines
from .gradients._guided import guided_integrated_grad as guided_integrated_grad
from .gradients._integrated import convergence_delta as convergence_delta
from .gradients._integrated import integrated_grad as integrated_grad
from .gradients._integrated import interior_grad as interior_grad
from .gradients._path import path_integrated_grad as path_integrated_grad
from .gradients._path import straight_line as straight_line
from .gradients._saliency import input_x_grad as input_x_grad
from .gradients._saliency import saliency as saliency
from .gradients._saliency import times_input as times_input
from .gradients._smooth import smooth as smooth
from .layers._conductance import conductance as conductance
from .layers._conductance import neuron_conductance as neuron_conductance
from .layers._influence import internal_influence as internal_influence
from .layers._layer import layer as layer
from .layers._layer import neuron as neuron
from .layers._patching import activation_patching as activation_patching
from .layers._patching import attribution_patching as attribution_patching
from .perturb._ablation import ablation as ablation
from .program._cut import capture as capture
from .program._cut import cut as cut
from .program._cut import replace as replace
from .program._edit import edit as edit
from .program._listing import Names as Names
from .program._listing import names as names
from .program._ops import Kind as Kind
from .program._ops import register_op as register_op
from .program._sites import Site as Site
