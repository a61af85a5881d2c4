"""What turns one world's rules into environments. A world imports what is listed below; and behind it are:

- the contract: rules.py, world_checks.py, random.py, trig.py, structured.py
- environments: vector.py (a batch), single.py, parallel.py, vector_cuda.py; their memory: records.py
- compiled for a CPU: driver.py (the loops), compile.py, linking.py, fixed.py, threads.py
- compiled for a GPU: cuda_driver.py (the loops), cuda.py, cuda_llvm.py; seen without one: cuda_code.py, cuda_host.py
- to find mistakes and slow phases: front.py, races.py, profile.py
- to draw: canvas.py, colors.py
"""

from envs.engine.random import randint, random_bits, uniform
from envs.engine.rules import ActionLayout, ObsField, World, real, rule
from envs.engine.structured import Structured
from envs.engine.trig import cos, sin, sqrt

__all__ = [
    "ActionLayout", "ObsField", "Structured", "World", "cos", "randint", "random_bits", "real", "rule", "sin", "sqrt",
    "uniform",
]  # fmt: skip
