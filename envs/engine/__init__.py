"""What turns one world's rules into environments."""

from envs.engine.random import randint, random_bits, uniform
from envs.engine.rules import ActionLayout, ObsField, World, real, rule
from envs.engine.structured import Structured
from envs.engine.trig import cos, sin, sqrt

__all__ = [
    "ActionLayout", "ObsField", "Structured", "World", "cos", "randint", "random_bits", "real", "rule", "sin", "sqrt",
    "uniform",
]  # fmt: skip
