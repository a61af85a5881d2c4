"""Learners. Begin with an algorithm, a file each: ppo.py, dqn.py, ddpg.py, tabular_q.py. What they share:

- from environments to tensors: rollout.py (the collector), encoding.py, episodes.py, owners.py (who plays which row);
  other_envs.py and halves.py for environments of others, horizon.py for worlds on a GPU
- what is learned from: returns.py, minibatches.py, replay.py, prioritized.py, normalize.py, rnd.py
- networks: networks.py, actor_critic.py (PPO's policy), distributions.py, value_heads.py, memory.py, entities.py,
  table_policy.py
- updates: optimizer.py, schedules.py, graphs.py (on a GPU), distributed.py (several processes)
- many policies: league.py (whom to meet), crowd.py (acting together), ensemble.py (as one)
- trained policies: evaluate.py, outputs.py, export.py, table_picture.py; made larger: surgery.py, surgery_names.py,
  surgery_check.py
- and checkpoint.py, checks.py (of settings), allocator.py
"""
