"""Attacks on our own runs, each by a stated adversary, with defences off and on; `run` orders them, `findings` judges them."""
