"""Programs that compose worlds and learners. `quintet NAME` (cli.py) runs:

- to train: train.py with train_flags.py, resume.py, best.py, progress.py and log.py; demo.py
- to watch and play: play.py, versus.py, human.py, human_arena.py, pictures.py, screens.py
- to judge: evaluate.py, plot.py, report.py, list_envs.py; bench/ for speed
- self-play: league_command.py, selfplay.py (the league itself), matches.py, ratings.py, league_report.py, ship.py;
  ablation.py, arena_games.py, fight_picture.py
- to hand on: export.py, surgery.py

They share worlds.py (from an id to environments), algorithms.py, flags.py, runs.py (the run folder), trained.py (back
from there), errors.py and pages.py. Settings that do well lie in presets/, agents that come trained in shipped/, what
was measured in results/.
"""
