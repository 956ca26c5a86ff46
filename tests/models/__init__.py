"""Small networks as their authors write them: what the library must explain unaided."""

from . import attention, convolutional, decoders, mobile, other, recurrent
from ._zoo import Model

ZOO: list[Model] = [
    *other.MODELS,
    *convolutional.MODELS,
    *mobile.MODELS,
    *attention.MODELS,
    *decoders.MODELS,
    *recurrent.MODELS,
]
# Equal functions of the same weights, written in two ways.
TWINS: list[tuple[Model, Model]] = [*decoders.TWINS, *recurrent.TWINS]

__all__ = ["TWINS", "ZOO", "Model"]
