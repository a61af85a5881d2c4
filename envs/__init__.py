"""Quintet's worlds: `envs.make_vec("quintet/CartPole-v1", 1024)`, or any of Gymnasium's own ways.

Importing this package registers every id under `quintet/`; a world's code is loaded when it is made.
"""

from envs.registration import make_vec, register_world, registered_worlds

__all__ = ["make_vec", "register_world", "registered_worlds"]

register_world("quintet/GridWorld-v0", "envs.gridworld:world")
register_world("quintet/CartPole-v1", "envs.classic.cartpole:world")
register_world("quintet/MountainCar-v0", "envs.classic.mountain_car:world")
register_world("quintet/MountainCarContinuous-v0", "envs.classic.mountain_car_continuous:world")
register_world("quintet/Pendulum-v1", "envs.classic.pendulum:world")
register_world("quintet/Acrobot-v1", "envs.classic.acrobot:world")
register_world("quintet/Arena-v0", "envs.arena:arena")
register_world("quintet/Duel-v0", "envs.arena:duel")
