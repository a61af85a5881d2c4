# pyright: reportMissingImports=false
"""PPO on CartPole in JAX, to be measured against: worlds, network and updates compiled into one function, in the manner
of PureJaxRL (Lu et al., "Discovered Policy Optimisation", 2022), whose hyperparameters the plain ones are.

Run as a process of its own, by `quintet bench jax`; prints one JSON object.
"""

import json
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

LIMIT = 500
"""Steps of an episode."""


def reset(key: Any) -> Any:
    """A world at the beginning of an episode: x, its speed, the pole's angle, its speed, the tick."""
    return jnp.concatenate([jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), jnp.zeros(1)])


def step(world: Any, action: Any, key: Any) -> tuple[Any, Any]:
    """CartPole as Gymnasium has it: the world after a step, begun anew where an episode ended, and whether one did."""
    x, speed, angle, turn, tick = world
    force = jnp.where(action == 1, 10.0, -10.0)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    pushed = (force + 0.05 * turn**2 * sin) / 1.1
    turned = (9.8 * sin - cos * pushed) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    moved = pushed - 0.05 * turned * cos / 1.1
    after = jnp.array([x + 0.02 * speed, speed + 0.02 * moved, angle + 0.02 * turn, turn + 0.02 * turned, tick + 1])
    done = (jnp.abs(after[0]) > 2.4) | (jnp.abs(after[2]) > 12 * 2 * jnp.pi / 360) | (after[4] >= LIMIT)
    return jnp.where(done, reset(key), after), done


def network(key: Any, num_outputs: int, gain: float) -> list[Any]:
    """Two layers of 64 with tanh, orthogonal weights."""
    sizes, gains = (4, 64, 64, num_outputs), (2**0.5, 2**0.5, gain)
    keys = jax.random.split(key, 3)
    return [
        (jax.nn.initializers.orthogonal(g)(k, (m, n)), jnp.zeros(n))
        for m, n, g, k in zip(sizes[:-1], sizes[1:], gains, keys, strict=True)
    ]


def forward(layers: list[Any], x: Any) -> Any:
    """What a network gives."""
    for weight, bias in layers[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def look(params: Any, obs: Any) -> tuple[Any, Any]:
    """Log-probabilities of both actions, and the value."""
    return jax.nn.log_softmax(forward(params["actor"], obs)), forward(params["critic"], obs).squeeze(-1)


class Steps(NamedTuple):
    """Of a horizon, `[T, N]`."""

    obs: Any
    actions: Any
    log_probs: Any
    values: Any
    dones: Any
    lengths: Any


def loss(params: Any, steps: Steps, advantages: Any, returns: Any, settings: dict[str, Any]) -> Any:
    """The clipped objective, the value loss (clipped where asked) and the entropy bonus."""
    log_probs, values = look(params, steps.obs)
    clip = settings["clip_coef"]
    chosen = jnp.take_along_axis(log_probs, steps.actions[..., None], -1).squeeze(-1)
    ratio = jnp.exp(chosen - steps.log_probs)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    gains = jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - clip, 1 + clip) * advantages)
    errors = (values - returns) ** 2
    if settings["clip_vloss"]:
        near = steps.values + jnp.clip(values - steps.values, -clip, clip)
        errors = jnp.maximum(errors, (near - returns) ** 2)
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1)
    return -gains.mean() + settings["vf_coef"] * 0.5 * errors.mean() - settings["ent_coef"] * entropy.mean()


def make(settings: dict[str, Any]) -> tuple[Any, Any]:
    """The start, and an iteration: state -> state and the mean length of the episodes that ended in it, nan if none."""
    envs, steps, parts = (settings[name] for name in ("num_envs", "num_steps", "num_minibatches"))
    updates, epochs = settings["total_timesteps"] // (envs * steps), settings["update_epochs"]
    rate = optax.linear_schedule(settings["learning_rate"], 0.0, updates * epochs * parts)
    adam = optax.chain(optax.clip_by_global_norm(settings["max_grad_norm"]), optax.adam(rate, eps=1e-5))

    def start(seed: int) -> Any:
        actor, critic, worlds, key = jax.random.split(jax.random.PRNGKey(seed), 4)
        params = {"actor": network(actor, 2, 0.01), "critic": network(critic, 1, 1.0)}
        return params, adam.init(params), jax.vmap(reset)(jax.random.split(worlds, envs)), key

    def play(carry: Any, _: None) -> tuple[Any, Steps]:
        params, worlds, key = carry
        key, choice, fresh = jax.random.split(key, 3)
        obs = worlds[:, :4]
        log_probs, values = look(params, obs)
        actions = jax.random.categorical(choice, log_probs)
        chosen = jnp.take_along_axis(log_probs, actions[:, None], 1).squeeze(1)
        after, dones = jax.vmap(step)(worlds, actions, jax.random.split(fresh, envs))
        return (params, after, key), Steps(obs, actions, chosen, values, dones, worlds[:, 4] + 1)

    def estimate(steps: Steps, last: Any) -> Any:
        gamma, lam = settings["gamma"], settings["gae_lambda"]

        def back(carry: Any, now: Any) -> tuple[Any, Any]:
            advantage, following = carry
            value, done = now
            advantage = 1 + gamma * following * (1 - done) - value + gamma * lam * (1 - done) * advantage
            return (advantage, value), advantage

        now = steps.values, steps.dones.astype(jnp.float32)
        return jax.lax.scan(back, (jnp.zeros(envs), last), now, reverse=True, unroll=16)[1]

    def learn(carry: Any, batch: Any) -> tuple[Any, None]:
        params, moments = carry
        gradient = jax.grad(loss)(params, *batch, settings)
        changes, moments = adam.update(gradient, moments)
        return (optax.apply_updates(params, changes), moments), None

    def epoch(carry: Any, key: Any, batch: Any) -> tuple[Any, None]:
        order = jax.random.permutation(key, envs * steps)
        mixed = jax.tree.map(lambda x: x.reshape(envs * steps, *x.shape[2:])[order], batch)
        return jax.lax.scan(learn, carry, jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), mixed))

    def iterate(state: Any) -> tuple[Any, Any]:
        params, moments, worlds, key = state
        (_, worlds, key), played = jax.lax.scan(play, (params, worlds, key), None, steps)
        advantages = estimate(played, look(params, worlds[:, :4])[1])
        batch = played, advantages, advantages + played.values
        key, *shuffles = jax.random.split(key, epochs + 1)
        learned = jax.lax.scan(lambda c, k: epoch(c, k, batch), (params, moments), jnp.array(shuffles))[0]
        mean = (played.lengths * played.dones).sum() / played.dones.sum()
        return (*learned, worlds, key), mean

    return start, jax.jit(iterate)


def evaluate(params: Any, episodes: int) -> float:
    """The mean return of the more probable actions."""

    def play(carry: Any, key: Any) -> tuple[Any, Any]:
        worlds, alive = carry
        actions = look(params, worlds[:, :4])[0].argmax(-1)
        after, dones = jax.vmap(step)(worlds, actions, jax.random.split(key, episodes))
        return (after, alive & ~dones), alive.sum()

    first, *keys = jax.random.split(jax.random.PRNGKey(0), LIMIT + 1)
    begun = jax.vmap(reset)(jax.random.split(first, episodes)), jnp.ones(episodes, bool)
    return float(jax.jit(lambda: jax.lax.scan(play, begun, jnp.array(keys))[1].sum())()) / episodes


def main(settings: dict[str, Any]) -> dict[str, float]:
    """Learns until the mean of five iterations' episodes reaches "stop_at_return", else to the end.

    Returns:
        "steps" learned from, "seconds" of the iterations after the first two, "later_steps" of those, "judged_seconds"
        and "mean" of the evaluation.
    """
    start, iterate = make(settings)
    state, size, recent = start(settings["seed"]), settings["num_envs"] * settings["num_steps"], []
    begun, count = time.perf_counter(), 0
    for count in range(1, settings["total_timesteps"] // size + 1):
        state, mean = iterate(state)
        recent = [*recent, float(mean)][-5:] if mean == mean else recent
        if count == 2:
            begun = time.perf_counter()
        if len(recent) == 5 and sum(recent) / 5 >= settings["stop_at_return"]:
            break
    seconds, judged = time.perf_counter() - begun, time.perf_counter()
    mean = evaluate(state[0], settings["episodes"])
    later = {"seconds": seconds, "later_steps": (count - 2) * size}
    return {"steps": count * size, **later, "mean": mean, "judged_seconds": time.perf_counter() - judged}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
